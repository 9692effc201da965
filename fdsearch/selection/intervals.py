"""When a macro F1 may be printed with an interval, and in which words.

The resampling is `fdsearch.metrics.group_bootstrap`; here are the rules about what its samples may claim. A class
carries as much evidence as it has groups (parts), however many pictures of them there are. `scores` puts value and
interval together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.metrics import UNPREDICTED, groups_per_class

EXACT_FROM = 30
"""Groups that every class needs for an interval printed as "95 %"."""

APPROXIMATE_FROM = 5
"""Groups that every class needs for any interval of the macro F1."""

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """What can be said about a score's uncertainty.

    Parameters
    ----------
    low, high : float or None
        Ends of the percentile interval; None where there are too few groups.
    level : str
        ``95 %``, ``approximately 95 %``, or empty where there is no interval.
    min_groups : int
        Groups of the class that has fewest.
    why : str
        Why there is no interval; empty where there is one.
    recall_bounds : mapping of str to (float, float)
        Instead of the interval, for each class with too few groups: exact 95 % bounds of the share of its parts of
        which every picture is recognised.
    """

    low: float | None
    high: float | None
    level: str
    min_groups: int
    why: str = ""
    recall_bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def ci(self) -> list[float] | None:
        """``[low, high]``, or None."""
        return None if self.low is None or self.high is None else [self.low, self.high]


def interval(
    samples: NDArray[np.float64],
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: ArrayLike,
    classes: Sequence[str],
    n_comparisons: int = 1,
) -> Interval:
    """Turn bootstrap samples of a macro F1, or of a difference of two, into what may be claimed.

    Parameters
    ----------
    samples : ndarray of float64, shape (n_boot,)
    y_true : array-like of int, shape (n,)
    y_pred : array-like of int, shape (n,) or (n_repeats, n)
        The predictions that were resampled; `fdsearch.metrics.UNPREDICTED` where there is none.
    groups : array-like of int, shape (n,)
    classes : sequence of str
    n_comparisons : int
        How many such intervals shall hold all together; each is widened for it.

    Returns
    -------
    Interval
        Percentile interval: "95 %" where every class has `EXACT_FROM` groups, "approximately 95 %" from
        `APPROXIMATE_FROM`; below that none, with exact bounds for the classes concerned.

    References
    ----------
    Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13 (percentile interval); Clopper and
    Pearson (1934), Biometrika 26(4) (exact bounds); Dunn (1961), Multiple comparisons among means, J. Am. Stat. Assoc.
    56(293) (several intervals).
    """

    def percentiles(confidence: float) -> tuple[float, float]:
        low, high = np.quantile(samples, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(low), float(high)

    return claimed(percentiles, y_true, y_pred, groups, classes, n_comparisons)


def claimed(
    ends: Callable[[float], tuple[float, float]],
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: ArrayLike,
    classes: Sequence[str],
    n_comparisons: int = 1,
) -> Interval:
    """Say of an interval what may be claimed; it is only asked for where there are enough groups.

    Parameters
    ----------
    ends : callable
        Confidence -> both ends.
    y_true, y_pred, groups, classes, n_comparisons
        As in `interval`.
    """
    counts = least_groups(y_true, y_pred, groups, len(classes))
    fewest = int(counts.min())
    if fewest >= APPROXIMATE_FROM:
        low, high = ends(1 - (1 - _CONFIDENCE) / n_comparisons)
        return Interval(low, high, "95 %" if fewest >= EXACT_FROM else "approximately 95 %", fewest)
    few = [label for label, count in enumerate(counts) if count < APPROXIMATE_FROM]
    named = ", ".join(f"{classes[label]} has {counts[label]}" for label in few)
    why = f"an interval of the macro F1 needs {APPROXIMATE_FROM} groups of every class; {named}"
    bounds = {classes[label]: recall_bounds(y_true, y_pred, groups, label) for label in few}
    return Interval(None, None, "", fewest, why, bounds)


def least_groups(y_true: ArrayLike, y_pred: ArrayLike, groups: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """Count the predicted groups of each class, in the repeat that has fewest; shape (n_classes,)."""
    true, group = np.asarray(y_true), np.asarray(groups)
    repeats = np.atleast_2d(np.asarray(y_pred)) != UNPREDICTED
    counts = [groups_per_class(true[known], group[known], n_classes) for known in repeats]
    return np.asarray(np.min(counts, axis=0))


def exact_bounds(
    hits: ArrayLike, total: ArrayLike, confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the Clopper-Pearson bounds of binomial shares; without observations they are 0 and 1.

    Examples
    --------
    >>> [float(bound.round(3)) for bound in exact_bounds(1, 40, 0.95)]
    [0.001, 0.132]
    """
    from scipy.stats import beta

    k, n, tail = np.asarray(hits), np.asarray(total), (1 - confidence) / 2
    low = np.where(k > 0, beta.ppf(tail, np.maximum(k, 1), n - k + 1), 0.0)
    high = np.where(k < n, beta.ppf(1 - tail, k + 1, np.maximum(n - k, 1)), 1.0)
    return low, high


def recall_bounds(y_true: ArrayLike, y_pred: ArrayLike, groups: ArrayLike, label: int) -> tuple[float, float]:
    """Return exact 95 % bounds of a class's recall over parts.

    A part counts as recognised where every picture of it that has the label is. With repeats, the lower bound is of the
    repeat that recognises fewest parts and the upper bound of the one that recognises most.

    Examples
    --------
    >>> [round(bound, 3) for bound in recall_bounds([1, 1, 1, 0], [1, 1, 0, 0], [5, 5, 6, 7], label=1)]
    [0.013, 0.987]
    """
    true, group = np.asarray(y_true), np.asarray(groups)
    bounds = []
    for repeat in np.atleast_2d(np.asarray(y_pred)):
        rows = (true == label) & (repeat != UNPREDICTED)
        parts = np.unique(group[rows])
        n_missed = len(np.unique(group[rows & (repeat != label)]))
        if not len(parts):
            return 0.0, 1.0
        low, high = exact_bounds(len(parts) - n_missed, len(parts), _CONFIDENCE)
        bounds.append((float(low), float(high)))
    return min(low for low, _ in bounds), max(high for _, high in bounds)
