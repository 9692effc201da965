"""The predictions of a study's trials, and what they score in resamples of the groups.

`replay` makes the study's choice again from these scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.metrics import UNPREDICTED, group_sums, resampled_macro_f1, resamples

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_ROWS_AT_A_TIME = 32
"""What is summed up per group would not fit into memory for a thousand trials."""


@dataclass(frozen=True, eq=False)
class Stack:
    """The predictions of all trials, as the search saw them and as the repeats did.

    Parameters
    ----------
    search : ndarray of int64, shape (n_trials, n)
        Out-of-fold classes on the search's folds; `fdsearch.metrics.UNPREDICTED` where there are none.
    complete : ndarray of bool, shape (n_trials,)
        False for a trial that was stopped between folds and predicted only some of them.
    winner : int
        The trial that was chosen.
    contest : mapping of int to ndarray of int64, shape (n_repeats, n)
        The same of the repeats, for the trials that were repeated; all with as many repeats.
    latency_ms : ndarray of float64, shape (n_trials,), or None
        NaN where it is not known; None where none is.
    always : int or None
        The trial that is repeated whatever the search says of it: the baseline, where it can win.
    """

    search: Ints
    complete: Bools
    winner: int
    contest: Mapping[int, Ints] = field(default_factory=dict)
    latency_ms: Floats | None = None
    always: int | None = None

    @property
    def searched(self) -> Bools:
        """Which trials left predictions of the search, shape (n_trials,)."""
        return np.asarray((self.search != UNPREDICTED).any(axis=1))


def stages(
    y_true: ArrayLike, stack: Stack, groups: ArrayLike, n_classes: int, n_boot: int, random_state: int
) -> tuple[Floats, Floats]:
    """Score every trial in the search and in the repeats, inside and outside of resamples of the groups.

    A trial that was stopped between folds takes part in the search with its own predictions and, of pictures that it
    did not get to, those of a complete trial; complete trials are dealt to the stopped ones in turn. A trial without
    repeats stands in with its score in the search, inside less what the trials that the search sent into the repeats
    lost there: it would have lost its luck of the folds, too. One without the search stands in with its repeats.

    Parameters
    ----------
    y_true : array-like of int, shape (n,)
    stack : Stack
    groups : array-like of int, shape (n,)
    n_classes, n_boot, random_state : int
        The resamples are those of `fdsearch.metrics.resamples` over the groups of which any trial predicted a picture.

    Returns
    -------
    first, second : ndarray of float64, shape (2, n_trials, 1 + n_boot)
        Macro F1 in the search and in the repeats. Index 0 is inside a resample, 1 on the groups that it left out.
        Column 0 stands for all groups, with nothing left out. NaN where nothing predicted is left.
    """
    true, n_trials = np.asarray(y_true, np.int64), len(stack.search)
    flat = np.concatenate([_filled(stack), *stack.contest.values()])
    scores = np.full((2, len(flat), 1 + n_boot), np.nan)
    known = flat != UNPREDICTED
    rows, seen = known.any(axis=1), known.any(axis=0)
    scores[:, rows] = _scores(
        true[seen], flat[rows][:, seen], np.asarray(groups)[seen], n_classes, n_boot, random_state
    )
    first, contest = scores[:, :n_trials], scores[:, n_trials:]
    second = np.full_like(first, np.nan)
    if stack.contest:
        repeated = contest.reshape(2, len(stack.contest), -1, 1 + n_boot).mean(axis=2)
        second[:, list(stack.contest)] = repeated
    stand_in = first.copy()
    stand_in[0] -= _lost(first[0], second[0], stack)
    return np.where(np.isnan(first), second, first), np.where(np.isnan(second), stand_in, second)


def _filled(stack: Stack) -> Ints:
    """The search's predictions with the gaps of stopped trials filled; without a complete trial those are left out.

    A stopped trial was behind on the parts it predicted, so the others are lucky there. Filled by what knows nothing of
    those parts, both weigh them alike and the two kinds of luck cancel. They would not if the lag were carried on to
    the other parts, nor if the best trial filled every gap: it is lucky there, too.
    """
    search = stack.search.copy()
    stopped = np.flatnonzero(~stack.complete & stack.searched)
    givers = search[stack.complete & stack.searched]
    if len(givers):
        dealt = givers[np.arange(len(stopped)) % len(givers)]
        search[stopped] = np.where(search[stopped] == UNPREDICTED, dealt, search[stopped])
    else:
        search[stopped] = UNPREDICTED
    return search


def _lost(searched: Floats, repeated: Floats, stack: Stack) -> Floats:
    """By how much trials scored less in the repeats than in the search that sent them there, (1 + n_boot,)."""
    sent = np.array([trial for trial in stack.contest if trial != stack.always], np.int64)
    drops = searched[sent] - repeated[sent]
    known = np.isfinite(drops)
    return np.asarray(np.where(known, drops, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))


def _scores(y_true: Ints, predictions: Ints, groups: Ints, n_classes: int, n_boot: int, random_state: int) -> Floats:
    """Score rows of predictions inside and outside of all groups (column 0) and every resample: (2, m, 1 + n_boot)."""
    found = np.empty((2, len(predictions), 1 + n_boot))
    for start in range(0, len(predictions), _ROWS_AT_A_TIME):
        some = predictions[start : start + _ROWS_AT_A_TIME]
        # The labels are one row more, so that every block of rows has the same groups and so the same resamples.
        sums = group_sums(y_true, np.concatenate([some, y_true[None]]), groups, n_classes)
        sums = np.ascontiguousarray(sums[:, :, :-1])
        column = 0
        for weights in chain([np.ones((1, len(sums)))], resamples(len(sums), n_boot, random_state)):
            place = np.s_[start : start + len(some), column : column + len(weights)]
            found[0][place] = resampled_macro_f1(sums, weights)
            found[1][place] = resampled_macro_f1(sums, weights == 0)
            column += len(weights)
    return found


def ranked(scores: Floats) -> Floats:
    """Scores to be compared: what has none comes last."""
    return np.where(np.isnan(scores), -np.inf, scores)
