"""The splitter: whole groups dealt into holdout, folds and inner parts, rarest class first.

Works on plain label and group arrays; `dealing` holds the algorithms, `partition` applies them to a dataset and
remembers the roles. It is our own because scikit-learn's StratifiedGroupKFold left whole classes out of the holdout on
real, imbalanced sets with few parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fdsearch.data.dealing import Bools, GroupTable, Ints, deal, deal_folds, missing_classes
from fdsearch.errors import DataError, Fault

SPLITTER_VERSION = "1"
"""Part of a study's definition; to be raised with any change that deals the same parts differently."""

MIN_GROUPS = 3
"""Groups a class needs: one for the holdout and two for the folds, so that each fold can train on one."""


@dataclass(frozen=True, eq=False)
class Fold:
    """One way to train and validate.

    Parameters
    ----------
    train, validation : ndarray of int64
        Ascending row numbers; no group has rows in both.
    """

    train: Ints
    validation: Ints


def grouped_stratified_folds(labels: ArrayLike, groups: ArrayLike, n_splits: int, random_state: int) -> list[Fold]:
    """Deal groups into folds that differ by at most one group per class.

    A class with fewer groups than `n_splits` is absent from some validation parts; scores pooled over the folds take
    care of it.

    Parameters
    ----------
    labels, groups : array-like of int, shape (n,)
    n_splits : int
        At least 2.
    random_state : int
        The same arrays and state give the same folds, whatever the version of numpy.

    Returns
    -------
    list of Fold
        Rows 0 to n - 1; each row is in exactly one validation part, and in the train parts of all the other folds.

    Raises
    ------
    DataError
        If a class has fewer than 2 groups (the fold that validates it could not train it), or there are fewer
        groups than folds.

    Examples
    --------
    >>> folds = grouped_stratified_folds([0, 0, 0, 0, 1, 1], [7, 7, 8, 9, 5, 6], n_splits=2, random_state=0)
    >>> sorted(int(row) for fold in folds for row in fold.validation)
    [0, 1, 2, 3, 4, 5]
    """
    if n_splits < 2:
        raise ValueError(f"n_splits must be 2 or more, got {n_splits}")
    table = GroupTable.of(labels, groups)
    _require_groups(table, 2, "2 or more, one to train on and one to validate with")
    if len(table.holds) < n_splits:
        fault = Fault(
            "split.n_splits",
            f"{n_splits} folds for {len(table.holds)} groups",
            "a group for each fold",
            "lower n_splits",
        )
        raise DataError("there are fewer groups than folds", [fault])
    fold_of = deal_folds(table, n_splits, _shuffled(len(table.holds), random_state))[table.index]
    rows = np.arange(len(table.labels), dtype=np.int64)
    return [Fold(rows[fold_of != fold], rows[fold_of == fold]) for fold in range(n_splits)]


def single_split(labels: ArrayLike, groups: ArrayLike, share: float, random_state: int) -> Fold:
    """Set one validation part aside: max(1, round(share * k)) of each class's k groups, never all of them.

    Parameters and errors as in `grouped_stratified_folds`; `share` is between 0 and 1.
    """
    table = GroupTable.of(labels, groups)
    _require_groups(table, 2, "2 or more, one to train on and one to validate with")
    return _fold(deal(table, share, _shuffled(len(table.holds), random_state))[table.index])


def inner_split(labels: ArrayLike, groups: ArrayLike, share: float, random_state: int) -> Fold:
    """Split a training part once more, for early stopping; a class with a single group is only trained on.

    Parameters as in `single_split`.

    Raises
    ------
    DataError
        If no class has two groups.
    """
    table = GroupTable.of(labels, groups)
    held_out = deal(table, share, _shuffled(len(table.holds), random_state))[table.index]
    if not held_out.any():
        fault = Fault(
            "early_stopping", "one group in each class", "a class with 2 or more groups", "switch early stopping off"
        )
        raise DataError("the training part is too small to be split once more", [fault])
    return _fold(held_out)


def deal_holdout(labels: ArrayLike, groups: ArrayLike, share: float, random_state: int) -> Bools:
    """Choose the sealed rows: max(1, round(share * k)) of each class's k groups, never all of them.

    Parameters
    ----------
    labels, groups : array-like of int, shape (n,)
    share : float
        Of each class's groups, between 0 and 1.
    random_state : int

    Returns
    -------
    ndarray of bool, shape (n,)
        True for holdout rows. Every class is on both sides.

    Raises
    ------
    DataError
        If a class has fewer than 3 groups, or parts with several labels leave a class on one side only.

    Examples
    --------
    >>> [bool(sealed) for sealed in deal_holdout([0, 0, 0, 0], [1, 1, 2, 3], share=0.2, random_state=0)]
    [False, False, False, True]
    """
    table = GroupTable.of(labels, groups)
    _require_groups(table, MIN_GROUPS, f"{MIN_GROUPS} or more, one for the holdout and two for the folds")
    held_out = deal(table, share, _shuffled(len(table.holds), random_state))
    missing = missing_classes(table, held_out)
    if missing:
        raise DataError(
            "parts with several labels leave a class without holdout or without development",
            [
                Fault(f"class number {label}", "all its parts on one side", "parts on both", "collect or relabel parts")
                for label in missing
            ],
        )
    return held_out[table.index]


def _shuffled(n_groups: int, random_state: int) -> Ints:
    # RandomState, not Generator: its stream never changes (NEP 19), and folds must outlive versions of numpy.
    return np.random.RandomState(random_state).permutation(n_groups).astype(np.int64)


def _fold(held_out: Bools) -> Fold:
    return Fold(np.flatnonzero(~held_out).astype(np.int64), np.flatnonzero(held_out).astype(np.int64))


def _require_groups(table: GroupTable, least: int, expected: str) -> None:
    counts = table.holds.sum(axis=0)
    faults = [
        Fault(
            f"class number {label}",
            f"{counts[label]} groups",
            expected,
            "merge the class, drop it or collect more parts",
        )
        for label in table.rarest_first
        if counts[label] < least
    ]
    if faults:
        raise DataError("too few groups to split", faults)
