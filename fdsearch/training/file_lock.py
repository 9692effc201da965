"""A lock of the kernel on a file that others may remove while nobody holds it; `prefix_store` is built on it.

The kernel releases the lock when its holder dies, so nothing has to be cleaned up after a kill.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_S = 0.05
"""Seconds between two looks at whether a lock is free."""


def try_lock(path: Path) -> int | None:
    """Take a lock if it is free.

    Returns
    -------
    int or None
        The open handle, whose closing releases the lock; None where another process holds it or just removed the file.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A lock on a file that has lost its name would keep nobody out.
        if os.path.samestat(os.fstat(handle), path.stat()):
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


@contextmanager
def hold(path: Path, waiting: Callable[[], object]) -> Iterator[None]:
    """Hold a lock for the time of a block.

    Parameters
    ----------
    path : Path
    waiting : callable
        Called between two looks while another process holds it; may raise.
    """
    # Not waited for in the kernel: who waits for another worker's pass is alive, and says so.
    while (handle := try_lock(path)) is None:
        waiting()
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        os.close(handle)
