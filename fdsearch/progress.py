"""How long work tells a person where it stands; the command line supplies the implementation."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives lines and counters; must be cheap and must not raise."""

    def say(self, text: str) -> None:
        """One line a person should see."""

    def track(self, task: str, done: int, total: int) -> None:
        """`done` of `total` units of a named task are finished."""


class Silent:
    """Tells nobody."""

    def say(self, text: str) -> None:
        pass

    def track(self, task: str, done: int, total: int) -> None:
        pass
