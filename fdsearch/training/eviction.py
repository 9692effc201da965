"""What the prefix cache may hold, and what it gives up for something new: numbers in, a decision out.

`prefix_store` measures and removes; nothing here touches a file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass

from fdsearch.errors import ConfigError, Fault

ENVIRONMENT = "FDSEARCH_CACHE_GB"
"""Environment variable: the budget in units of 10**9 bytes; 0 stores nothing."""

MAX_BYTES = 50 * 10**9
RESERVE_BYTES = 10**9
"""Bytes of the disk that the cache leaves free: the study's database and checkpoints are written there too."""


@dataclass(frozen=True)
class Stored:
    """One entry of the cache.

    Parameters
    ----------
    name : str
    size : int
        Bytes.
    used : float
        When it was last opened, seconds since the epoch.
    in_use : bool
        Whether a living process has it open: removing it would free nothing before that process lets go.
    """

    name: str
    size: int
    used: float
    in_use: bool = False


@dataclass(frozen=True)
class Space:
    """Bytes that the cache holds (unfinished files included), that its disk has free, and that it may hold at most."""

    held: int
    free: int
    budget: int

    @property
    def room(self) -> int:
        """Bytes that may come before any must go."""
        return max(0, min(self.budget - self.held, self.free - RESERVE_BYTES))

    def excess(self, needed: int) -> int:
        """Bytes that must go before `needed` new ones may come.

        Examples
        --------
        >>> Space(held=30, free=10 * RESERVE_BYTES, budget=40).excess(25)
        15
        """
        return max(self.held + needed - self.budget, needed + RESERVE_BYTES - self.free, 0)


def budget_bytes(held: int, free: int) -> int:
    """What the cache may hold: ``FDSEARCH_CACHE_GB``, else 50 GB or half of what it holds and the disk has free.

    Raises
    ------
    ConfigError
        If the variable holds no number of gigabytes.
    """
    text = os.environ.get(ENVIRONMENT, "")
    if not text:
        return min(MAX_BYTES, (held + free) // 2)
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = math.nan
    if not 0 <= gigabytes < math.inf:
        fault = Fault(ENVIRONMENT, repr(text), "gigabytes, 0 or more", f"{ENVIRONMENT}=20, or unset it")
        raise ConfigError("the budget of the cache is no number", [fault])
    return round(gigabytes * 10**9)


def plan(entries: Iterable[Stored], excess: int) -> list[Stored] | None:
    """The least recently used entries that together hold at least `excess` bytes.

    Parameters
    ----------
    entries : iterable of Stored
        Those in use stay.
    excess : int

    Returns
    -------
    list of Stored or None
        As few as that order allows, oldest use first; None where all that may go is not enough, and nothing should.

    Examples
    --------
    >>> entries = [Stored("a", 5, used=3.0), Stored("b", 5, used=1.0), Stored("c", 5, used=2.0, in_use=True)]
    >>> [entry.name for entry in plan(entries, 6)], plan(entries, 11)
    (['b', 'a'], None)
    """
    going: list[Stored] = []
    for entry in sorted((each for each in entries if not each.in_use), key=lambda each: (each.used, each.name)):
        if excess <= 0:
            break
        going.append(entry)
        excess -= entry.size
    return going if excess <= 0 else None
