"""Parts from accepted pairs: chains are cut, order does not matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsearch.data.parts import clusters
from fdsearch.data.parts.clusters import connected, cut, unknown_pairs

Pairs = list[tuple[int, int]]


def parts_of(n: int, links: Pairs) -> list[int]:
    pairs = np.array(links, np.int64).reshape(-1, 2)
    return cut(connected(n, pairs), pairs, np.ones(len(pairs), bool))[0].tolist()


def full(*members: int) -> Pairs:
    return [(a, b) for a in members for b in members if a < b]


@pytest.mark.parametrize(
    ("n", "links", "parts"),
    [
        (0, [], []),
        (3, [], [0, 1, 2]),
        (3, [(0, 2)], [0, 1, 0]),
        (4, full(0, 1, 2, 3), [0, 0, 0, 0]),
        (4, full(0, 1, 2, 3)[:-1], [0, 0, 0, 0]),  # one pair of six missed
        (6, [*full(0, 1, 2), *full(3, 4, 5), (2, 3)], [0, 0, 0, 1, 1, 1]),  # one wrong pair
    ],
)
def test_groups(n: int, links: Pairs, parts: list[int]) -> None:
    assert parts_of(n, links) == parts


def test_pairs_that_nobody_proposed_are_asked_for() -> None:
    known = np.array([(0, 1), (1, 2), (3, 4)])
    sets = connected(6, known)
    assert unknown_pairs(sets, known).tolist() == [[0, 2]]
    assert unknown_pairs(sets, np.array([(0, 1), (0, 2), (1, 2), (3, 4)])).shape == (0, 2)


def test_too_many_connected_pictures_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "MOST_LINKED", 3)
    pairs = np.array(full(0, 1, 2, 3))
    parts, given_up = cut(connected(5, pairs), pairs, np.ones(len(pairs), bool))
    assert parts.tolist() == [0, 1, 2, 3, 4] and given_up == 4


LINKS = st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda pair: pair[0] < pair[1]), max_size=20)


@given(LINKS, st.permutations(range(10)))
def test_a_part_never_leaves_its_connected_set_and_numbers_come_in_order(
    links: set[tuple[int, int]], order: list[int]
) -> None:
    pairs = np.array(sorted(links), np.int64).reshape(-1, 2)
    sets = connected(10, pairs)
    parts, _ = cut(sets, pairs, np.ones(len(pairs), bool))
    assert all(len(set(sets[parts == part].tolist())) == 1 for part in set(parts.tolist()))
    assert list(dict.fromkeys(parts.tolist())) == list(range(int(parts.max()) + 1))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_complete_parts_are_found_in_any_order(sizes: list[int], random: object) -> None:
    truth = [part for part, size in enumerate(sizes) for _ in range(size)]
    random.shuffle(truth)  # type: ignore[attr-defined]
    links = [(a, b) for b in range(len(truth)) for a in range(b) if truth[a] == truth[b]]
    found = parts_of(len(truth), links)
    assert [[found[a] == found[b] for a in range(len(truth))] for b in range(len(truth))] == [
        [truth[a] == truth[b] for a in range(len(truth))] for b in range(len(truth))
    ]
