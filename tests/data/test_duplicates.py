"""Sets of pictures of one part: what they are called, what they contradict, which splits they cross."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsearch.data.duplicates import confidence, duplicate_groups, leaks, parts_of_several, proposals
from fdsearch.data.parts.finding import Parts


def parts_of(ids: Sequence[int], sure: Sequence[float] | None = None) -> Parts:
    found = np.ones(len(ids)) if sure is None else np.array(sure)
    return Parts(np.array(ids, np.int64), found, np.zeros((0, 2), np.int64), np.zeros(0), 0.5, ())


@pytest.mark.parametrize(
    ("pixels", "ids", "kinds"),
    [
        (["x", "x", "y"], [0, 0, 1], [("exact", "ab")]),  # a part that is nothing but copies is listed once
        (["x", "x", "y"], [0, 0, 0], [("exact", "ab"), ("near", "abc")]),
        (["x", "y", "z"], [0, 0, 1], [("near", "ab")]),
        (["x", "y", "z"], [0, 1, 2], []),
        ([None, None, "z"], [0, 1, 2], []),  # two pictures that cannot be read are no copies
    ],
)
def test_kinds(pixels: list[str | None], ids: list[int], kinds: list[tuple[str, str]]) -> None:
    found = duplicate_groups("abc", ["good"] * 3, pixels, parts_of(ids))
    assert [(entry["kind"], "".join(entry["filenames"])) for entry in found] == kinds


@pytest.mark.parametrize(
    ("labels", "conflict"),
    [
        (["good", "good"], False),
        (["good", "bent"], True),
        (["good", None], False),  # a sealed label contradicts nobody
        ([None, None], False),
    ],
)
def test_conflicts(labels: list[str | None], conflict: bool) -> None:
    [entry] = duplicate_groups("ab", labels, ["x", "y"], parts_of([0, 0], [0.9, 0.6]))
    assert entry["conflict"] is conflict and entry["labels"] == labels and entry["confidence"] == 0.6


@pytest.mark.parametrize(
    ("sides", "crossing"),
    [
        (["train", "train", "test"], []),
        (["train", "test", "test"], [["a", "b"]]),
        (["train", "", "test"], []),  # where the split says nothing it is crossed by nobody
        (["", "", ""], []),
    ],
)
def test_leaks(sides: list[str], crossing: list[list[str]]) -> None:
    found = leaks("abc", parts_of([0, 0, 1]), {"column set": sides})
    assert [entry["filenames"] for entry in found] == crossing
    assert all(entry["split"] == "column set" for entry in found)


def test_proposals_come_least_certain_first_and_say_what_they_would_change() -> None:
    parts = parts_of([0, 0, 1, 1, 2], [0.9, 0.9, 0.6, 0.7, 1.0])
    found = proposals("abcde", parts, ["g1", "g1", "g2", "g3", "g4"])
    assert [entry["filenames"] for entry in found] == [["c", "d"], ["a", "b"]]
    assert [entry["in_use"] for entry in found] == [False, True]
    assert (found[0]["group"], found[0]["now"]) == ("g2", ["g2", "g3"])


@given(st.lists(st.integers(0, 4), max_size=12))
def test_parts_of_several_are_whole_and_disjoint(ids: list[int]) -> None:
    found = parts_of_several(parts_of(ids))
    rows = [row for part in found for row in part]
    assert sorted(rows) == [row for row, part in enumerate(ids) if ids.count(part) > 1]
    assert all(len({ids[row] for row in part}) == 1 for part in found)
    assert all(confidence(parts_of(ids), part) == 1 for part in found)
