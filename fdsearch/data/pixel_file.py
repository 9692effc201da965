"""One ``.npy`` of decoded pictures: its name, whether it is whole, and writing it row by row.

Plain appending writes, not a writable memory map: on a full disk a map ends the process with SIGBUS, a write raises.
`data.images` fills these files.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from fdsearch.files import digest_json, sync_folder
from fdsearch.imaging import DECODER_VERSION

_DEBRIS_SECONDS = 3600


def pixel_file_name(content: Sequence[str], size: int, resize: str) -> str:
    """Name that changes with the pictures, their order, the decoder, the size and the resize policy."""
    return f"{digest_json([DECODER_VERSION, size, resize, list(content)])[:32]}-{size}-{resize}.npy"


def is_whole(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether a file is an uint8 array of this shape with all its bytes."""
    try:
        with path.open("rb") as stream:
            np.lib.format.read_magic(stream)
            stored, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
            whole = path.stat().st_size == stream.tell() + int(np.prod(shape))
    except (OSError, ValueError, EOFError):
        return False
    return bool(whole and stored == shape and not fortran and dtype == np.uint8)


class PixelFileWriter:
    """Writes an array of known shape to a hidden sibling, which takes its name only when it is whole.

    A context manager: leaving it without `commit` removes what was written.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        Of the whole array; the first axis counts the pictures.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self._path = path
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".pixels-", suffix=".tmp")
        self._temporary = Path(temporary)
        self._stream = os.fdopen(handle, "wb")
        try:
            np.lib.format.write_array_header_1_0(self._stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
            self._allocate(self._stream.tell() + int(np.prod(shape)))
        except BaseException:
            self._discard()
            raise

    def append(self, pixels: NDArray[np.uint8]) -> None:
        """Write the next picture."""
        self._stream.write(np.ascontiguousarray(pixels).data)

    def commit(self) -> None:
        """Make the file durable and give it its name."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        self._temporary.chmod(0o640)
        self._temporary.replace(self._path)
        sync_folder(self._path.parent)

    def __enter__(self) -> PixelFileWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard()

    def _allocate(self, size: int) -> None:
        """Take the room at once: a disk without it is noticed before pictures are decoded, and writing is faster."""
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._stream.fileno(), 0, size)

    def _discard(self) -> None:
        with suppress(OSError):  # flushing what is discarded may fail on a full disk
            self._stream.close()
        self._temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what killed writers left: temporary files that nobody has written to for an hour."""
    for path in folder.glob(".*.tmp"):
        try:
            if path.stat().st_mtime < time.time() - _DEBRIS_SECONDS:
                path.unlink()
        except OSError:  # another process swept it, or it is not ours to remove
            continue
