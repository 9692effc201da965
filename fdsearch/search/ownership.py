"""The lock of the one parent that works in a run folder.

The lock is the kernel's (``flock``): it is free the moment its holder is dead, so nothing has to be cleaned up.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from fdsearch.errors import ConflictError, Fault
from fdsearch.files import disk_errors
from fdsearch.search.leases import Parent, this_parent

LOOK_S = 0.3
"""Seconds within which whoever only looks has let go of the lock."""


@contextmanager
def own_study(folder: Path) -> Iterator[None]:
    """Hold a run folder's lock.

    Raises
    ------
    ConflictError
        If another process holds it; the message names that process.
    StorageError, ResourceError
        If the folder cannot be written, or the disk is full.
    """
    path = folder / "lock"
    with disk_errors(path, "the lock of a run"):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        if not _locked(handle):
            held = os.read(handle, 4096).decode(errors="replace") or "another process"
            fix = "wait for it, or `fdsearch stop` it; a second parent on a shared database needs a --root of its own"
            fault = Fault(str(path), f"held by {held}", "a free lock", fix)
            raise ConflictError("another fdsearch is working on this study", [fault])
        with disk_errors(path, "the lock of a run"):
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(asdict(this_parent())).encode(), 0)
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    """Take the lock, if need be after those who only look whether it is free, and hold it for that moment."""
    give_up = time.monotonic() + LOOK_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > give_up:
                return False
            time.sleep(LOOK_S / 10)


def holder(folder: Path) -> Parent | None:
    """The living process that holds a run folder's lock, or None if there is none."""
    try:
        handle = os.open(folder / "lock", os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        content = os.read(handle, 4096)
        parent = _parent(content) if content else None
        # The lock of one that is gone is held by somebody who looks, too; its number may be another process's by now.
        return None if parent is None or parent.is_gone(this_parent()) else parent
    finally:
        os.close(handle)


def _parent(content: bytes) -> Parent:
    try:
        return Parent(**json.loads(content))
    except (ValueError, TypeError):  # of another version of fdsearch: nobody we could reach
        return Parent("another machine", "", "", 0, "")
