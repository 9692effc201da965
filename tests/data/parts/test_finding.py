"""From pictures to parts: every part together, no two parts together, whatever the pictures are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from rephotograph import drawn, look_alike, rephotograph, textured

from fdsearch.data.parts.evidence import Clues
from fdsearch.data.parts.finding import Parts, find_parts
from fdsearch.progress import Silent


def find(pictures: Sequence[Any], pixels: Sequence[str | None] | None = None, names: Sequence[str] = ()) -> Parts:
    """Names that say nothing, unless some are given."""
    blind = tuple(names) or tuple(f"{number * 7919 % 100_003:x}.png" for number in range(len(pictures)))
    digests = [str(number) for number in range(len(pictures))] if pixels is None else pixels
    return find_parts(pictures, Clues(blind), digests, Silent())


def shots(draw: Any, sizes: Sequence[int]) -> tuple[list[Any], list[int]]:
    """Pictures of parts with these numbers of shots, mixed."""
    rng = np.random.default_rng(0)
    taken = [(rephotograph(draw(part), drawn(rng), shot), part) for part, n in enumerate(sizes) for shot in range(n)]
    order = rng.permutation(len(taken))
    return [taken[place][0] for place in order], [taken[place][1] for place in order]


def same(numbers: Sequence[int]) -> np.ndarray:
    values = np.array(numbers)
    return values[:, None] == values[None, :]


def test_generated_parts_are_found() -> None:
    pictures, truth = shots(textured, [1, 2, 3, 4] * 6)
    found = find(pictures)
    np.testing.assert_array_equal(same(found.ids.tolist()), same(truth))
    assert found.threshold is not None and found.n == 24
    assert found.confidence.min() > 0.5
    assert (found.ids[found.links[:, 0]] == found.ids[found.links[:, 1]]).all()
    assert (found.links[:, 0] < found.links[:, 1]).all() and found.scores.min() >= 0.5


def test_distinct_look_alikes_stay_apart() -> None:
    rng = np.random.default_rng(1)
    pictures = [rephotograph(look_alike(part), drawn(rng), part) for part in range(50)]
    assert find(pictures).n == 50


def test_shots_of_look_alikes_are_found_among_look_alikes() -> None:
    pictures, truth = shots(look_alike, [1, 2] * 25)
    found, wanted = same(find(pictures).ids.tolist()), same(truth)
    assert not (found & ~wanted).any()
    assert (found & wanted).sum() - len(truth) >= 0.5 * (wanted.sum() - len(truth))


def test_copies_are_together_for_certain_and_unreadable_rows_alone() -> None:
    pictures = [textured(0), textured(1), textured(0), np.zeros((0, 0), np.uint8), np.zeros((0, 0), np.uint8)]
    found = find(pictures, ["a", "b", "a", None, None])
    assert found.ids.tolist() == [0, 1, 0, 2, 3]
    assert found.confidence[[0, 2]].tolist() == [1, 1] and found.confidence[[3, 4]].tolist() == [0, 0]
    assert found.links.tolist() == [[0, 2]] and found.scores.tolist() == [1]


@pytest.mark.parametrize(
    "pictures",
    [
        [],
        [np.zeros((30, 30), np.uint8)],
        [np.full((side, 200), tone, np.uint8) for side in (1, 9, 200) for tone in (0, 90)],
        [np.random.default_rng(n).integers(0, 256, (18, 24), np.uint8) for n in range(80)],
    ],
    ids=["none", "one", "blank", "tiny"],
)
def test_pictures_that_show_nothing_stay_alone(pictures: list[Any]) -> None:
    found = find(pictures)
    assert found.ids.tolist() == list(range(len(pictures))) and len(found.confidence) == len(pictures)


def test_names_and_order_join_nothing_and_part_nothing() -> None:
    """Part 0 was photographed in two sessions far apart; all other names suggest pairs that are none."""
    shots_of_first = [rephotograph(textured(0), drawn(np.random.default_rng(n)), n) for n in range(4)]
    others = [textured(part) for part in range(1, 45)]
    pictures = [*shots_of_first[:2], *others, *shots_of_first[2:]]
    names = ["p1_0", "p1_1", *(f"p{100 + n // 2}_{n % 2}" for n in range(len(others))), "p9001_0", "p9001_1"]
    found = find(pictures, names=[f"{name}.png" for name in names])
    assert len(set(found.ids[[0, 1, -2, -1]].tolist())) == 1
    assert found.n == 45


def test_the_order_of_the_rows_changes_no_group() -> None:
    pictures, _ = shots(textured, [2] * 12)
    order = np.random.default_rng(3).permutation(len(pictures))
    first, second = find(pictures), find([pictures[place] for place in order])
    np.testing.assert_array_equal(same(first.ids[order].tolist()), same(second.ids.tolist()))
