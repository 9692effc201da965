"""Which pictures are sealed and which are developed with: roles given once, kept in a file, never taken back.

Applies the splitter (`folds`, `dealing`) to a dataset and to what `roles` remembers. `pipeline` calls `assign` once
per run.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from fdsearch.config import HoldoutRule, SplitSpec
from fdsearch.data.dataset import Dataset, Development, Holdout
from fdsearch.data.dealing import Bools, GroupTable, Ints, deal, missing_classes
from fdsearch.data.folds import Fold, grouped_stratified_folds, single_split
from fdsearch.data.holdout_rule import rows_under_rule
from fdsearch.data.roles import (
    DEVELOPMENT,
    HOLDOUT,
    Remembered,
    locked,
    read_roles,
    remembered_name,
    write_roles,
)
from fdsearch.errors import ConfigError, DataError, Fault
from fdsearch.files import csv_bytes, csv_cell, write_atomic


@dataclass(frozen=True, eq=False)
class Partition:
    """The two roles of a dataset's pictures, and the folds of the development part.

    Parameters
    ----------
    development : Development
    holdout : Holdout
    folds : tuple of Fold
        Rows of the dataset; one fold where the split asks for a single validation part.
    split : SplitSpec
        What the folds were made by.
    changes : tuple of str
        Roles that are not what the split alone would give, one sentence each.
    """

    development: Development
    holdout: Holdout
    folds: tuple[Fold, ...]
    split: SplitSpec
    changes: tuple[str, ...] = ()


def assign(dataset: Dataset, split: SplitSpec, path: Path, *, remember: bool = True) -> Partition:
    """Give each group its role, remembering those that had one, and make the folds.

    A picture is recognised by its bytes, else by the name of its group. A new picture of a known group takes the
    group's role; new groups are dealt class by class in the order of a hash of their pictures, so that each class's
    holdout keeps its share whatever the order of the manifest. Where groups of both roles have become one, the whole
    group is holdout from now on.

    Parameters
    ----------
    dataset : Dataset
    split : SplitSpec
    path : Path
        The partition's CSV (content, group, role, first_seen); made if absent, rewritten if something was added.
    remember : bool
        False writes nothing: the roles are those a later call would give.

    Raises
    ------
    ConfigError
        If a holdout rule names an unknown column, or contradicts the roles on file.
    DataError
        If a class is left with fewer than 2 groups to develop with, or the first deal leaves it without holdout.
    StorageError, ResourceError
        If the file is damaged or cannot be written.
    """
    with locked(path):
        stored = read_roles(path)
        table = GroupTable.of(dataset.labels, dataset.groups)
        members = _members(table)
        earlier, changes = _earlier(dataset, members, stored)
        if isinstance(split.holdout, HoldoutRule):
            sealed = _by_rule(dataset, split.holdout, table, earlier, changes)
        else:
            priority = [_hash(dataset, rows, split.random_state) for rows in members]
            sealed = deal(table, split.holdout, priority, earlier)
        _check(dataset, table, sealed, first=not stored and not isinstance(split.holdout, HoldoutRule))
        partition = _partition(dataset, split, sealed[table.index], tuple(changes))
        roles = _updated(dataset, sealed[table.index], stored)
        if remember and roles != stored:
            write_roles(path, roles)
    return partition


def repeat_folds(partition: Partition, repeat: int) -> tuple[Fold, ...]:
    """The folds of a repeat: 0 are the study's own, each further number deals the development groups anew."""
    if repeat == 0:
        return partition.folds
    return _folds(partition.development, partition.split, partition.split.random_state + repeat)


def write_splits(path: Path, dataset: Dataset, partition: Partition) -> None:
    """Write the CSV ``filename,group,role,fold`` that states every row's place.

    `fold` is the number of the fold whose validation part holds the row; empty for the holdout, and for rows that are
    only trained on (single split).
    """
    fold_of = [""] * len(dataset)
    for number, fold in enumerate(partition.folds):
        for row in fold.validation:
            fold_of[row] = str(number)
    sealed = set(partition.holdout.rows.tolist())
    rows = [
        [
            csv_cell(filename),
            csv_cell(dataset.group_names[dataset.groups[row]]),
            HOLDOUT if row in sealed else DEVELOPMENT,
            fold_of[row],
        ]
        for row, filename in enumerate(dataset.filenames)
    ]
    write_atomic(path, csv_bytes(["filename", "group", "role", "fold"], rows))


def _members(table: GroupTable) -> list[Ints]:
    """The rows of each group of the table."""
    order = np.argsort(table.index, kind="stable")
    return np.split(order, np.cumsum(np.bincount(table.index))[:-1])


