"""The log of openings: nobody is forgotten, and another name does not make a holdout new."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fdsearch.errors import IntegrityError
from fdsearch.registry.chain import Chain
from fdsearch.registry.holdouts import HEAD, LOCK, OPENINGS, HoldoutLog, Opening, holdout_digest
from fdsearch.registry.store import Registry

FIRST = Opening("tiles", "data-1", "sealed-1", "tiles", "tiles", "trial-3-ab")
OTHER = {"partition": "others", "data": "data-2", "holdout": "sealed-2"}


@pytest.fixture
def log(tmp_path: Path) -> HoldoutLog:
    """A log with one opening."""
    made = HoldoutLog(tmp_path / "registry")
    made.open(FIRST)
    return made


def test_an_opening_is_dated_and_found_again(log: HoldoutLog) -> None:
    [opening] = log.read()
    assert replace(opening, when="") == FIRST
    assert opening.when.endswith("+00:00")
    assert log.opened(FIRST.partition, FIRST.holdout, FIRST.data) == [opening]


def test_the_same_candidate_again_is_the_same_opening(log: HoldoutLog) -> None:
    [opening] = log.read()
    assert log.open(FIRST) == opening
    assert log.read() == (opening,)


@pytest.mark.parametrize(
    "renamed",
    [
        {"data": "data-2", "holdout": "sealed-2"},  # new pictures, the old partition
        {"partition": "others", "holdout": "sealed-2"},  # the old pictures, dealt anew
        {"partition": "others", "data": "data-2"},  # a copied set with another picture to train on
        {"study": "others", "model": "others"},
    ],
)
def test_another_name_makes_no_new_holdout(log: HoldoutLog, renamed: dict[str, str]) -> None:
    second = log.open(replace(FIRST, candidate="trial-9-cd", **renamed))
    assert [opening.candidate for opening in log.opened(second.partition, second.holdout, second.data)] == [
        "trial-3-ab",
        "trial-9-cd",
    ]


def test_other_pictures_are_another_holdout(log: HoldoutLog) -> None:
    other = log.open(replace(FIRST, **OTHER))
    assert log.opened(other.partition, other.holdout, other.data) == [other]
    assert len(log.read()) == 2


def test_a_digest_that_was_not_noted_equals_no_other(tmp_path: Path) -> None:
    log = HoldoutLog(tmp_path)
    log.open(replace(FIRST, holdout=""))
    assert log.opened("others", "", "data-2") == []


def test_what_was_noted_elsewhere_comes_first_and_once(tmp_path: Path) -> None:
    log = HoldoutLog(tmp_path)
    old = [replace(FIRST, holdout="", candidate=name, when="2025-01-01T00:00:00+00:00") for name in ("a", "b")]
    log.open(FIRST, old)
    log.open(FIRST, old)
    assert [opening.candidate for opening in log.read()] == ["a", "b", "trial-3-ab"]
    assert log.read()[0].when == "2025-01-01T00:00:00+00:00"


def test_a_holdouts_digest_knows_neither_order_nor_names() -> None:
    assert holdout_digest(["a", "b"]) == holdout_digest(["b", "a"]) != holdout_digest(["a"])


def tampered(log: HoldoutLog) -> dict[str, tuple[bytes | None, bytes | None]]:
    """Ways to change the two files of a log with two openings."""
    lines, head = ((log.root / name).read_bytes() for name in (OPENINGS, HEAD))
    first, second = lines.splitlines(keepends=True)
    return {
        "a changed name": (lines.replace(b"trial-9", b"trial-8"), head),
        "the last line": (first, head),
        "the first line": (second, head),
        "the head": (lines, None),
        "the lines": (None, head),
        "half a line": (lines[:-9], head),
    }


@pytest.mark.parametrize(
    "kind", ["a changed name", "the last line", "the first line", "the head", "the lines", "half a line"]
)
def test_verify_finds_what_was_changed_or_removed(log: HoldoutLog, kind: str) -> None:
    log.open(replace(FIRST, candidate="trial-9-cd"))
    registry = Registry(log.root)
    assert registry.verify()["openings"] == 2
    for name, content in zip((OPENINGS, HEAD), tampered(log)[kind], strict=True):
        if content is None:
            (log.root / name).unlink()
        else:
            (log.root / name).write_bytes(content)
    with pytest.raises(IntegrityError) as caught:
        registry.verify()
    assert caught.value.exit_code == 5
    with pytest.raises(IntegrityError):
        log.open(replace(FIRST, candidate="trial-10"))


def test_every_byte_of_the_log_counts_for_verify(log: HoldoutLog) -> None:
    registry = Registry(log.root)
    for name in (OPENINGS, HEAD):
        whole = (log.root / name).read_bytes()
        for position in range(len(whole)):
            changed = bytearray(whole)
            changed[position] ^= 4
            (log.root / name).write_bytes(changed)
            with pytest.raises(IntegrityError):
                registry.verify()
        (log.root / name).write_bytes(whole)


def test_whole_lines_of_another_kind_are_refused(tmp_path: Path) -> None:
    log = HoldoutLog(tmp_path)
    log.open(FIRST)
    genesis = json.loads((tmp_path / OPENINGS).read_bytes())["previous"]
    Chain(tmp_path / OPENINGS, tmp_path / HEAD, genesis, "test").append({"partition": "tiles", "more": 1})
    with pytest.raises(IntegrityError, match="no opening"):
        log.read()


def test_the_files_of_the_log_are_no_strays(log: HoldoutLog) -> None:
    (log.root / ".holdouts.jsonl.abc.tmp").touch()
    found = Registry(log.root).verify()
    assert (found["models"], found["openings"], len(found["unfinished"])) == (0, 1, 1)
    assert sorted(path.name for path in log.root.iterdir() if not path.name.startswith(".")) == [HEAD, OPENINGS, LOCK]
    assert Registry(log.root).models() == []


@pytest.mark.parametrize("name", [OPENINGS, HEAD, LOCK])
def test_something_else_in_the_place_of_a_file_is_found(log: HoldoutLog, name: str) -> None:
    (log.root / name).unlink()
    os.mkfifo(log.root / name)  # whoever opened it would wait for ever
    with pytest.raises(IntegrityError, match="did not write"):
        Registry(log.root).verify()


def test_the_log_moves_with_its_registry(log: HoldoutLog, tmp_path: Path) -> None:
    moved = HoldoutLog(shutil.copytree(log.root, tmp_path / "moved"))
    assert moved.read() == log.read()
