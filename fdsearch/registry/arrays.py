"""Arrays in ``.npz`` files that may come from anywhere: numbers and text only, never a pickle, never a bomb.

`draft` looks at those of a version before it is registered; whoever reads a version's predictions reads them here.
"""

from __future__ import annotations

import io
import math
import zipfile
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

MAX_BYTES = 1 << 30
"""Room for the predictions of millions of pictures; a small archive that unfolds into more is an attack."""


def read_arrays(source: bytes | BinaryIO, at_most: int = MAX_BYTES) -> dict[str, NDArray[Any]]:
    """Read all the arrays of an ``.npz`` file.

    Parameters
    ----------
    source : bytes or BinaryIO
    at_most : int
        Bytes of all the arrays together, unpacked.

    Raises
    ------
    ValueError
        If it is no such file, holds objects (reading those would run code), or claims more bytes than `at_most`, or
        than it has.

    Examples
    --------
    >>> stream = io.BytesIO()
    >>> np.savez_compressed(stream, logits=np.zeros((2, 3), np.float32))
    >>> read_arrays(stream.getvalue())["logits"].shape
    (2, 3)
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        with zipfile.ZipFile(stream) as archive:
            total = sum(member.file_size for member in archive.infolist())
            if total > at_most:
                raise ValueError(f"{total} bytes of arrays, more than {at_most}")
            for member in archive.infolist():
                _check_header(archive, member)
        stream.seek(0)
        with np.load(stream, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, MemoryError) as error:
        raise ValueError(str(error) or type(error).__name__) from error


def _check_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """NumPy makes room for what a header claims before it reads; here the claim must fit the member's size."""
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    with archive.open(member) as stream:
        reader = readers.get(npy.read_magic(stream))
        if reader is None:
            raise ValueError(f"{member.filename} is of an unknown version")
        shape, _, dtype = reader(stream)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds objects, which only pickle could read")
        if math.prod(shape) * dtype.itemsize != member.file_size - stream.tell():
            raise ValueError(f"{member.filename} claims another size than it has")
