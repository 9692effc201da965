"""The interval of a score that was chosen for being high; `replay` asks, `intervals` says in which words it is printed.

A percentile interval knows how much a score varies, but not that it was the highest of many: around the score itself it
lies too high, and shifted it is too wide where the trials are equally good and too narrow where they are not. The one
here holds whatever the trials are worth.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Chooser = Callable[[Floats, Floats], Ints]
"""Scores in the search and in the repeats, each (n_trials, k) -> the trial that is chosen in each column, (k,)."""

_ON_REACH = 0.1
"""Share of the error that is spent on bounding the truth at all; the authors' recommendation."""

_STEPS = 200
"""Of the grids, to each side of the score."""


def winners_interval(
    first: Floats, second: Floats, winner: int, choose: Chooser, confidence: float
) -> tuple[float, float]:
    """Bound what a chosen trial is worth, given that it was chosen.

    Parameters
    ----------
    first, second : ndarray of float64, shape (n_trials, 1 + n_boot)
        Scores in the search and in the repeats: column 0 on all groups, then in resamples of the groups. NaN where
        there is none.
    winner : int
        The trial whose score in the repeats is bounded.
    choose : callable
        The study's choice.
    confidence : float

    Returns
    -------
    low, high : float
        Not cut off at 0 and 1.

    Notes
    -----
    All scores are taken as jointly normal around what the trials are worth, with the covariance of the resamples. What
    is independent of the winner's score is held fixed; then the choice depends on that score alone, and making it again
    along a line of scores shows for which of them the trial would have been chosen. Given the choice, the score is a
    normal variable cut off to those. The interval holds the truths under which the score that was seen lies in neither
    tail of this distribution.

    Next to a tie such an interval can be endless. So a tenth of the error is spent beforehand on a bound that holds for
    all trials at once, chosen or not, and only truths and scores within that reach of each other are considered. Where
    this trial would be chosen at any score within reach, the choice says nothing and the percentiles of the resamples
    are returned; where `choose` does not return it even at the score that was seen, the bound for all trials.

    References
    ----------
    Andrews, Kitagawa and McCloskey (2024), Inference on Winners, Quarterly Journal of Economics 139(1): the hybrid
    interval with equal tails. The resamples' covariance and their reach take the place of known ones.

    Examples
    --------
    Two trials that are equal as far as can be told: the score of the better one is rather too high than too low.

    >>> noise = np.random.default_rng(0).normal(0, 0.02, (2, 1000))
    >>> scores = np.column_stack([[0.80, 0.79], 0.8 + noise])
    >>> low, high = winners_interval(scores, scores, 0, lambda first, second: second.argmax(axis=0), 0.95)
    >>> round(0.80 - low, 2), round(high - 0.80, 2)
    (0.06, 0.04)
    """
    known = np.isfinite(second[winner, 1:])
    seen, samples = second[winner, 0], second[winner, 1:][known]
    searched, repeated = (_deviations(stage[:, 1:][:, known]) for stage in (first, second))
    spread, alpha = float(samples.std()), 1 - confidence
    if spread == 0:
        return float(seen), float(seen)
    reach = _reach(repeated, _ON_REACH * alpha)
    offsets = np.linspace(-2 * reach, 2 * reach, 2 * _STEPS + 1)  # of the score, in standard errors
    pull = repeated[winner] / len(samples) / spread  # what all other scores move by with one standard error of this one
    line = [
        stage[:, :1] + (deviations @ pull)[:, None] * offsets
        for stage, deviations in ((first, searched), (second, repeated))
    ]
    chosen = choose(line[0], line[1]) == winner
    if chosen.all():
        low, high = np.quantile(samples, [alpha / 2, 1 - alpha / 2])
        return float(low), float(high)
    if not chosen[_STEPS]:
        return float(seen - reach * spread), float(seen + reach * spread)
    truths = np.linspace(-reach, reach, 2 * _STEPS + 1)
    tail = (1 - _ON_REACH) * alpha / (1 - _ON_REACH * alpha) / 2
    low, high = np.interp([tail - 1, -tail], -_share_below(truths, offsets, chosen, reach), truths)
    return float(seen + low * spread), float(seen + high * spread)


def _deviations(samples: Floats) -> Floats:
    """How each trial's scores vary around their mean over the resamples; 0 where there is no score."""
    known = np.isfinite(samples)
    means = np.where(known, samples, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.where(known, samples - means[:, None], 0.0)


def _reach(deviations: Floats, alpha: float) -> float:
    """Standard errors within which no trial's score lies off what it is worth, but in a share `alpha` of studies."""
    spread = deviations.std(axis=1, keepdims=True)
    largest = np.abs(np.divide(deviations, spread, out=np.zeros_like(deviations), where=spread > 0)).max(axis=0)
    return float(np.quantile(largest, 1 - alpha))


def _share_below(truths: Floats, offsets: Floats, chosen: Bools, reach: float) -> Floats:
    """Probability, under each truth, of a score below the one that was seen, given the choice; falls with the truth."""
    away = offsets - truths[:, None]
    density = np.exp(-(away**2) / 2) * (chosen & (np.abs(away) <= reach + 1e-9))
    below = (density[:, :_STEPS].sum(axis=1) + density[:, _STEPS] / 2) / density.sum(axis=1)
    return np.minimum.accumulate(below)
