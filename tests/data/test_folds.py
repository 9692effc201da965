"""The splitter: properties over random sets, and the cases it was written for."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fdsearch.data.dealing import GroupTable, Ints, deal
from fdsearch.data.folds import Fold, deal_holdout, grouped_stratified_folds, inner_split, single_split
from fdsearch.errors import DataError

PROPERTY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


@st.composite
def parts(draw: st.DrawFn, least: int = 3, mixed: bool = False) -> tuple[Ints, Ints]:
    """Labels and groups in shuffled order: 1 to 4 classes of `least` or more parts, of 1 to 4 pictures each."""
    sizes = draw(st.lists(st.integers(least, least + 12), min_size=1, max_size=4))
    rng = np.random.RandomState(draw(st.integers(0, 2**16)))
    labels, groups = [], []
    for part, label in enumerate(np.repeat(np.arange(len(sizes)), sizes)):
        for _ in range(rng.randint(1, 5)):
            other = mixed and rng.rand() < 0.3
            labels.append(rng.randint(len(sizes)) if other else label)
            groups.append(part * 3 + 5)
    order = rng.permutation(len(labels))
    return np.array(labels)[order], np.array(groups)[order]


def groups_per_class(labels: Ints, groups: Ints, rows: Ints) -> Ints:
    """Groups of each class among `rows`, counted as the splitter counts them."""
    table = GroupTable.of(labels, groups)
    chosen = np.unique(table.index[rows])
    return np.bincount(table.counted_as[chosen], minlength=table.holds.shape[1])


def classes_in(labels: Ints, rows: Ints) -> set[int]:
    return set(labels[rows].tolist())


@PROPERTY
@given(parts(), st.integers(2, 6), st.integers(0, 99))
def test_folds_partition_the_rows_and_keep_groups_together(
    table: tuple[Ints, Ints], n_splits: int, random_state: int
) -> None:
    labels, groups = table
    assume(len(np.unique(groups)) >= n_splits)
    folds = grouped_stratified_folds(labels, groups, n_splits, random_state)
    validated = np.concatenate([fold.validation for fold in folds])
    assert sorted(validated.tolist()) == list(range(len(labels)))
    for fold in folds:
        assert sorted([*fold.train, *fold.validation]) == list(range(len(labels)))
        assert not set(groups[fold.train]) & set(groups[fold.validation])
        assert len(fold.validation)


@PROPERTY
@given(parts(mixed=True), st.integers(2, 6), st.integers(0, 99))
def test_folds_differ_by_at_most_one_group_per_class(
    table: tuple[Ints, Ints], n_splits: int, random_state: int
) -> None:
    labels, groups = table
    assume(len(np.unique(groups)) >= n_splits)
    assume(all(len(np.unique(groups[labels == label])) >= 2 for label in np.unique(labels)))
    folds = grouped_stratified_folds(labels, groups, n_splits, random_state)
    counts = np.array([groups_per_class(labels, groups, fold.validation) for fold in folds])
    assert (np.ptp(counts, axis=0) <= 1).all()


@PROPERTY
@given(parts(), st.floats(0.05, 0.9), st.integers(0, 99))
def test_the_holdout_gets_its_share_of_every_class(table: tuple[Ints, Ints], share: float, random_state: int) -> None:
    labels, groups = table
    sealed = deal_holdout(labels, groups, share, random_state)
    everything, inside = np.arange(len(labels)), np.flatnonzero(sealed)
    total = groups_per_class(labels, groups, everything)
    expected = [min(max(1, round(share * k)), k - 1) for k in total]
    assert groups_per_class(labels, groups, inside).tolist() == expected
    assert not set(groups[sealed]) & set(groups[~sealed])


@PROPERTY
@given(parts(least=5, mixed=True), st.integers(0, 99))
def test_every_class_is_on_both_sides_of_the_holdout_or_the_set_is_refused(
    table: tuple[Ints, Ints], random_state: int
) -> None:
    labels, groups = table
    try:
        sealed = deal_holdout(labels, groups, 0.2, random_state)
    except DataError as error:
        assert error.faults
        return
    everything = set(labels.tolist())
    assert classes_in(labels, np.flatnonzero(sealed)) == everything == classes_in(labels, np.flatnonzero(~sealed))


@PROPERTY
@given(parts(least=1), st.floats(0.05, 0.9), st.integers(0, 99))
def test_an_inner_split_leaves_every_class_to_train_on(
    table: tuple[Ints, Ints], share: float, random_state: int
) -> None:
    labels, groups = table
    per_class = [len(np.unique(groups[labels == label])) for label in np.unique(labels)]
    assume(max(per_class) >= 2)
    fold = inner_split(labels, groups, share, random_state)
    assert classes_in(labels, fold.train) == set(labels.tolist())
    assert not set(groups[fold.train]) & set(groups[fold.validation])


@PROPERTY
@given(parts(), st.integers(0, 99))
def test_the_same_state_gives_the_same_split(table: tuple[Ints, Ints], random_state: int) -> None:
    labels, groups = table
    assert np.array_equal(*(deal_holdout(labels, groups, 0.2, random_state) for _ in range(2)))
    first, second = (grouped_stratified_folds(labels, groups, 2, random_state) for _ in range(2))
    assert all(np.array_equal(a.validation, b.validation) for a, b in zip(first, second, strict=True))


def test_golden_split_of_splitter_version_1() -> None:
    # The stored partitions and digests of users rest on this: a change here needs a new SPLITTER_VERSION.
    labels, groups = np.repeat([0, 1, 2], [12, 6, 3]), np.arange(21)
    assert np.flatnonzero(deal_holdout(labels, groups, 0.2, 42)).tolist() == [0, 3, 14, 20]
    folds = grouped_stratified_folds(labels, groups, 3, 42)
    assert [fold.validation.tolist() for fold in folds] == [
        [0, 6, 7, 9, 14, 17, 20],
        [1, 3, 5, 10, 15, 16, 18],
        [2, 4, 8, 11, 12, 13, 19],
    ]


def test_another_state_gives_another_split() -> None:
    labels, groups = np.repeat([0, 1], 20), np.arange(40)
    parts_of_first_fold = {
        tuple(grouped_stratified_folds(labels, groups, 5, state)[0].validation) for state in range(20)
    }
    assert len(parts_of_first_fold) == 20


def test_rare_class_is_in_fewer_folds_than_there_are() -> None:
    labels, groups = np.array([0] * 20 + [1, 1]), np.arange(22)
    folds = grouped_stratified_folds(labels, groups, 5, 0)
    assert sum(1 in labels[fold.validation] for fold in folds) == 2
    assert all(1 in labels[fold.train] for fold in folds)


def test_a_group_with_several_classes_counts_as_the_rarest() -> None:
    labels = np.array([0, 1, 0, 0, 0, 0, 1, 1, 1])
    groups = np.array([1, 1, 2, 3, 4, 5, 6, 7, 8])
    assert GroupTable.of(labels, groups).counted_as.tolist() == [1, 0, 0, 0, 0, 1, 1, 1]


def test_a_class_that_never_counts_is_still_on_both_sides() -> None:
    # Class 0 occurs only in parts that count as 1, 2 or 3; without the exchange some states leave it out.
    labels = np.array([0, 1, 0, 2, 0, 3, 0, 1, 1, 1, 2, 2, 3, 3])
    groups = np.array([1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9, 10])
    for state in range(50):
        sealed = deal_holdout(labels, groups, 0.2, state)
        assert classes_in(labels, np.flatnonzero(sealed)) == {0, 1, 2, 3}
        assert classes_in(labels, np.flatnonzero(~sealed)) == {0, 1, 2, 3}


def test_known_sides_stay_and_count() -> None:
    table = GroupTable.of([0] * 10, range(10))
    known: list[bool | None] = [True, False, None, None, None, None, None, None, None, None]
    assert np.flatnonzero(deal(table, 0.2, list(range(10)), known)).tolist() == [0, 2]
    overfull: list[bool | None] = [True, True, True, None, None, None, None, None, None, None]
    assert np.flatnonzero(deal(table, 0.2, list(range(10)), overfull)).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("split", "words"),
    [
        (lambda: deal_holdout([0, 0, 0, 1, 1], range(5), 0.2, 0), "class number 1: got 2 groups"),
        (lambda: grouped_stratified_folds([0, 0, 0, 1], range(4), 2, 0), "class number 1: got 1 groups"),
        (lambda: single_split([0, 0, 1], range(3), 0.2, 0), "class number 1: got 1 groups"),
        (lambda: grouped_stratified_folds([0, 0, 0], range(3), 5, 0), "5 folds for 3 groups"),
        (lambda: inner_split([0, 0, 1], [4, 4, 5], 0.2, 0), "one group in each class"),
    ],
)
def test_sets_too_small_are_refused(split: object, words: str) -> None:
    with pytest.raises(DataError) as caught:
        split()  # type: ignore[operator]
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "split",
    [
        lambda: deal_holdout([0, 0, 0], [1, 2], 0.2, 0),
        lambda: deal_holdout([], [], 0.2, 0),
        lambda: deal_holdout([0, -1, 0], range(3), 0.2, 0),
        lambda: deal_holdout([0, 0, 0], range(3), 1.0, 0),
        lambda: grouped_stratified_folds([0, 0, 0], range(3), 1, 0),
    ],
)
def test_wrong_arguments_are_refused(split: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        split()  # type: ignore[operator]


def test_single_split_shares() -> None:
    fold = single_split(np.repeat([0, 1], [50, 10]), np.arange(60), 0.2, 0)
    assert isinstance(fold, Fold)
    assert np.bincount(fold.validation >= 50).tolist() == [10, 2]


def test_real_tiles_are_in_every_fold_they_can_be(shared_data: Path) -> None:
    with (shared_data / "magnetic_tile" / "labels.csv").open(newline="") as stream:
        names = {row["filename"]: row["label"] for row in csv.DictReader(stream)}
    with (shared_data / "magnetic_tile" / "tile_groups.csv").open(newline="") as stream:
        tiles = {row["filename"]: row["tile_group"] for row in csv.DictReader(stream)}
    labels = np.unique(list(names.values()), return_inverse=True)[1]
    groups = np.unique([tiles[name] for name in names], return_inverse=True)[1]
    for state in range(3):
        sealed = deal_holdout(labels, groups, 0.2, state)
        assert classes_in(labels, np.flatnonzero(sealed)) == set(range(6))
        rows = np.flatnonzero(~sealed)
        folds = grouped_stratified_folds(labels[rows], groups[rows], 5, state)
        assert all(classes_in(labels[rows], fold.validation) == set(range(6)) for fold in folds)
        assert max(len(fold.validation) for fold in folds) < 1.15 * min(len(fold.validation) for fold in folds)
