"""Reads a PyTorch checkpoint of the legacy format (before 1.6) without PyTorch and without running what it says.

Such a file is five pickles (magic number, protocol, system information, the state dict whose tensors point to storages,
the storages' keys) and then, key by key, an int64 count and the raw little-endian numbers. `weights` reads the
EfficientNet-Lite0 package with it. Reading it here costs a screen of code; PyTorch would cost its users a gigabyte.
"""

from __future__ import annotations

import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.errors import Fault, IntegrityError

MAX_BYTES = 256 * 1024**2
"""No checkpoint this reader is meant for comes near it (Lite0: 18 MB)."""

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}


@dataclass
class _Storage:
    dtype: np.dtype[Any]
    count: int
    numbers: NDArray[np.generic] = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True)
class _Tensor:
    """A view into a storage; offset and strides count numbers, not bytes."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> NDArray[np.generic]:
        whole = [*self.shape, *self.strides, self.offset]
        if not all(isinstance(number, int) and number >= 0 for number in whole) or len(self.shape) != len(self.strides):
            raise ValueError(f"a tensor of shape {self.shape}, strides {self.strides} and offset {self.offset}")
        size = self.storage.numbers.size
        last = self.offset + sum((side - 1) * step for side, step in zip(self.shape, self.strides, strict=True))
        if 0 not in self.shape and last >= size:
            raise ValueError(f"a tensor that reaches number {last} of a storage of {size}")
        if math.prod(self.shape) > size:
            raise ValueError(f"a tensor of {math.prod(self.shape)} numbers in a storage of {size}")  # stride 0
        step = self.storage.dtype.itemsize
        view = np.lib.stride_tricks.as_strided(
            self.storage.numbers[self.offset :], self.shape, [stride * step for stride in self.strides], writeable=False
        )
        return np.ascontiguousarray(view).reshape(self.shape)


class _Unpickler(pickle.Unpickler):
    """Knows ordered dictionaries, tensors and storages, and refuses every other name."""

    def __init__(self, stream: io.BytesIO, storages: dict[str, _Storage]) -> None:
        super().__init__(stream)
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in _DTYPES:
            return np.dtype(_DTYPES[name])
        raise ValueError(f"the name {module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _device, count, view = pid
        if kind != "storage" or view is not None or not isinstance(dtype, np.dtype) or not isinstance(count, int):
            raise ValueError(f"the storage reference {str(pid)[:80]}")
        return self._storages.setdefault(str(key), _Storage(dtype, count))


def _rebuild(storage: _Storage, offset: int, shape: Sequence[int], strides: Sequence[int], *_: object) -> _Tensor:
    # What follows concerns gradients.
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def read_checkpoint(path: Path) -> dict[str, NDArray[np.generic]]:
    """Read the tensors of a legacy checkpoint.

    Parameters
    ----------
    path : Path
        A state dict written by ``torch.save`` before PyTorch 1.6.

    Returns
    -------
    dict of str to ndarray
        Contiguous copies, in the order of the file; strides are honoured, many a tensor is stored transposed.

    Raises
    ------
    IntegrityError
        If the file is too large, truncated, of another format, or names anything but tensors.
    """
    if path.stat().st_size > MAX_BYTES:
        fix = "use the published file"
        fault = Fault(str(path), f"{path.stat().st_size} bytes", f"at most {MAX_BYTES} bytes", fix)
        raise IntegrityError("the checkpoint is too large", [fault])
    try:
        return _read(io.BytesIO(path.read_bytes()))
    # A hostile or torn pickle raises nearly anything; all of it means that the file is not what it should be.
    except Exception as error:
        got = f"{type(error).__name__}: {error}"
        fault = Fault(str(path), got[:200], "a legacy PyTorch state dict", "use the published file")
        raise IntegrityError("the checkpoint cannot be read", [fault]) from error


def _read(stream: io.BytesIO) -> dict[str, NDArray[np.generic]]:
    storages: dict[str, _Storage] = {}
    load: Callable[[], Any] = lambda: _Unpickler(stream, storages).load()  # noqa: E731
    if load() != _MAGIC or load() != _PROTOCOL:
        raise ValueError("another format's first numbers")
    load()  # sizes of C integers on the machine that wrote it
    state, keys = load(), load()
    if not isinstance(state, dict) or not all(isinstance(tensor, _Tensor) for tensor in state.values()):
        raise ValueError("something other than a dictionary of tensors")
    for key in keys:
        _fill(storages[key], stream)
    return {str(name): tensor.array() for name, tensor in state.items()}


def _fill(storage: _Storage, stream: io.BytesIO) -> None:
    count = int.from_bytes(_exactly(stream, 8), "little", signed=True)
    if count != storage.count:
        raise ValueError(f"{count} numbers where {storage.count} were announced")
    storage.numbers = np.frombuffer(_exactly(stream, count * storage.dtype.itemsize), storage.dtype)


def _exactly(stream: io.BytesIO, n_bytes: int) -> bytes:
    content = stream.read(n_bytes)
    if n_bytes < 0 or len(content) < n_bytes:
        raise ValueError(f"{len(content)} bytes where {n_bytes} were announced")
    return content
