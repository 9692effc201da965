"""Whether a number sets the parts of one class apart from all others: rank sums against exchanged parts.

For `data.shortcuts`. A small tree learns too little from six parts to be above chance surely; their ranks can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

N_EXCHANGES = 5_000
"""Random choices of parts that stand in for a class. Four in a thousand of them, the level of one of six classes, are
twenty."""

_BATCH = 1 << 22
"""Random numbers drawn at a time."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranked:
    """How well columns of numbers sort the parts of a class from the others.

    Parameters
    ----------
    auc : ndarray of float64, shape (n_columns,)
        Chance that a picture of a part of the class has a larger number than a picture of another part (ties count
        half; every part counts once).
    margin : ndarray of float64, shape (n_columns,)
        Half the width of its interval.
    """

    auc: Floats
    margin: Floats


def rank_tests(
    columns: ArrayLike, labels: ArrayLike, groups: ArrayLike, asked: Sequence[int], level: float, random_state: int = 0
) -> list[Ranked]:
    """Compare the parts of each class with all other parts, in every column.

    Every part counts once, with the mean rank of its pictures: several exposures of a part make its mean surer, and a
    sum of ranks knows how sure. A part that has several labels stands on both sides, with the pictures of each, which
    makes the test stricter only.

    The margin is so many standard errors as the largest deviation of all columns has in all but ``1 - level`` (shared
    by the classes) of the cases in which as many parts are drawn at random for the class. So the interval of any column
    leaves out 0.5 exactly where a permutation test that knows of all columns rejects. It is exact where parts have
    equally many pictures, and its question is whether the class's parts could be any parts: one whose numbers merely
    vary more than those of others may be noticed as well.

    Parameters
    ----------
    columns : array-like of float, shape (n, n_columns)
        Of n pictures.
    labels, groups : array-like of int, shape (n,)
    asked : sequence of int
        Classes, each of which has a part and lacks one.
    level : float
        Of all intervals together, e.g. 0.95.
    random_state : int

    Returns
    -------
    list of Ranked
        One for each class that is asked for.

    References
    ----------
    Datta and Satten (2005), Rank-sum tests for clustered data, JASA 100; Westfall and Young (1993), Resampling-based
    multiple testing (the largest of dependent statistics).
    """
    numbers, true, group = np.asarray(columns, np.float64), np.asarray(labels), np.asarray(groups)
    share = 1 - (1 - level) / len(asked)
    rng = np.random.default_rng(random_state)
    return [_compared(*_parts(numbers, true == label, group), share, rng) for label in asked]


@dataclass(frozen=True, eq=False)
class _Parts:
    """Mean ranks (n_parts, n_columns) from 0 to 1, and their variances as far as pictures per part explain them."""

    ranks: Floats
    variances: Floats


def _parts(numbers: Floats, inside: NDArray[np.bool_], groups: Ints) -> tuple[_Parts, NDArray[np.bool_]]:
    """The parts, and which are of the class."""
    keys, part = np.unique(2 * groups + inside, return_inverse=True)
    pictures = np.bincount(part)
    ranks = np.column_stack([_ranks(column, 1 / pictures[part]) for column in numbers.T]) / len(keys)
    means = np.column_stack([np.bincount(part, weights=column) for column in ranks.T]) / pictures[:, None]
    within = ((ranks - means[part]) ** 2).sum(axis=0) / max(len(ranks) - len(keys), 1)
    between = np.maximum(means.var(axis=0, ddof=1) - within * (1 / pictures).mean(), 0)
    return _Parts(means, between + within / pictures[:, None]), keys % 2 == 1


def _ranks(numbers: Floats, weights: Floats) -> Floats:
    """Weight of all smaller numbers and half that of equal ones."""
    _, place = np.unique(numbers, return_inverse=True)
    weight = np.bincount(place, weights=weights)
    return np.asarray((np.cumsum(weight) - weight / 2)[place])


def _compared(parts: _Parts, inside: NDArray[np.bool_], share: float, rng: np.random.Generator) -> Ranked:
    n, n_inside = len(inside), int(inside.sum())
    difference, error = _differences(inside[None].astype(np.float64), parts)
    largest = [(np.abs(difference) / error).max(axis=1)]  # the observed parts are one of the choices too
    for start in range(0, N_EXCHANGES, step := max(1, _BATCH // n)):
        drawn = np.zeros((min(step, N_EXCHANGES - start), n))
        chosen = np.argpartition(rng.random(drawn.shape, np.float32), n_inside - 1, axis=1)[:, :n_inside]
        np.put_along_axis(drawn, chosen, 1, axis=1)
        lifts, errors = _differences(drawn, parts)
        largest.append((np.abs(lifts) / errors).max(axis=1))
    # Sums in another order may miss equality by their rounding.
    limit = np.quantile(np.concatenate(largest), share, method="higher") * (1 + 1e-9)
    return Ranked(0.5 + difference[0], np.minimum(limit * error[0], 0.5))


def _differences(inside: Floats, parts: _Parts) -> tuple[Floats, Floats]:
    """Mean rank inside less that outside, with its standard error, for k choices of parts."""
    n_inside, n_outside = inside[0].sum(), len(parts.ranks) - inside[0].sum()
    ranks, variances = inside @ parts.ranks, inside @ parts.variances
    lifts = ranks / n_inside - (parts.ranks.sum(axis=0) - ranks) / n_outside
    squares = variances / n_inside**2 + (parts.variances.sum(axis=0) - variances) / n_outside**2
    return lifts, np.sqrt(np.maximum(squares, 1e-12))
