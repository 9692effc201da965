"""Ctrl-C, SIGTERM and SIGHUP as a request that long work asks about between its steps.

The first signal lets a step finish and save; a second Ctrl-C ends at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from fdsearch.errors import Interrupted


class Interruption:
    """Remembers the first signal."""

    def __init__(self) -> None:
        self.signum: int | None = None

    def requested(self) -> bool:
        """Whether somebody asked to stop."""
        return self.signum is not None

    def check(self) -> None:
        """Raise `Interrupted` if somebody asked to stop."""
        if self.signum is not None:
            raise Interrupted(self.signum)

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None and signum == signal.SIGINT:
            raise Interrupted(signum)
        self.signum = signum


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Collect signals for the time of a block; in a thread other than the main one, none can be collected."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers:
            if before[number] is not signal.SIG_IGN:
                signal.signal(number, interruption._remember)
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
