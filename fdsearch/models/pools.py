"""Every pooling of a model's feature maps in one pass over the pictures: what the prefix cache keeps of ``features``.

Recognises in a model's graph what `frame.pooled` made; `training.network` uses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fdsearch import layers as names
from fdsearch.models.frame import GEM, generalised_mean

if TYPE_CHECKING:
    import keras

_SMALLEST = 1e-12
"""Length that `UnitNormalization` takes a shorter vector to have."""


@dataclass(frozen=True)
class Pools:
    """Every pooling of a model's feature maps at once.

    Parameters
    ----------
    model : keras.Model
        From the pictures to the pools, sharing the layers and weights of the model it was made of. Its name is
        `fdsearch.layers.POOLS`, with the number of maps where it is not 1.
    own : slice
        The columns that are that model's ``features``, or that these are made of.
    length : float or None
        Length the features are brought to; None where they are the columns themselves.
    """

    model: keras.Model
    own: slice
    length: float | None = None

    def features(self, stored: NDArray[Any]) -> NDArray[Any]:
        """The model's ``features`` in outputs of `model`, shapes (n, ...) and of one dtype."""
        columns: NDArray[Any] = stored[:, self.own]
        if self.length is None:
            return columns
        values = columns.astype(np.float32)
        lengths = np.maximum(np.linalg.norm(values, axis=1, keepdims=True), _SMALLEST)
        return np.asarray(values / lengths * self.length, stored.dtype)


def pools(model: keras.Model) -> Pools | None:
    """Find what a model's ``features`` are pooled from; None where they are made in any other way than by `pooled`."""
    import keras
    from keras import layers

    last, length = model.get_layer(names.FEATURES), None
    if type(last) is layers.Rescaling and type(unit := _source(model, last.input)) is layers.UnitNormalization:
        last, length = _source(model, unit.input), float(last.scale)
    sources = [_source(model, tensor) for tensor in last.input] if type(last) is layers.Concatenate else [last]
    kinds, maps = zip(*(_pooling(model, source) for source in sources), strict=True)
    distinct = list({id(each): each for each in maps}.values())
    n = len(distinct)
    orders = {("avg",) * n: (0, 1), ("max",) * n: (1, 2), ("gem",) * n: (2, 3), ("avg",) * n + ("max",) * n: (0, 2)}
    if kinds not in orders or [id(each) for each in maps] != [id(each) for each in distinct] * (len(maps) // n):
        return None
    width = sum(int(each.shape[-1]) for each in distinct)
    first, end = orders[kinds]
    name = names.POOLS if n == 1 else f"{names.POOLS}_{n}"
    together = keras.Model(model.inputs[0], _all_pools(distinct), name=name)
    return Pools(together, slice(first * width, end * width), length)


def _all_pools(maps: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
    from keras import layers

    means = [layers.GlobalAveragePooling2D()(each) for each in maps]
    largest = [layers.GlobalMaxPooling2D()(each) for each in maps]
    generalised = [generalised_mean(each, f"{names.POOLS}_gem_{number}") for number, each in enumerate(maps)]
    return layers.Concatenate(name=names.POOLS)([*means, *largest, *generalised])


def _source(model: keras.Model, tensor: keras.KerasTensor) -> Any:
    """The layer of a model that makes a tensor; None where an operation does."""
    return next((layer for layer in model.layers if layer.output is tensor), None)


def _pooling(model: keras.Model, layer: Any) -> tuple[str, Any]:
    """The pooling that a layer ends, and the maps that it pools."""
    from keras import layers

    if type(layer) is layers.GlobalAveragePooling2D:
        return "avg", layer.input
    if type(layer) is layers.GlobalMaxPooling2D:
        return "max", layer.input
    if type(layer) is layers.Multiply:
        largest = _source(model, layer.input[0])
        if largest is not None and largest.name.startswith(GEM):
            return "gem", _source(model, largest.input).input
    return "other", None
