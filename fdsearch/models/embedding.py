"""Where a model may be looked into so that all its fits see the same: the layers that no phase trains.

What they see of a picture is the same in every fold, in the final fit and in the mean of the folds' models, so known
and new pictures can be compared. `fdsearch.serving.embedding` joins the cuts to a model, `pipeline.novelty` asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fdsearch.layers import PREPROCESSING
from fdsearch.models.blocks import blocks
from fdsearch.models.graph import cut_points, set_trainable
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    import keras

DEPTHS = (0.7, 0.95)
"""Shares of the backbone's blocks after which maps are taken: what a defect looks like is clearest before the last
layers, which know what the thing is (docs/novelty.md)."""


def embedding_cut(model: keras.Model, config: TrialConfig) -> str:
    """The deepest cut that no phase of a configuration trains; the model's flags are changed.

    ``features`` for a probe, ``preprocessing`` where everything is trained.
    """
    ends = [cut.name for cut in cut_points(model)]
    frozen = [set_trainable(model, phase, config.batch_norm) for phase in config.phases]
    return min(frozen, key=ends.index)


def embedding_cuts(model: keras.Model, config: TrialConfig) -> tuple[str, ...]:
    """The cuts that the embedding is taken at: ends of blocks at `DEPTHS` of the backbone, none behind what is trained.

    Parameters
    ----------
    model : keras.Model
        A builder's model; its flags are changed.
    config : TrialConfig

    Returns
    -------
    tuple of str
        Layers that answer with maps; empty where nothing is frozen.
    """
    cuts = {cut.name: (number, cut) for number, cut in enumerate(cut_points(model))}
    last = cuts[embedding_cut(model, config)][0]
    # A block ends where the next one starts; the backbone's own end is left to the classifier.
    ends = [block.start for block in blocks(model)][1:]
    layers = {layer.name for layer in model.layers}
    frozen = [
        name
        for name in ends
        if name in cuts
        and name in layers
        and name != PREPROCESSING
        and cuts[name][0] <= last
        and len(cuts[name][1].shape) == 3
    ]
    if not frozen:
        return ()
    wanted = [min(round(depth * len(ends)), len(frozen)) - 1 for depth in DEPTHS]
    return tuple(dict.fromkeys(frozen[max(place, 0)] for place in wanted))
