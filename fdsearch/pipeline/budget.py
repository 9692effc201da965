"""The wall clock of one `run`, shared among search, repeats and the rest."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

SEARCH_SHARE = 0.55
LAST_SHARE = 0.10
_MIN_LAST_S = 30.0
REFIT_OVER_FOLD = 1.5
"""A refit trains on all development parts, a fold on most of them; building and saving the model come on top."""


@dataclass(frozen=True)
class Budget:
    """When each stage must end; `total` is None for no limit.

    Parameters
    ----------
    started : float
        `time.monotonic` value of the beginning.
    total : float or None
        Seconds for everything.
    """

    started: float
    total: float | None

    @property
    def search_deadline(self) -> float | None:
        """End of the search; what it leaves is for the repeats."""
        return None if self.total is None else self.started + SEARCH_SHARE * self.total

    def repeats_deadline(self, fold_seconds: float) -> float | None:
        """End of the repeats, before refit, holdout, registration and report.

        Parameters
        ----------
        fold_seconds : float
            Measured cost of the dearest candidate's fold: what the refit will take follows from it.
        """
        if self.total is None:
            return None
        last = max(LAST_SHARE * self.total, REFIT_OVER_FOLD * fold_seconds + _MIN_LAST_S)
        # However short the budget, half of what the search leaves is for the repeats.
        return self.started + self.total - min(last, (1 - SEARCH_SHARE) * self.total / 2)

    @property
    def left(self) -> float | None:
        """Seconds that are left."""
        return None if self.total is None else self.started + self.total - time.monotonic()


def affordable(costs: Sequence[float], left: float | None) -> int:
    """How many of the candidates, best first, can be cross-validated once in the seconds left; at least one.

    Examples
    --------
    >>> affordable([10.0, 200.0, 10.0], 215.0), affordable([500.0], 10.0), affordable([10.0, 10.0], None)
    (2, 1, 2)
    """
    if left is None:
        return len(costs)
    count, spent = 0, 0.0
    for cost in costs:
        spent += cost
        if spent > left:
            break
        count += 1
    return max(1, count)
