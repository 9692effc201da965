"""Signs of life that a fit gives between two reports, so that whoever waits can tell long work from a stuck process.

`features`, `phases` and `network` sign; the worker of `execution` passes it on to the parent. Where nobody listens, as
in `InProcess`, a sign has no effect. A module and not an argument, because those who sign stand deep below the report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY_S = 60.0
"""Seconds between two signs that a listener passes on."""

Listener = Callable[[], bool]
"""Told each sign; False asks the job to end."""

_listeners: list[Listener] = []


class Stopped(Exception):
    """The job was asked to end before anything was trained that would be worth keeping."""


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Let a listener hear the signs that are given within a block.

    Examples
    --------
    >>> with heard_by(lambda: bool(print("alive"))):
    ...     sign()
    alive
    False
    >>> sign()
    True
    """
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def sign() -> bool:
    """Give a sign; False asks the job to end when it can."""
    return all(listener() for listener in _listeners)


def sign_or_stop() -> None:
    """Give a sign where nothing is lost by an end.

    Raises
    ------
    Stopped
        If the job is asked to end.
    """
    if not sign():
        raise Stopped
