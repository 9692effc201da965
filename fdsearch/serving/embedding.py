"""A model with a second answer: what its frozen layers see in a picture, for `novelty` and for drift.

The saved model answers with logits alone; `runtimes` and the exports join this to it when they load it. Which layers
are frozen is found by `fdsearch.models.embedding` and stands in the contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fdsearch.errors import Fault, IntegrityError
from fdsearch.layers import EMBEDDING, FEATURES
from fdsearch.registry.manifest import RESTORE

if TYPE_CHECKING:
    import keras


def network(model: keras.Model) -> keras.Model:
    """The network inside a model that sees the plain picture; of several in an ensemble the first.

    Raises
    ------
    IntegrityError
        If there is none with the layers that every builder's network has.
    """
    import keras

    waiting = [model]
    while waiting:
        found = waiting.pop(0)
        if any(layer.name == FEATURES for layer in found.layers):
            return found
        waiting += [layer for layer in found.layers if isinstance(layer, keras.Model)]
    fault = Fault(model.name, f"no layer {FEATURES}", "a network of fdsearch", RESTORE)
    raise IntegrityError("the model holds no network that could be looked into", [fault])


def with_embedding(model: keras.Model, cuts: Sequence[str]) -> keras.Model:
    """Let a model answer with its embedding too.

    Parameters
    ----------
    model : keras.Model
        From raw uint8 (n, size, size, 1) to logits; its layers are shared.
    cuts : sequence of str
        Layers of its network that answer with maps (n, h, w, c).

    Returns
    -------
    keras.Model
        From the same pictures to logits, and to float32 (n, d): mean and maximum over each cut's maps.

    Raises
    ------
    IntegrityError
        If the network has no such layers.
    """
    import keras
    from keras import layers

    inner = network(model)
    names = {layer.name for layer in inner.layers}
    unknown = [cut for cut in cuts if cut not in names or len(inner.get_layer(cut).output.shape) != 4]
    if unknown or not cuts:
        fault = Fault("contract.json: $.novelty.cuts", ", ".join(unknown) or "none", "layers with maps", RESTORE)
        raise IntegrityError("the contract does not fit the model", [fault])
    pooled = []
    for number, cut in enumerate(cuts):
        maps = inner.get_layer(cut).output
        pooled.append(layers.GlobalAveragePooling2D(name=f"{EMBEDDING}_mean_{number}")(maps))
        pooled.append(layers.GlobalMaxPooling2D(name=f"{EMBEDDING}_max_{number}")(maps))
    embedding = layers.Concatenate(dtype="float32", name=EMBEDDING)(pooled)
    if inner is not model:
        embedding = keras.Model(inner.inputs[0], embedding, name=EMBEDDING)(model.inputs[0])
    return keras.Model(model.inputs[0], [model.outputs[0], embedding])
