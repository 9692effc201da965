"""Which of several candidates is taken: the best, or one that is as good as far as can be told, and faster.

`comparison` says how exactly two candidates can be told apart; `replay` settles the same question in every resample, so
that the luck of this rule is counted, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class TieRule:
    """When a tie goes to the faster candidate.

    Parameters
    ----------
    prefer_fast : bool
        Any gain in speed counts; the study bounds the latency.
    halves : float
        Otherwise only one that takes at most this share of the best candidate's time.
    """

    prefer_fast: bool = False
    halves: float = 0.5

    @property
    def share(self) -> float:
        """What a tied candidate may take of the best one's time."""
        return 1.0 if self.prefer_fast else self.halves


@dataclass(frozen=True)
class Choice:
    """Which candidate was taken, by its place among those offered.

    Parameters
    ----------
    winner : int
        The one that is taken.
    best : int
        The one with the best score.
    tied : tuple of int
        The others whose difference to the best is below one standard error, best first.
    given_up : float
        Score of the best minus that of the winner, 0 or more.
    why : str
        The reason in words.
    """

    winner: int
    best: int
    tied: tuple[int, ...]
    given_up: float
    why: str


def choose(scores: ArrayLike, paired_se: ArrayLike, latency_ms: ArrayLike, rule: TieRule) -> Choice:
    """Take the best candidate, or a tied one that is faster where that is wanted or at least twice as fast.

    Parameters
    ----------
    scores : array-like, shape (k,)
        Larger is better; the first of equal ones is the best.
    paired_se : array-like, shape (k,)
        Standard error of each one's difference to the best; the best one's own is not read.
    latency_ms : array-like, shape (k,)
        Milliseconds for a picture; NaN where they are not known, and then the candidate is no faster.
    rule : TieRule

    Returns
    -------
    Choice

    References
    ----------
    Breiman, Friedman, Olshen and Stone (1984), Classification and Regression Trees, section 3.4.3 (one standard error).

    Examples
    --------
    >>> choice = choose([0.80, 0.79, 0.70], [0.0, 0.02, 0.02], [30.0, 8.0, 1.0], TieRule())
    >>> choice.winner, choice.best, choice.tied, round(choice.given_up, 4)
    (1, 0, (1,), 0.01)
    >>> choose([0.80, 0.79], [0.0, 0.02], [30.0, 25.0], TieRule()).winner
    0
    """
    values, errors = np.asarray(scores, np.float64), np.asarray(paired_se, np.float64)
    latency = np.asarray(latency_ms, np.float64)
    best = int(values.argmax())
    to_the_best = np.zeros((len(values), len(values)))
    to_the_best[best] = errors
    winner = int(settle(values[:, None], to_the_best, latency, rule)[0])
    others = np.flatnonzero(_tied(values[best] - values, errors))
    tied = tuple(int(place) for place in others[np.argsort(-values[others], kind="stable")] if place != best)
    given_up = float(values[best] - values[winner])
    return Choice(winner, best, tied, given_up, _why(winner, best, tied, given_up, errors, latency, rule))


def settle(scores: Floats, paired_se: Floats, latency_ms: Floats, rule: TieRule) -> Ints:
    """Choose in many resamples at once, as `choose` does in one.

    Parameters
    ----------
    scores : ndarray of float64, shape (m, k)
        Of m candidates in k resamples; minus infinity where one does not take part.
    paired_se : ndarray of float64, shape (m, m)
        Standard errors of the differences.
    latency_ms : ndarray of float64, shape (m,)
    rule : TieRule

    Returns
    -------
    ndarray of int64, shape (k,)
    """
    best = scores.argmax(axis=0)
    with np.errstate(invalid="ignore"):  # where nobody takes part
        gap = scores.max(axis=0) - scores
    quick = (latency_ms[:, None] < latency_ms[best]) & (latency_ms[:, None] <= rule.share * latency_ms[best])
    eligible = _tied(gap, paired_se[best].T) & quick
    time = np.where(eligible, latency_ms[:, None], np.inf)
    quickest = np.where(eligible & (time == time.min(axis=0)), scores, -np.inf).argmax(axis=0)
    return np.asarray(np.where(eligible.any(axis=0), quickest, best), np.int64)


def _tied(gap: NDArray[Any], error: NDArray[Any]) -> NDArray[np.bool_]:
    """Equal, or apart by less than one standard error."""
    return np.asarray((gap < error) | (gap == 0))


def _why(
    winner: int, best: int, tied: tuple[int, ...], given_up: float, errors: Floats, latency: Floats, rule: TieRule
) -> str:
    if winner != best:
        return (
            f"a tie with the best: {given_up:.4f} below it, one standard error is {errors[winner]:.4f}; it takes "
            f"{latency[winner]:.1f} ms for a picture instead of {latency[best]:.1f}"
        )
    if not tied:
        return "the best score, by more than one standard error"
    faster = "faster" if rule.prefer_fast else "at least twice as fast"
    count = f"{len(tied)} others are" if len(tied) > 1 else "another is"
    return f"the best score; {count} less than one standard error below it, but not known to be {faster}"
