"""Roles that persist: the same data again, new data, merged parts, renamed parts, rules, and damaged files."""

from __future__ import annotations

import csv
import hashlib
import random
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from fdsearch.config import HoldoutRule, SplitSpec
from fdsearch.data.dataset import Dataset
from fdsearch.data.partition import Partition, assign, repeat_folds, write_splits
from fdsearch.errors import ConfigError, DataError, ResourceError, StorageError

Row = tuple[str, str, str]
"""Filename (its bytes follow from it), label, part."""


def dataset(rows: Sequence[Row], **metadata: Sequence[str]) -> Dataset:
    """A dataset without pixels, which a partition never reads."""
    filenames, labels, groups = zip(*rows, strict=True)
    classes, names = sorted(set(labels)), sorted(set(groups))
    return Dataset(
        filenames=filenames,
        paths=tuple(Path(name) for name in filenames),
        content=tuple(hashlib.sha256(name.encode()).hexdigest() for name in filenames),
        labels=np.array([classes.index(label) for label in labels]),
        groups=np.array([names.index(group) for group in groups]),
        classes=tuple(classes),
        group_names=tuple(names),
        pass_classes=(),
        metadata={name: tuple(cells) for name, cells in metadata.items()},
        store=cast(Any, None),
        digest="",
        label_digest="",
        group_digest="",
    )


def shots(label: str, n_parts: int, start: int = 0, per_part: int = 2) -> list[Row]:
    return [
        (f"{label}{part}_{shot}.png", label, f"{label}{part:03d}")
        for part in range(start, start + n_parts)
        for shot in range(per_part)
    ]


def roles(partition: Partition) -> dict[str, str]:
    """Role by filename."""
    data = partition.development.dataset
    development = {data.filenames[row]: "development" for row in partition.development.rows}
    return development | {data.filenames[row]: "holdout" for row in partition.holdout.rows}


BASE = shots("a", 20) + shots("b", 10) + shots("c", 4)
SPLIT = SplitSpec()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "partitions" / "study.csv"


def test_first_deal(path: Path) -> None:
    partition = assign(dataset(BASE), SPLIT, path)
    data = partition.holdout.dataset
    sealed_parts = [data.group_names[group][0] for group in np.unique(data.groups[partition.holdout.rows])]
    assert sealed_parts == ["a"] * 4 + ["b"] * 2 + ["c"]
    assert not set(data.groups[partition.holdout.rows]) & set(data.groups[partition.development.rows])
    assert len(partition.folds) == 5
    validated = np.sort(np.concatenate([fold.validation for fold in partition.folds]))
    assert validated.tolist() == partition.development.rows.tolist()
    assert partition.changes == ()


