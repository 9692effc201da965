"""Arrays of rows on the device, where batches are gathered from them.

A set that fits goes there once, for all folds and trials of the process; of a larger one the rows of each call go. Used
by `network` and `phases`.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.training.job import Ints

MAX_BYTES = 1 << 29
"""Arrays kept on the device, in all."""

_kept: OrderedDict[Any, tuple[int, Any]] = OrderedDict()


@cache
def on_gpu() -> bool:
    """Whether this process computes on a GPU."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def dtype_there(dtype: str) -> str:
    """What an array of a dtype is on the device, or the array that a model's input of that dtype is gathered from.

    Outputs of layers are float16, as they are stored, and pictures uint8. On a GPU TensorFlow gathers no uint8 and
    would copy all pictures back for each batch: there they are float16 too, which holds all 256 gray values.
    """
    return "uint8" if dtype == "uint8" and not on_gpu() else "float16"


def fits(array: NDArray[Any]) -> bool:
    """Whether an array may stay on the device."""
    return _n_bytes(array) <= MAX_BYTES


def _n_bytes(array: NDArray[Any]) -> int:
    return array.size * _dtype_of(array).itemsize


def _dtype_of(array: NDArray[Any]) -> np.dtype[Any]:
    return np.dtype(dtype_there(str(array.dtype)))


def on_device(array: NDArray[Any], rows: Ints, *, stays: bool = True) -> tuple[Any, Ints]:
    """An array on the device and where `rows` are in it: the whole array if it fits and shall stay, else those rows."""
    key = _key(array) if stays else None
    if key is None or not fits(array):
        return np.asarray(array[rows], _dtype_of(array)), np.arange(len(rows))
    if key not in _kept:
        _make_room(_n_bytes(array))
        _kept[key] = (_n_bytes(array), _sent(array))
    _kept.move_to_end(key)
    return _kept[key][1], rows


def _key(array: NDArray[Any]) -> Any:
    """Names an array that is a file's content and cannot change; None for others."""
    if not isinstance(array, np.memmap) or array.filename is None or array.mode != "r":
        return None
    # Files of fdsearch's caches are replaced as a whole, and their names say what is in them.
    whole: Any = array
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    return (str(array.filename), array.dtype.str, array.shape, array.strides, array.ctypes.data - whole.ctypes.data)


def _make_room(n_bytes: int) -> None:
    while _kept and sum(size for size, _ in _kept.values()) + n_bytes > MAX_BYTES:
        _kept.popitem(last=False)


def _sent(array: NDArray[Any]) -> Any:
    import tensorflow as tf

    # A copy: on a CPU TensorFlow would go on reading the map, whose file may be evicted and its pages with it.
    return tf.identity(tf.constant(np.array(array, _dtype_of(array))))
