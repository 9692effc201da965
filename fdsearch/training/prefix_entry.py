"""One entry of the prefix cache: an array in a ``.npy`` and, beside it, a ``.json`` that says what it is.

A shared lock on the array says that it is in use. Its mapping keeps the lock, so the kernel drops it with the last
reader, killed or not. `prefix_store` decides which entries there are.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.files import DISK_FULL

Halves = NDArray[np.float16]


def description_of(path: Path) -> Path:
    """The file that describes an array."""
    return path.with_suffix(".json")


def describe(path: Path) -> dict[str, Any] | None:
    """What is said of an array; None where nothing can be read."""
    try:
        value = json.loads(description_of(path).read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def map_entry(path: Path, shape: tuple[int, ...]) -> Halves | None:
    """Map an array and note its use; None where it is absent, torn, or nothing that was written here."""
    try:
        with path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH)  # waits for no longer than it takes to remove the entry
            if not _is_whole(stream, path, shape):
                return None
            with suppress(OSError):  # another user's entry can be read all the same
                os.utime(stream.fileno())
            # The mapping keeps the lock when the stream closes: it has its own copy of the descriptor.
            return np.memmap(stream, np.dtype("<f2"), "r", stream.tell(), shape)
    except (OSError, ValueError, EOFError):
        return None


def _is_whole(stream: IO[bytes], path: Path, shape: tuple[int, ...]) -> bool:
    np.lib.format.read_magic(stream)
    stored, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    size = stream.tell() + 2 * int(np.prod(shape))
    if stored != shape or fortran or dtype != np.float16 or os.fstat(stream.fileno()).st_size != size:
        return False
    said = describe(path)
    return said is not None and said.get("bytes") == size and said.get("shape") == list(shape)


def in_use(path: Path) -> bool:
    """Whether a living process has an entry open, or it is not ours to remove."""
    try:
        with _alone(path):
            return False
    except FileNotFoundError:
        return False
    except OSError:
        return True


def remove(path: Path) -> bool:
    """Remove an entry that nobody uses, its description last; False where somebody does."""
    try:
        with _alone(path):
            path.unlink(missing_ok=True)
            description_of(path).unlink(missing_ok=True)
    except FileNotFoundError:
        return True
    except (BlockingIOError, PermissionError):
        return False
    return True


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("r+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def begin(stream: IO[bytes], size: int) -> None:
    """Count a new file as in use, and take the disk's blocks for it.

    Taken now, other writers see that they are gone, and minutes of work do not end at a full disk.

    Raises
    ------
    OSError
        If the disk is full.
    """
    fcntl.flock(stream, fcntl.LOCK_SH)
    try:
        os.posix_fallocate(stream.fileno(), 0, size)
    except OSError as error:  # a file system that cannot do it is found full later
        if error.errno in DISK_FULL:
            raise


def size_and_time(path: Path) -> tuple[int, float]:
    """Bytes of a file and when it was last changed or, by `map_entry`, used; zeros where it has just gone."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0.0
    return status.st_size, status.st_mtime