def test_same_data_again_changes_nothing(path: Path) -> None:
    first = assign(dataset(BASE), SPLIT, path)
    before = path.read_bytes(), path.stat().st_mtime_ns
    second = assign(dataset(BASE), SPLIT, path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert roles(first) == roles(second)
    assert all(np.array_equal(a.train, b.train) for a, b in zip(first.folds, second.folds, strict=True))


def test_roles_do_not_depend_on_the_order_of_the_manifest(tmp_path: Path) -> None:
    shuffled = random.Random(0).sample(BASE, len(BASE))
    assert roles(assign(dataset(BASE), SPLIT, tmp_path / "a.csv")) == roles(
        assign(dataset(shuffled), SPLIT, tmp_path / "b.csv")
    )


def test_another_random_state_deals_another_holdout_but_only_the_first_time(tmp_path: Path) -> None:
    other = SplitSpec(random_state=7)
    first = roles(assign(dataset(BASE), SPLIT, tmp_path / "a.csv"))
    assert roles(assign(dataset(BASE), other, tmp_path / "b.csv")) != first
    assert roles(assign(dataset(BASE), other, tmp_path / "a.csv")) == first


def test_growing_data_keeps_roles_and_shares(path: Path) -> None:
    rows = list(BASE)
    before = roles(assign(dataset(rows), SPLIT, path))
    for step in range(1, 6):
        rows += shots("a", 4, start=100 * step) + shots("c", 2, start=100 * step)
        partition = assign(dataset(rows), SPLIT, path)
        after = roles(partition)
        assert {name: after[name] for name in before} == before
        before = after
    data = partition.holdout.dataset
    sealed = [data.group_names[group][0] for group in np.unique(data.groups[partition.holdout.rows])]
    assert [sealed.count(label) for label in "abc"] == [8, 2, 3]


def test_a_new_class_gets_its_holdout(path: Path) -> None:
    assign(dataset(BASE), SPLIT, path)
    after = roles(assign(dataset(BASE + shots("d", 5)), SPLIT, path))
    assert sum(role == "holdout" for name, role in after.items() if name.startswith("d")) == 2


def test_a_new_picture_of_a_known_part_takes_its_role(path: Path) -> None:
    before = roles(assign(dataset(BASE), SPLIT, path))
    third = [(f"{name[:-6]}_2.png", label, part) for name, label, part in BASE if name.endswith("_0.png")]
    after = roles(assign(dataset(BASE + third), SPLIT, path))
    assert all(after[name] == before[name.replace("_2.png", "_0.png")] for name, _, _ in third)


def test_renamed_parts_are_recognised_by_their_pictures(path: Path) -> None:
    before = roles(assign(dataset(BASE), SPLIT, path))
    # The old names go to other parts: names alone would seal the wrong ones.
    parts = sorted({part for _, _, part in BASE})
    renamed = dict(zip(parts, parts[::-1], strict=True))
    partition = assign(dataset([(name, label, renamed[part]) for name, label, part in BASE]), SPLIT, path)
    assert roles(partition) == before
    assert partition.changes == ()


def test_parts_that_merge_across_roles_become_holdout_and_are_listed(path: Path) -> None:
    before = roles(assign(dataset(BASE), SPLIT, path))
    sealed = next(part for name, _, part in BASE if before[name] == "holdout" and part.startswith("a"))
    open_ = next(part for name, _, part in BASE if before[name] == "development" and part.startswith("a"))
    merged = [(name, label, sealed if part == open_ else part) for name, label, part in BASE]
    partition = assign(dataset(merged), SPLIT, path)
    moved = [name for name, _, part in BASE if part == open_]
    assert all(roles(partition)[name] == "holdout" for name in moved)
    assert len(partition.changes) == 1
    assert all(name in partition.changes[0] for name in moved)
    # The parts come apart again: what was sealed once stays sealed, and nothing is listed any more.
    apart = assign(dataset(BASE), SPLIT, path)
    assert all(roles(apart)[name] == "holdout" for name in moved)
    assert apart.changes == ()


def test_pictures_that_were_away_come_back_to_their_role(path: Path) -> None:
    before = roles(assign(dataset(BASE), SPLIT, path))
    assign(dataset([row for row in BASE if not row[0].startswith("b")]), SPLIT, path)
    assert roles(assign(dataset(BASE), SPLIT, path)) == before


def test_first_seen_is_the_day_of_the_first_run(path: Path) -> None:
    assign(dataset(BASE), SPLIT, path)
    path.write_text(path.read_text().replace(",development,20", ",development,19"))
    assign(dataset(BASE + shots("a", 4, start=100)), SPLIT, path)
    with path.open(newline="") as stream:
        years = [row["first_seen"][:2] for row in csv.DictReader(stream) if row["role"] == "development"]
    assert years.count("19") == len(years) - years.count("20") > 40
    assert years.count("20") in (6, 8)


def test_holdout_by_values(path: Path) -> None:
    rows = shots("a", 10) + shots("b", 10)
    windows = ["2005" if int(name[1:].split("_")[0]) >= 7 else "2003" for name, _, _ in rows]
    partition = assign(
        dataset(rows, window=windows), SplitSpec(holdout=HoldoutRule(column="window", values=("2005",))), path
    )
    assert [roles(partition)[name] == "holdout" for name, _, _ in rows] == [window == "2005" for window in windows]


def test_holdout_after_a_date_takes_whole_parts(path: Path) -> None:
    rows = shots("a", 10)
    days = [f"2026-08-{part + 1:02d}{'' if part % 2 else 'T12:00:00+02:00'}" for part in range(10) for _ in range(2)]
    days[0] = "2026-09-01"  # one shot of the first part
    rule = HoldoutRule(column="taken_at", after="2026-08-08")
    partition = assign(dataset(rows, taken_at=days), SplitSpec(holdout=rule), path)
    sealed = {part for name, _, part in rows if roles(partition)[name] == "holdout"}
    assert sealed == {"a000", "a007", "a008", "a009"}


RULED = dataset(shots("a", 16), window=["2003", "2003", "2005", "2005"] * 8, day=["soon"] * 32)


@pytest.mark.parametrize(
    ("rule", "error", "words"),
    [
        (HoldoutRule(column="windw", values=("2005",)), ConfigError, "did you mean window?"),
        (HoldoutRule(column="window", values=("1999",)), ConfigError, "no row, among 2003, 2005"),
        (HoldoutRule(column="day", after="2026-01-01"), DataError, "a0_0.png, column day: got 'soon'"),
        (HoldoutRule(column="day", after="monday"), ConfigError, "$.split.holdout.after"),
        (HoldoutRule(column="window", values=("2003", "2005")), DataError, "class a: got 0 development parts"),
    ],
)
def test_wrong_rules_are_refused_and_leave_no_file(
    path: Path, rule: HoldoutRule, error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        assign(RULED, SplitSpec(holdout=rule), path)
    assert words in str(caught.value)
    assert not path.exists()


def test_a_rule_that_would_seal_what_was_trained_on_is_refused(path: Path) -> None:
    assign(RULED, SplitSpec(holdout=HoldoutRule(column="window", values=("2005",))), path)
    with pytest.raises(ConfigError, match=r"split\.partition"):
        assign(RULED, SplitSpec(holdout=HoldoutRule(column="window", values=("2003",))), path)


def test_single_split_is_a_share_of_all_parts(path: Path) -> None:
    partition = assign(dataset(shots("a", 100)), SplitSpec(holdout=0.2, validation=0.16), path)
    (fold,) = partition.folds
    assert [len(rows) // 2 for rows in (partition.holdout.rows, fold.validation, fold.train)] == [20, 16, 64]


def test_single_split_needs_something_to_train_on(path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to train on"):
        assign(dataset(BASE), SplitSpec(holdout=0.5, validation=0.5), path)


@pytest.mark.parametrize("split", [SPLIT, SplitSpec(validation=0.16)])
def test_repeats_deal_the_development_rows_anew(path: Path, split: SplitSpec) -> None:
    partition = assign(dataset(BASE), split, path)
    assert repeat_folds(partition, 0) is partition.folds
    seen = set()
    for repeat in range(4):
        folds = repeat_folds(partition, repeat)
        assert not np.isin(np.concatenate([fold.validation for fold in folds]), partition.holdout.rows).any()
        seen.add(tuple(folds[0].validation.tolist()))
    assert len(seen) == 4


def test_splits_file(path: Path, tmp_path: Path) -> None:
    rows = [*BASE[:-1], ("=evil.png", "c", "@part"), *shots("c", 1, start=50)]
    partition = assign(dataset(rows), SPLIT, path)
    write_splits(tmp_path / "splits.csv", partition.development.dataset, partition)
    with (tmp_path / "splits.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert list(table[0]) == ["filename", "group", "role", "fold"]
    assert [row["filename"].removeprefix("'") for row in table] == [name for name, _, _ in rows]
    assert all((row["fold"] == "") == (row["role"] == "holdout") for row in table)
    assert {row["fold"] for row in table} == {"", "0", "1", "2", "3", "4"}
    evil = next(row for row in table if "evil" in row["filename"])
    assert (evil["filename"], evil["group"]) == ("'=evil.png", "'@part")


def test_too_few_parts_after_merging_are_refused(path: Path) -> None:
    assign(dataset(BASE), SPLIT, path)
    before = path.read_bytes()
    one_part = [(name, label, "c000" if label == "c" else part) for name, label, part in BASE]
    with pytest.raises(DataError, match="class c: got 0 development parts"):
        assign(dataset(one_part), SPLIT, path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        (lambda text: text[:-30], "line 69"),
        (lambda text: text.replace("content,", "kontent,"), "line 1"),
        (lambda text: text.replace(",holdout,", ",held,", 1), "line "),
        (lambda text: text + text.splitlines()[-1] + "\n", "line 70"),
        (lambda text: "", "line 1"),
        (lambda text: text.replace(",", "\0", 3), "line 1"),
    ],
)
def test_a_damaged_file_is_refused_and_kept(path: Path, damage: Any, where: str) -> None:
    assign(dataset(BASE), SPLIT, path)
    path.write_text(damage(path.read_text()))
    before = path.read_bytes()
    with pytest.raises(StorageError) as caught:
        assign(dataset(BASE), SPLIT, path)
    assert where in caught.value.faults[0].where
    assert path.read_bytes() == before


def test_bytes_that_are_no_text_are_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StorageError):
        assign(dataset(BASE), SPLIT, path)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "partitions").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="cannot be written"):
        assign(dataset(BASE), SPLIT, tmp_path / "partitions" / "study.csv")


def test_a_full_disk(path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    from fdsearch.data.roles import locked

    with pytest.raises(ResourceError), locked(path), full.open("wb", buffering=0) as stream:
        stream.write(b"x")


def test_identical_bytes_in_two_rows_are_remembered_once(path: Path) -> None:
    data = dataset(BASE)
    doubled = replace(data, content=(data.content[1], *data.content[1:]))
    partition = assign(doubled, SPLIT, path)
    assert len(path.read_text().splitlines()) == len(BASE)
    assert roles(assign(doubled, SPLIT, path)) == roles(partition)


def test_runs_at_the_same_time_lose_no_roles(path: Path) -> None:
    studies = [dataset(BASE + shots("a", 2, start=100 * number)) for number in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda data: roles(assign(data, SPLIT, path)), studies))
    everything = dataset(sorted({row for data in found for row in rows_named(data)}))
    final = roles(assign(everything, SPLIT, path))
    assert all(final[name] == role for given in found for name, role in given.items())


def rows_named(filenames: Iterable[str]) -> list[Row]:
    """The rows of `shots` with these filenames."""
    return [(name, name[0], f"{name[0]}{int(name[1:].split('_')[0]):03d}") for name in filenames]
