"""Scores as they are printed: a macro F1 with its interval and support, and which of two is the headline.

The rules about intervals are in `intervals`; the optimism that is taken off comes from `optimism`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.metrics import UNPREDICTED, group_bootstrap, macro_f1
from fdsearch.selection.intervals import Interval, interval

HEADLINE_FROM = 15
"""Groups that every class needs in the holdout for its score to be the headline."""


@dataclass(frozen=True)
class Score:
    """A macro F1 with all that has to be printed beside it.

    Parameters
    ----------
    value : float
        Macro F1 of the pooled predictions, averaged over repeats; 0 to 1.
    interval : Interval
    n, n_groups : int
        Pictures and groups that were predicted.
    """

    value: float
    interval: Interval
    n: int
    n_groups: int

    def to_json(self, name: str = "macro_f1") -> dict[str, Any]:
        """Plain values; `name` is the key of the score itself.

        Examples
        --------
        >>> Score(0.8, Interval(0.7, 0.9, "95 %", 40), 300, 80).to_json("macro_f1_mean")["macro_f1_ci"]
        [0.7, 0.9]
        """
        return {
            name: self.value,
            "macro_f1_ci": self.interval.ci,
            "level": self.interval.level,
            "why": self.interval.why,
            "n": self.n,
            "n_groups": self.n_groups,
            "min_groups": self.interval.min_groups,
            "recall_bounds": {name: list(bounds) for name, bounds in self.interval.recall_bounds.items()},
        }


def score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: ArrayLike,
    classes: Sequence[str],
    *,
    n_boot: int = 2000,
    random_state: int = 0,
) -> Score:
    """Score pooled predictions and bound the score.

    Parameters
    ----------
    y_true : array-like of int, shape (n,)
    y_pred : array-like of int, shape (n,) or (n_repeats, n)
        `fdsearch.metrics.UNPREDICTED` where a repeat did not predict the picture. A group's repeats are resampled
        together: repeating the folds does not make more parts.
    groups : array-like of int, shape (n,)
    classes : sequence of str
    n_boot, random_state : int
        As in `fdsearch.metrics.group_bootstrap`.

    Returns
    -------
    Score
    """
    predictions = np.atleast_2d(np.asarray(y_pred))
    samples = mean_over_repeats(group_bootstrap(y_true, predictions, groups, len(classes), n_boot, random_state))
    known = (predictions != UNPREDICTED).any(axis=0)
    return Score(
        value=mean_macro_f1(y_true, predictions, len(classes)),
        interval=interval(samples, y_true, predictions, groups, classes),
        n=int(known.sum()),
        n_groups=len(np.unique(np.asarray(groups)[known])),
    )


def mean_macro_f1(y_true: ArrayLike, y_pred: ArrayLike, n_classes: int) -> float:
    """Return the macro F1 of each repeat's pooled predictions, averaged over repeats; arguments as in `score`."""
    return float(np.mean([macro_f1(y_true, repeat, n_classes) for repeat in np.atleast_2d(np.asarray(y_pred))]))


def mean_over_repeats(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average bootstrap samples (n_repeats, n_boot) over repeats; resamples that left a repeat empty are dropped."""
    mean = samples.mean(axis=0)
    return np.asarray(mean[np.isfinite(mean)])


def headline(out_of_fold: Score, optimism: float, holdout: Score | None) -> dict[str, Any]:
    """Choose the one score to be believed.

    Parameters
    ----------
    out_of_fold : Score
        The candidate's, over repeats.
    optimism : float
        By how much choosing among trials flatters it, 0 to 1; see `fdsearch.selection.optimism`.
    holdout : Score or None
        The candidate's on the sealed pictures.

    Returns
    -------
    dict
        ``value, ci, source, min_groups, level, why``, and the other score under ``beside``. `source` is ``holdout``
        where every class has `HEADLINE_FROM` groups there, else ``out_of_fold``, corrected.
    """
    corrected = _headline(_without(out_of_fold, optimism), "out_of_fold")
    if holdout is None:
        return {**corrected, "beside": None}
    sealed = _headline(holdout, "holdout")
    if holdout.interval.min_groups >= HEADLINE_FROM:
        return {**sealed, "beside": corrected}
    return {**corrected, "beside": sealed}


def _headline(score: Score, source: str) -> dict[str, Any]:
    bounds = score.interval
    return {
        "value": score.value,
        "ci": bounds.ci,
        "source": source,
        "min_groups": bounds.min_groups,
        "level": bounds.level,
        "why": bounds.why,
    }


def _without(score: Score, optimism: float) -> Score:
    bounds = score.interval
    value = max(0.0, score.value - optimism)
    if bounds.low is None or bounds.high is None:
        return replace(score, value=value)
    # The correction is itself estimated, so the shifted interval is never called exact: it held the truth in .94 to .99
    # of the studies that tests/selection/test_optimism.py draws, and in .88 to .99 with six classes of 7 to 156 parts.
    level = "approximately 95 %" if optimism else bounds.level
    shifted = replace(bounds, low=max(0.0, bounds.low - optimism), high=max(0.0, bounds.high - optimism), level=level)
    return replace(score, value=value, interval=shifted)
