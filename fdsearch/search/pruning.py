"""When a trial is stopped early: within its first fold by an Optuna pruner, after each fold by what it can still reach.

`attempt` smooths what `loop` reports; the loop asks. The constants were chosen on recorded searches that were not
pruned: docs/performance.md has the figures, benchmarks/pruning.py measures them again.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fdsearch.config import SearchSpec

if TYPE_CHECKING:
    from optuna.pruners import BasePruner

COMPLETE_FIRST = 8
"""Nothing is pruned before so many trials are complete; TPE draws its first eight at random, too."""
INCUMBENTS = 0.5
"""The best half of the complete trials."""
QUARTILE = 0.25
_FALL = 0.5
_PATIENCE = 2
_PERCENTILE_KEPT = 90.0
_HYPERBAND_TRIALS = 100
_ROUNDING = 1e-9
"""Scores are sums of quotients of small numbers: nobody is stopped for a last digit."""


class Smoothed:
    """The validation macro F1 of one trial's first fold: it rises with the values and falls halfway.

    On small folds macro F1 drops for an epoch or two where a phase begins to train more layers, and the last epochs of
    a good trial rise steeply. A plain exponential or trailing mean hides the rise; on recorded searches it saved less
    and lost a few winners. That a lucky peak stays is cheap: it buys the rest of one fold, after which the pooled score
    counts.

    Examples
    --------
    >>> smoothed = Smoothed()
    >>> [smoothed.add(value) for value in (0.5, 0.25, 0.75)]
    [0.5, 0.375, 0.75]
    """

    def __init__(self) -> None:
        self._last = -math.inf

    def add(self, value: float) -> float:
        """Take an epoch's macro F1, 0 to 1, and return the smoothed one to report to Optuna."""
        fallen = self._last + _FALL * (value - self._last) if math.isfinite(self._last) else value
        self._last = max(value, fallen)
        return self._last


def make_pruner(search: SearchSpec, n_steps: int) -> BasePruner:
    """Make the pruner that judges the epochs of a trial's first fold.

    ``median`` and ``percentile`` stop a trial once its smoothed value has not risen for two epochs, and its best one is
    below the median, or among the worst tenth, of what the complete trials had at the same epoch (Optuna's
    `PatientPruner` around its percentile pruner).

    Parameters
    ----------
    search : SearchSpec
    n_steps : int
        The largest number of steps of a trial: epochs of the first fold and folds.

    Returns
    -------
    optuna.pruners.BasePruner
    """
    import optuna
    from optuna import pruners

    if search.pruner == "none":
        return pruners.NopPruner()
    if search.pruner == "hyperband":
        return pruners.HyperbandPruner(min_resource=1, max_resource=n_steps)
    kept = 50.0 if search.pruner == "median" else _PERCENTILE_KEPT
    judge = pruners.PercentilePruner(kept, n_startup_trials=COMPLETE_FIRST, n_min_trials=COMPLETE_FIRST)
    with warnings.catch_warnings():
        # Optuna calls it experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return pruners.PatientPruner(judge, patience=_PATIENCE)


def pruner_warning(search: SearchSpec) -> str | None:
    """What a person should know about the pruner they chose."""
    if search.pruner == "hyperband" and search.n_trials < _HYPERBAND_TRIALS:
        return (
            f"hyperband splits {search.n_trials} trials among brackets that each start at random; "
            f"below {_HYPERBAND_TRIALS} trials percentile is the better pruner"
        )
    return None


def loses_between_folds(search: SearchSpec, path: Sequence[float], finished: Sequence[Sequence[float]]) -> bool:
    """Whether a trial cannot reach the incumbents any more, even were it to gain as much as any trial has.

    The incumbents are the better half of the complete trials: what is selected from in the end is among them. A trial
    loses when its pooled score, plus the largest gain that any complete trial made from this fold to its end, is below
    the lower quartile of their final scores. Nobody loses before 8 trials are complete: the largest of few gains says
    little about the next one.

    The comparison is of pooled scores only. Optuna's pruners compare a trial's best value so far; that would let one
    lucky epoch of the first fold stand for the pooled score.

    Parameters
    ----------
    search : SearchSpec
        With the pruners none and hyperband no trial loses here.
    path : sequence of float
        The trial's pooled macro F1 after fold 1, 2, ...: 1 to n_splits - 1 values.
    finished : sequence of sequence of float
        The same of each complete trial: n_splits values each, the last one its final score.

    Returns
    -------
    bool

    Examples
    --------
    Eight trials gained at most .1 after their first fold; the better four ended at .8:

    >>> finished = [(0.4, 0.5)] * 4 + [(0.75, 0.8)] * 4
    >>> [loses_between_folds(SearchSpec(), (score,), finished) for score in (0.65, 0.75)]
    [True, False]
    """
    if search.pruner in ("none", "hyperband") or len(finished) < COMPLETE_FIRST:
        return False
    final = np.array([scores[-1] for scores in finished])
    after_same_fold = np.array([scores[len(path) - 1] for scores in finished])
    gain = max(0.0, float((final - after_same_fold).max()))
    incumbents = np.sort(final)[-math.ceil(INCUMBENTS * len(final)) :]
    return path[-1] + gain < float(np.quantile(incumbents, QUARTILE)) - _ROUNDING
