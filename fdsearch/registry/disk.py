"""What a disk can do to a writer: be locked by another process, be full, be read-only, lose what was not synced.

`events` and `store` write through this module; readers need none of it, so that a registry on read-only media works.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fdsearch.errors import ConflictError, Fault, ResourceError, StorageError
from fdsearch.files import sync_folder

LOCK_SECONDS = 60.0
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_POLL_SECONDS = 0.01


@contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turn what the operating system says about a write into an error with an exit code.

    Raises
    ------
    ResourceError
        If the disk or the quota is full.
    StorageError
        For every other failure: read-only, no permission, a broken medium.
    """
    try:
        yield
    except OSError as error:
        got = error.strerror or str(error)
        where = str(error.filename or place)
        if error.errno in _FULL:
            fault = Fault(where, got, "room for the new files", "free some space and repeat the command")
            raise ResourceError("the disk is full; the registry is as it was before", [fault]) from error
        fault = Fault(where, got, "a folder that can be written", "check its permissions, or choose another --root")
        raise StorageError("the registry cannot be written", [fault]) from error


@contextmanager
def exclusive(path: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold a lock between processes; the kernel releases it when its holder dies.

    Parameters
    ----------
    path : Path
        The lock file; it is made where absent and stays.
    seconds : float
        How long to wait for another holder.

    Raises
    ------
    ConflictError
        If somebody else held the lock all that time.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        deadline = time.monotonic() + seconds
        while not _try_lock(handle):
            if time.monotonic() >= deadline:
                fault = Fault(str(path), "a lock held by another process", "a free lock", "wait for it, or end it")
                raise ConflictError(f"another process has been writing this model for {seconds:.0f} s", [fault])
            time.sleep(_POLL_SECONDS)
        yield
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def copy_durably(source: Path, target: Path) -> None:
    """Copy a folder's regular files into an existing empty folder and sync every one (files 0640, folders 0750)."""
    for item in sorted(source.iterdir()):
        place = target / item.name
        if item.is_dir():
            place.mkdir(mode=0o750)
            copy_durably(item, place)
            continue
        with item.open("rb") as reader, place.open("xb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
            writer.flush()
            os.fsync(writer.fileno())
        place.chmod(0o640)
    sync_folder(target)
