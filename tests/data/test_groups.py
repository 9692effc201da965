"""Numbers of groups, and joining by identical pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsearch.config import DataSpec
from fdsearch.data.groups import Groups, assign_groups, identical
from fdsearch.data.manifest import Manifest, ManifestRow
from fdsearch.data.parts.finding import Parts

SPEC = DataSpec.model_validate({"manifest": "labels.csv", "label": "label", "group": "part"})


def assign(names: list[str], pixels: list[str | None], spec: DataSpec = SPEC) -> Groups:
    rows = tuple(
        ManifestRow(f"row {number}", f"{number}.png", "x", Path("x"), {"part": name})
        for number, name in enumerate(names)
    )
    return assign_groups(spec, Manifest(Path("labels.csv"), rows, ("part",), []), pixels)


@pytest.mark.parametrize(
    ("names", "pixels", "ids", "groups"),
    [
        (["b", "a", "b"], [None, None, None], [0, 1, 0], ("b", "a")),
        (["a", "b", "c"], ["x", "y", "z"], [0, 1, 2], ("a", "b", "c")),
        (["a", "b", "c"], ["x", "y", "x"], [0, 1, 0], ("a", "b")),
        (["a", "b", "a", "b", "c"], ["1", "2", "3", "1", "4"], [0, 0, 0, 0, 1], ("a", "c")),
        (["a", "b", "c", "d"], ["1", "1", "2", "2"], [0, 0, 1, 1], ("a", "c")),
        (["d", "c", "b", "a", "b", "c"], ["1", "2", "3", "1", "1", "3"], [0, 0, 0, 0, 0, 0], ("d",)),
        ([], [], [], ()),
    ],
)
def test_identical_pictures_join_groups(
    names: list[str], pixels: list[str | None], ids: list[int], groups: tuple[str, ...]
) -> None:
    found = assign(names, pixels)
    assert found.ids.dtype == np.int64
    assert found.ids.tolist() == ids and found.names == groups and found.faults == []
    assert bool(found.notes) == (len(groups) < len(set(names)))


def test_the_note_names_what_was_joined() -> None:
    assert assign(["a", "b"], ["x", "x"]).notes == ("groups joined because they hold the same pixels: a + b",)


def test_without_a_source_each_picture_is_alone_apart_from_copies() -> None:
    none = SPEC.model_copy(update={"group": type(SPEC.group)()})
    found = assign(["a", "a", "a"], ["x", "y", "x"], none)
    assert found.names == ("0.png", "1.png")
    assert found.notes == ("pictures joined because they hold the same pixels: 0.png + 2.png",)


def test_auto_says_what_it_cannot_do() -> None:
    auto = SPEC.model_copy(update={"group": type(SPEC.group)(auto=True)})
    assert "only copies" in assign(["a"], ["x"], auto).notes[0]


AUTO = SPEC.model_copy(update={"group": type(SPEC.group)(auto=True)})


def parts(ids: list[int]) -> Parts:
    nothing = np.zeros((0, 2), np.int64)
    return Parts(
        np.array(ids, np.int64), np.linspace(0.5, 0.9, len(ids)), nothing, np.zeros(0), 9.0, ("of the search",)
    )


def rows_of(corrections: list[str]) -> Manifest:
    rows = tuple(
        ManifestRow(f"row {number}", f"{number}.png", "x", Path("x"), {}, group)
        for number, group in enumerate(corrections)
    )
    return Manifest(Path("labels.csv"), rows, (), [])


def test_auto_takes_the_parts_that_were_found() -> None:
    found = assign_groups(AUTO, rows_of([""] * 4), ["a", "b", "c", "d"], parts([0, 1, 0, 2]))
    assert found.ids.tolist() == [0, 1, 0, 2] and found.names == ("0.png", "1.png", "3.png")
    assert found.inferred and found.confidence.tolist() == np.linspace(0.5, 0.9, 4).tolist()
    assert found.notes[0].startswith("groups were inferred") and "4 pictures in 3 groups, 1 of them" in found.notes[0]
    assert found.notes[1:] == ("of the search",)


def test_corrections_go_before_the_parts_that_were_found() -> None:
    found = assign_groups(AUTO, rows_of(["x", "", "", "", "3.png"]), list("abcde"), parts([0, 0, 0, 1, 2]))
    assert found.names == ("x", "1.png", "3.png") and found.ids.tolist() == [0, 1, 1, 2, 2]
    assert found.confidence[[0, 4]].tolist() == [1, 1] and found.confidence[1] == 0.6


def test_parts_do_not_matter_to_another_source() -> None:
    rows = rows_of(["", "", ""])
    none = SPEC.model_copy(update={"group": type(SPEC.group)()})
    found = assign_groups(none, rows, ["a", "b", "c"], parts([0, 0, 0]))
    assert found.names == ("0.png", "1.png", "2.png")
    assert not found.inferred and found.confidence.tolist() == [1, 1, 1]


ROWS = st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["1", "2", "3", "4", "5", None])), max_size=20)


@given(ROWS)
def test_rows_of_one_name_or_one_picture_share_a_group(rows: list[tuple[str, str | None]]) -> None:
    names, pixels = [name for name, _ in rows], [digest for _, digest in rows]
    found = assign(names, pixels)
    for first in range(len(rows)):
        for second in range(first):
            same_pixels = pixels[first] is not None and pixels[first] == pixels[second]
            if names[first] == names[second] or same_pixels:
                assert found.ids[first] == found.ids[second]
    assert sorted(set(found.ids.tolist())) == list(range(len(found.names)))


@given(ROWS)
def test_renaming_groups_changes_no_number(rows: list[tuple[str, str | None]]) -> None:
    names, pixels = [name for name, _ in rows], [digest for _, digest in rows]
    renamed = [chr(ord("z") - ord(name) + ord("a")) for name in names]
    assert assign(names, pixels).ids.tolist() == assign(renamed, pixels).ids.tolist()


def test_identical_lists_each_set_once() -> None:
    assert identical(["a", "b", "a", "c", "b", None, None]) == [[0, 2], [1, 4]]
