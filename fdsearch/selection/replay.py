"""How much of the chosen trial's score is the luck of having been chosen: the whole choice, replayed.

The best of many trials is best partly because it suits these very parts. In resamples of the groups the choice is made
again as the study made it: the search ranks, the best go into the repeats, `choice` settles. What the pick scores on
the groups that a resample left out says what having been chosen is worth; `scores.headline` prints what is left. The
scores come from `stack`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.selection.choice import TieRule, settle
from fdsearch.selection.intervals import claimed
from fdsearch.selection.stack import Stack, ranked, stages
from fdsearch.selection.winner import winners_interval

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Replays:
    """What each replay of the choice came to; scores are macro F1, NaN where a side holds nothing predicted.

    Parameters
    ----------
    searched, repeated : ndarray of float64, shape (n_trials,)
        Scores on all groups, in the search and in the repeats.
    picked : ndarray of int64, shape (n_boot,)
        The trial that was chosen in each resample.
    outside, winner_outside : ndarray of float64, shape (n_boot,)
        Score in the repeats of that trial and of the one that was chosen in truth, on the groups that are left out of
        the resample.
    search_gap : ndarray of float64, shape (n_boot,)
        On the groups left out: score of the search's best trial minus that of the one that is best in the resample.
    ends : callable
        Confidence -> the ends of the winner's interval.
    """

    searched: Floats
    repeated: Floats
    picked: Ints
    outside: Floats
    winner_outside: Floats
    search_gap: Floats
    ends: Callable[[float], tuple[float, float]]

    @property
    def luck(self) -> float:
        """By how much having been chosen flatters the winner; 0 where no group was ever left out."""
        return _mean(self.winner_outside - self.outside)


def optimism(
    y_true: ArrayLike,
    stack: Stack,
    groups: ArrayLike,
    classes: Sequence[str],
    *,
    top_k: int = 1,
    rule: TieRule | None = None,
    n_unseen: int = 0,
    n_boot: int = 1000,
    random_state: int = 0,
) -> dict[str, Any]:
    """Estimate how much having been chosen flatters the winner, and what is left of its score.

    Parameters
    ----------
    y_true : array-like of int, shape (n,)
    stack : Stack
    groups : array-like of int, shape (n,)
    classes : sequence of str
    top_k : int
        Trials that went from the search into the repeats, `Stack.always` not counted.
    rule : TieRule, optional
        How ties were settled.
    n_unseen : int
        Trials whose predictions are not here; the words mention them.
    n_boot, random_state : int
        Resamples and their seed.

    Returns
    -------
    dict
        Of the winner, over its repeats: ``raw`` (macro F1), ``corrected``, ``ci`` and ``level`` (of the corrected
        score; None and empty where ``why`` says why), ``optimism`` (what was taken off, cut off at 0 for print, which
        `corrected` is not), ``bbc`` (the BBC-CV estimate as published). Of the search: ``best_value`` (its highest
        score) and ``best_value_optimism`` (what that is too high by). ``n_trials``, ``n_stopped`` among them,
        ``n_unseen``, ``at_least`` (True: what is not replayed can only add) and ``words``.

    Notes
    -----
    BBC-CV takes the mean outside score of the picks as the corrected score. That lies too low even where nothing was
    chosen, because macro F1 of the third of the groups that is left out is biased downwards; so the outside scores of
    the winner are set against those of the picks, and their mean difference is what is taken off. It is exactly 0 for a
    single trial. Among trials that are equally good it is the winner's luck on average, because what is inside a
    resample says nothing of what is outside.

    A trial that was stopped between folds takes part with its own predictions and, of the pictures that it did not get
    to, those of a complete trial (`stack.stages`). Where this makes it the best of a resample, the rule between folds,
    which allows for as much gain as any trial made, would have let it go on there.

    A trial without repeats stands in with its predictions of the search, inside less what the others lost when they
    were repeated, and one without those with its repeats. On the groups left out nothing makes up for its having been
    unlucky in the search: where part of the luck is that of the folds, rather a little too much is taken off.

    The interval is that of `winner.winners_interval`, widened to hold the corrected score where it does not.

    References
    ----------
    Tsamardinos, Greasidou and Borboudakis (2018), Bootstrapping the out-of-sample predictions for efficient and
    accurate cross-validation, Machine Learning 107 (BBC-CV, BBCD-CV); Field and Welsh (2007), Bootstrapping clustered
    data, J. R. Stat. Soc. B 69(3).

    Examples
    --------
    >>> y_true = np.array([0, 1] * 40)
    >>> one = Stack(y_true[None], np.array([True]), winner=0)
    >>> found = optimism(y_true, one, range(80), ["good", "bent"], n_boot=50)
    >>> found["raw"], found["optimism"], found["corrected"], found["level"]
    (1.0, 0.0, 1.0, '95 %')
    """
    found = replay(
        y_true, stack, groups, len(classes), top_k=top_k, rule=rule, n_boot=n_boot, random_state=random_state
    )
    raw = float(found.repeated[stack.winner])
    corrected = raw - found.luck
    predicted = stack.contest.get(stack.winner, stack.search[stack.winner][None])
    bounds = claimed(found.ends, y_true, predicted, groups, classes)
    n_trials = int(np.isfinite(found.repeated).sum())
    best = found.searched[stack.complete & stack.searched]
    return {
        "raw": raw,
        "optimism": max(0.0, found.luck),
        "corrected": corrected,
        "ci": None if bounds.ci is None else _around(corrected, bounds.ci),
        "level": bounds.level,
        "why": bounds.why,
        "bbc": _mean(found.outside) if np.isfinite(found.outside).any() else None,
        "best_value": float(best.max()) if len(best) else None,
        "best_value_optimism": max(0.0, _mean(found.search_gap)),
        "n_trials": n_trials,
        "n_stopped": int((~stack.complete & np.isfinite(found.searched)).sum()),
        "n_unseen": n_unseen,
        "at_least": True,
        "words": _words(n_trials, n_unseen, max(0.0, found.luck)),
    }


def replay(
    y_true: ArrayLike,
    stack: Stack,
    groups: ArrayLike,
    n_classes: int,
    *,
    top_k: int = 1,
    rule: TieRule | None = None,
    n_boot: int = 1000,
    random_state: int = 0,
) -> Replays:
    """Make the choice again in resamples of the groups; arguments as in `optimism`, resamples as in `stack.stages`."""
    first, second = stages(y_true, stack, groups, n_classes, n_boot, random_state)
    columns = np.arange(1, n_boot + 1)  # column 0 holds the scores on all groups
    paired_se = _paired_se(second[0, :, 1:])

    def choose(searched: Floats, repeated: Floats) -> Ints:
        return pick(searched, repeated, stack, top_k, rule or TieRule(), paired_se)

    picked = choose(first[0, :, 1:], second[0, :, 1:])
    in_search = np.where(stack.searched[:, None], ranked(first[0]), -np.inf)
    best = int(np.where(stack.complete, in_search[:, 0], -np.inf).argmax())
    best_inside = in_search[:, 1:].argmax(axis=0)
    return Replays(
        searched=first[0, :, 0],
        repeated=second[0, :, 0],
        picked=picked,
        outside=second[1, picked, columns],
        winner_outside=second[1, stack.winner, 1:],
        search_gap=first[1, best, 1:] - first[1, best_inside, columns],
        ends=partial(winners_interval, first[0], second[0], stack.winner, choose),
    )


def pick(first: Floats, second: Floats, stack: Stack, top_k: int, rule: TieRule, paired_se: Floats) -> Ints:
    """Choose in each resample, given the scores in the search and in the repeats inside it.

    Parameters
    ----------
    first, second : ndarray of float64, shape (n_trials, n_boot)
        NaN where a trial has none.
    stack : Stack
        Whose latencies and `always` count.
    top_k : int
    rule : TieRule
    paired_se : ndarray of float64, shape (n_trials, n_trials)
        Standard errors of the differences in the repeats.

    Returns
    -------
    ndarray of int64, shape (n_boot,)
    """
    rank = ranked(first)
    if stack.always is not None:
        rank[stack.always] = -np.inf
    order = np.argsort(-rank, axis=0, kind="stable")[:top_k]
    enters = np.zeros(rank.shape, np.bool_)
    np.put_along_axis(enters, order, True, axis=0)
    enters &= np.isfinite(rank)
    if stack.always is not None:
        enters[stack.always] = True
    scores = np.where(enters, ranked(second), -np.inf)
    if stack.latency_ms is None or np.isnan(stack.latency_ms).all():
        return np.asarray(scores.argmax(axis=0), np.int64)  # nobody is known to be faster: ties change nothing
    return settle(scores, paired_se, stack.latency_ms, rule)


def _paired_se(samples: Floats) -> Floats:
    """Standard errors of the differences between trials, from their scores in common resamples; (m, m)."""
    together = np.atleast_2d(np.cov(samples))
    own = np.diag(together)
    return np.asarray(np.sqrt(np.maximum(own[:, None] + own - 2 * together, 0.0)))


def _around(value: float, ends: Sequence[float]) -> list[float]:
    """The ends cut off at 0 and 1; an interval that its own estimate does not lie in could not be read."""
    low, high = ends
    return [min(1.0, max(0.0, min(low, value))), min(1.0, max(0.0, high, value))]


def _mean(samples: Floats) -> float:
    """Mean of the resamples that left groups out; 0 where none did (a single group)."""
    finite = samples[np.isfinite(samples)]
    return float(finite.mean()) if len(finite) else 0.0


def _words(n_trials: int, n_unseen: int, luck: float) -> str:
    if n_trials == 1 and not n_unseen:
        return "a single trial: nothing was chosen"
    unseen = f", not counting {n_unseen} that left no predictions" if n_unseen else ""
    return f"having been chosen among {n_trials} trials{unseen} flatters it by at least {luck:.3f}"