def _earlier(
    dataset: Dataset, members: list[Ints], stored: Mapping[str, Remembered]
) -> tuple[list[bool | None], list[str]]:
    """Each group's role on file (True is holdout, None is new), and what merging has changed."""
    by_name: dict[str, set[str]] = defaultdict(set)
    for known in stored.values():
        by_name[known.group].add(known.role)
    earlier: list[bool | None] = []
    changes: list[str] = []
    for rows in members:
        name = dataset.group_names[dataset.groups[rows[0]]]
        roles = {stored[dataset.content[row]].role for row in rows if dataset.content[row] in stored}
        if len(roles) == 2:
            moved = [row for row in rows if stored.get(dataset.content[row], _NEW).role == DEVELOPMENT]
            files = ", ".join(dataset.filenames[row] for row in moved)
            changes.append(f"part {name} was in both roles and is holdout now; moved from development: {files}")
        roles = roles or by_name.get(remembered_name(name), set())
        earlier.append(HOLDOUT in roles if roles else None)
    return earlier, changes


_NEW = Remembered("", "", "")


def _by_rule(
    dataset: Dataset, rule: HoldoutRule, table: GroupTable, earlier: list[bool | None], changes: list[str]
) -> Bools:
    """Groups with a picture under the rule, unless the file says otherwise; adds to `changes`."""
    ruled = np.bincount(table.index, weights=rows_under_rule(dataset, rule)) > 0
    names = [dataset.group_names[group] for group in np.unique(dataset.groups)]
    reversed_ = [names[group] for group, role in enumerate(earlier) if role is False and ruled[group]]
    if reversed_:
        fault = Fault(
            "$.split.holdout",
            f"development parts that the rule would seal: {', '.join(reversed_[:10])}",
            "the rule these parts were dealt with",
            "they have been trained on; give `split.partition` a new name to deal anew",
        )
        raise ConfigError("the holdout rule contradicts the partition on file", [fault])
    kept = [names[group] for group, role in enumerate(earlier) if role and not ruled[group]]
    changes += [f"part {name} stays holdout, as on file, though the rule does not name it" for name in kept]
    sealed: Bools = ruled | np.array([bool(role) for role in earlier])
    return sealed


def _hash(dataset: Dataset, rows: Ints, random_state: int) -> int:
    """A number that depends on the group's pictures and the random state, not on names or order."""
    first = min(dataset.content[row] for row in rows)
    return int.from_bytes(hashlib.sha256(f"{random_state}:{first}".encode()).digest()[:7])


def _check(dataset: Dataset, table: GroupTable, sealed: Bools, *, first: bool) -> None:
    """Refuse roles that leave a class without parts to develop with, or, at the first deal, without holdout."""
    left = table.holds[~sealed].sum(axis=0)
    faults = [
        Fault(
            f"class {dataset.classes[label]}", f"{left[label]} development parts", "2 or more", "merge, drop or collect"
        )
        for label in table.rarest_first
        if left[label] < 2
    ]
    if first:
        faults += [
            Fault(
                f"class {dataset.classes[label]}", "parts on one side only", "parts in both roles", "collect more parts"
            )
            for label in missing_classes(table, sealed)
            if left[label] >= 2
        ]
    if faults:
        raise DataError("the partition leaves a class without parts", faults)


def _partition(dataset: Dataset, split: SplitSpec, sealed: Bools, changes: tuple[str, ...]) -> Partition:
    development = Development(dataset, np.flatnonzero(~sealed).astype(np.int64))
    holdout = Holdout(dataset, np.flatnonzero(sealed).astype(np.int64))
    folds = _folds(development, split, split.random_state)
    return Partition(development, holdout, folds, split, changes)


def _folds(development: Development, split: SplitSpec, random_state: int) -> tuple[Fold, ...]:
    """Folds of the development rows, as rows of the dataset."""
    dataset, rows = development.dataset, development.rows
    labels, groups = dataset.labels[rows], dataset.groups[rows]
    random_state %= 2**32
    if split.validation is None:
        local = grouped_stratified_folds(labels, groups, split.n_splits, random_state)
    else:
        # `validation` is a share of all groups, the holdout's among them.
        share = split.validation * len(np.unique(dataset.groups)) / len(np.unique(groups))
        if share >= 1:
            fault = Fault("$.split.validation", str(split.validation), "less than the holdout leaves", "lower it")
            raise ConfigError("holdout and validation leave nothing to train on", [fault])
        local = [single_split(labels, groups, share, random_state)]
    return tuple(Fold(rows[fold.train], rows[fold.validation]) for fold in local)


def _updated(dataset: Dataset, sealed: Bools, stored: Mapping[str, Remembered]) -> dict[str, Remembered]:
    """The file's rows with this dataset's groups and roles; pictures that are gone are kept, they may come back."""
    today = datetime.now(UTC).date().isoformat()
    roles = dict(stored)
    for row, content in enumerate(dataset.content):
        group = remembered_name(dataset.group_names[dataset.groups[row]])
        first_seen = stored[content].first_seen if content in stored else today
        roles[content] = Remembered(group, HOLDOUT if sealed[row] else DEVELOPMENT, first_seen)
    return roles
