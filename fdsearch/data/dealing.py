"""How groups are dealt: a table of groups with their classes, and two ways to deal them, in two sides or in folds.

`folds` turns the result into rows; `partition` calls `deal` with the sides that were given earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class GroupTable:
    """The distinct groups of some rows, each counted in one class.

    Parameters
    ----------
    labels, groups : ndarray of int64, shape (n,)
        Class and group of each row; negative labels are not allowed, group numbers are free.
    """

    labels: Ints
    groups: Ints

    @classmethod
    def of(cls, labels: ArrayLike, groups: ArrayLike) -> GroupTable:
        """Check two array-likes of one length.

        Raises
        ------
        ValueError
            If they are empty, differ in length, or a label is negative.
        """
        table = cls(np.asarray(labels, np.int64), np.asarray(groups, np.int64))
        if table.labels.ndim != 1 or table.labels.shape != table.groups.shape or not len(table.labels):
            shapes = f"{table.labels.shape} and {table.groups.shape}"
            raise ValueError(f"labels and groups must be non-empty and of one length, got {shapes}")
        if table.labels.min() < 0:
            raise ValueError(f"labels must be 0 or more, got {table.labels.min()}")
        return table

    @cached_property
    def index(self) -> Ints:
        """Position of each row's group among the distinct groups in ascending order, shape (n,)."""
        return np.unique(self.groups, return_inverse=True)[1].astype(np.int64)

    @cached_property
    def pictures(self) -> Ints:
        """Rows of each group and class, shape (n_groups, n_classes)."""
        counts = np.zeros((int(self.index.max()) + 1, int(self.labels.max()) + 1), np.int64)
        np.add.at(counts, (self.index, self.labels), 1)
        return counts

    @cached_property
    def holds(self) -> Bools:
        """Which classes occur in a group, shape (n_groups, n_classes)."""
        return self.pictures > 0

    @cached_property
    def rarest_first(self) -> list[int]:
        """The classes that occur, those in the fewest groups first; ties by pictures, then by number."""
        groups, pictures = self.holds.sum(axis=0), self.pictures.sum(axis=0)
        order = np.lexsort((pictures, groups))
        return [int(label) for label in order if groups[label]]

    @cached_property
    def counted_as(self) -> Ints:
        """The one class each group counts in, the rarest of its pictures' classes, shape (n_groups,)."""
        rank = np.full(self.holds.shape[1], self.holds.shape[1])
        rank[self.rarest_first] = np.arange(len(self.rarest_first))
        counted: Ints = np.where(self.holds, rank, len(rank)).argmin(axis=1)
        return counted


def deal(table: GroupTable, share: float, priority: Sequence[int] | Ints, known: Sequence[bool | None] = ()) -> Bools:
    """Choose groups for the held-out side, class by class, in the order of `priority`.

    Parameters
    ----------
    table : GroupTable
    share : float
        A class's held-out side gets max(1, round(share * k)) of its k groups, never all of them.
    priority : sequence of int, shape (n_groups,)
        Distinct numbers; those with the lowest are held out first.
    known : sequence of bool or None, shape (n_groups,)
        Sides given earlier, which stay and count; None for a new group. Empty: all are new.

    Returns
    -------
    ndarray of bool, shape (n_groups,)
    """
    if not 0 < share < 1:
        raise ValueError(f"share must be between 0 and 1, got {share}")
    order = np.argsort(np.asarray(priority), kind="stable")
    free = np.array([side is None for side in known] or [True] * len(order))
    held_out = np.array([bool(side) for side in known] or [False] * len(order))
    for label in table.rarest_first:
        members = order[table.counted_as[order] == label]
        wanted = min(max(1, round(share * len(members))), len(members) - 1) - int(held_out[members].sum())
        held_out[members[free[members]][: max(0, wanted)]] = True
    _mend(table, held_out, free, order)
    return held_out


def missing_classes(table: GroupTable, held_out: Bools) -> list[int]:
    """Classes of two or more groups that occur on one side only, rarest first."""
    missing = _one_sided(table, table.holds[held_out].sum(axis=0))
    return [label for label in table.rarest_first if missing[label]]


def _one_sided(table: GroupTable, inside: Ints) -> Bools:
    """Which classes miss a side, given how many held-out groups hold each; shape of `inside`, (..., n_classes)."""
    total = table.holds.sum(axis=0)
    one_sided: Bools = (total >= 2) & ((inside == 0) | (inside == total))
    return one_sided


def _mend(table: GroupTable, held_out: Bools, free: Bools, order: Ints) -> None:
    """Exchange groups that count in one class until every class is on both sides, as far as exchanges reach.

    Only parts with several labels need it: a class may occur in parts that all count as rarer classes.
    """
    while (pair := _exchange(table, held_out, free, order)) is not None:
        held_out[pair] = ~held_out[pair]


def _exchange(table: GroupTable, held_out: Bools, free: Bools, order: Ints) -> list[int] | None:
    """Two groups of different sides and equal class whose exchange leaves fewer classes one-sided."""
    inside = table.holds[held_out].sum(axis=0)
    now = int(_one_sided(table, inside).sum())
    for label in missing_classes(table, held_out):
        for group in order[(table.holds[:, label] & free)[order]]:
            equals = (held_out != held_out[group]) & (table.counted_as == table.counted_as[group]) & free
            partners = order[equals[order]]
            change = table.holds[partners].astype(np.int64) - table.holds[group]
            after = _one_sided(table, inside + (change if held_out[group] else -change)).sum(axis=1)
            if len(after) and after.min() < now:
                return [int(group), int(partners[after.argmin()])]
    return None


def deal_folds(table: GroupTable, n_splits: int, priority: Ints) -> Ints:
    """Give each group the fold that has fewest groups of its class, then of its other classes, then pictures."""
    order = np.argsort(priority)
    sizes = table.pictures.sum(axis=1)
    counted = np.zeros((n_splits, table.holds.shape[1]), np.int64)
    holding = np.zeros_like(counted)
    filled = np.zeros(n_splits, np.int64)
    fold_of = np.zeros(len(order), np.int64)
    for label in table.rarest_first:
        for group in order[table.counted_as[order] == label]:
            others = holding[:, table.holds[group]].sum(axis=1)
            fold = int(np.lexsort((filled, others, counted[:, label]))[0])
            fold_of[group] = fold
            counted[fold, label] += 1
            holding[fold] += table.holds[group]
            filled[fold] += sizes[group]
    return fold_of
