"""Cutting a model in two, and setting which of its layers a phase trains.

The trainer freezes a prefix, computes its output once per picture and trains the tail behind the cut. Everything is
derived from the graph (`topology`, `blocks`): a model has only to carry the names of `fdsearch.layers`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fdsearch.layers import FEATURES, PREPROCESSING
from fdsearch.models.blocks import Block, blocks
from fdsearch.models.topology import backbone, body
from fdsearch.trial import Phase

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Cut:
    """A place where one tensor carries everything from the pictures to the logits.

    Parameters
    ----------
    name : str
        The layer (or operation) whose output it is; the same in every process for the same architecture.
    shape : tuple of int
        Of one picture's activation.
    bytes_per_picture_float16 : int
        What caching one picture's activation takes.
    """

    name: str
    shape: tuple[int, ...]
    bytes_per_picture_float16: int


def cut_points(model: keras.Model) -> list[Cut]:
    """List the cuts of a model in graph order, from ``preprocessing`` to ``features``, both included.

    Examples
    --------
    >>> from fdsearch.models.builders import build_model
    >>> from fdsearch.trial import TrialConfig
    >>> model = build_model(TrialConfig.from_params({"backbone": "piston_cnn", "image_size": 32}), 3)
    >>> [cut.name for cut in cut_points(model)]
    ['preprocessing', 'conv_1', 'flatten', 'hidden_1', 'features']
    >>> cut_points(model)[1]
    Cut(name='conv_1', shape=(16, 16, 16), bytes_per_picture_float16=8192)
    """
    cuts = []
    for step in body(model):
        if step.is_cut:
            shape = tuple(int(side) for side in step.output.shape[1:])
            cuts.append(Cut(step.name, shape, 2 * math.prod(shape)))
    return cuts


def split(model: keras.Model, name: str) -> tuple[keras.Model, keras.Model]:
    """Cut a model in two that share its layers and weights.

    Parameters
    ----------
    model : keras.Model
        A builder's model.
    name : str
        Name of one of its `cut_points`.

    Returns
    -------
    prefix : keras.Model
        From the pictures to the activation of the cut.
    tail : keras.Model
        From that activation (float32, or what converts to it) to the logits.

    Raises
    ------
    ValueError
        If the model cannot be cut there.
    """
    import keras

    for step in body(model):
        if step.is_cut and step.name == name:
            prefix = keras.Model(model.inputs[0], step.output, name="prefix")
            return prefix, keras.Model(step.output, model.outputs[0], name="tail")
    cuts = ", ".join(cut.name for cut in cut_points(model))
    raise ValueError(f"{model.name} cannot be cut at {name!r}; cuts: {cuts}")


def trunk(model: keras.Model, name: str) -> keras.Model | None:
    """What lies between a cut and ``features``, sharing the model's layers; None where the cut is ``features``."""
    import keras

    if name == FEATURES:
        return None
    start = next(step.output for step in body(model) if step.is_cut and step.name == name)
    return keras.Model(start, model.get_layer(FEATURES).output, name="trunk")


def macs(model: keras.Model) -> int:
    """Multiplications with an addition that a forward pass takes for one picture, those of kernels alone.

    Examples
    --------
    >>> from fdsearch.models.builders import build_model
    >>> from fdsearch.trial import TrialConfig
    >>> lite0 = build_model(TrialConfig.from_params({"backbone": "efficientnet_lite0", "weights": "random"}), 1000)
    >>> round(macs(lite0) / 1e6)  # 407 million in the paper's count
    385
    """
    total = 0
    for layer in model.layers:
        positions = math.prod(layer.output.shape[1:-1])
        kernels = (weight for weight in layer.weights if len(weight.shape) > 1 and weight.name != "bias")
        total += sum(math.prod(kernel.shape) * positions for kernel in kernels)
    return total


def backbone_layers(model: keras.Model) -> list[keras.Layer]:
    """The layers after ``preprocessing`` and before pooling and ``features``, in the order of ``model.layers``.

    That order, by depth, is the one in which the ribbon-bond write-up counts "the last 30 layers" of InceptionV3.
    """
    inside = {id(step.operation) for step in backbone(model)}
    return [layer for layer in model.layers if id(layer) in inside]


def set_trainable(model: keras.Model, phase: Phase, batch_norm: str) -> str:
    """Set which layers a phase trains and return where the frozen prefix ends.

    The head is always trained. ``phase.unfreeze`` opens that share of the blocks nearest to the head, at least one
    where it is above 0; ``phase.unfreeze_layers`` opens the last so many `backbone_layers` instead. Batch normalisation
    stays frozen, that is in inference mode, unless `batch_norm` is ``"trained"``: its statistics of a small batch are
    what makes fine-tuning on few pictures collapse (keras#9214).

    Other frozen layers are not yet in inference mode: dropout and stochastic depth inside the prefix fall silent only
    where the prefix of `split` is called with ``training=False``.

    Parameters
    ----------
    model : keras.Model
        A builder's model; its flags are changed.
    phase : Phase
    batch_norm : {"frozen", "trained"}

    Returns
    -------
    str
        Name of the deepest cut before the first layer with something to train: ``"features"`` where only the head is
        trained, ``"preprocessing"`` where everything is.
    """
    layers = backbone_layers(model)
    if phase.unfreeze_layers is not None:
        opened = layers[max(0, len(layers) - phase.unfreeze_layers) :]
    else:
        opened = _last_share(blocks(model), phase.unfreeze)
    model.trainable = True
    for layer in layers:
        layer.trainable = False
    for layer in opened:
        layer.trainable = True
        if batch_norm != "trained":
            _freeze_batch_norm(layer)
    return _end_of_prefix(model)


def prefix_ends(model: keras.Model, low: float, high: float, batch_norm: str) -> list[str]:
    """Where the frozen prefixes end when any share of the blocks between two is trained, nearest to the head first.

    The model's flags are changed, as by `set_trainable`.

    Examples
    --------
    >>> from fdsearch.models.builders import build_model
    >>> from fdsearch.trial import TrialConfig
    >>> lite0 = build_model(TrialConfig.from_params({"backbone": "efficientnet_lite0", "weights": "random"}), 3)
    >>> len(prefix_ends(lite0, 0.05, 0.33, "frozen")), prefix_ends(lite0, 1.0, 1.0, "frozen")
    (6, ['preprocessing'])
    """
    n_blocks = len(blocks(model))
    counts = range(_n_opened(n_blocks, low), _n_opened(n_blocks, high) + 1)
    shares = (count / n_blocks for count in counts)
    return list(dict.fromkeys(set_trainable(model, Phase("tail", unfreeze=share), batch_norm) for share in shares))


def _last_share(found: Sequence[Block], share: float) -> list[keras.Layer]:
    n_opened = _n_opened(len(found), share)
    return [layer for block in found[len(found) - n_opened :] for layer in block.layers]


def _n_opened(n_blocks: int, share: float) -> int:
    return min(n_blocks, max(1, round(share * n_blocks))) if share > 0 else 0


def _end_of_prefix(model: keras.Model) -> str:
    end = PREPROCESSING
    for step in body(model):
        if getattr(step.operation, "trainable_weights", ()):
            break
        if step.is_cut:
            end = step.name
    return end


def _freeze_batch_norm(layer: Any) -> None:
    import keras

    if isinstance(layer, keras.layers.BatchNormalization):
        layer.trainable = False
    for inner in getattr(layer, "layers", ()):
        _freeze_batch_norm(inner)
