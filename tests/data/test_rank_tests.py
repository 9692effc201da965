"""Rank tests over parts: their scores by brute force, and what they take for a difference."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fdsearch.data.rank_tests import rank_tests


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(0, 2)).map(
            lambda row: (row[0], row[1], row[2] > 0)
        ),
        min_size=2,
        max_size=20,
    ).filter(lambda rows: len({inside for *_, inside in rows}) == 2)
)
def test_the_score_is_that_of_all_pairs_of_pictures_of_two_parts(rows: list[tuple[int, int, bool]]) -> None:
    values, groups, inside = (np.array(column) for column in zip(*rows, strict=True))
    [found] = rank_tests(values[:, None], inside.astype(int), groups, [1], 0.95)
    wins = [
        np.mean(
            [(a > b) + (a == b) / 2 for a in values[inside & (groups == g)] for b in values[~inside & (groups == h)]]
        )
        for g in set(groups[inside].tolist())
        for h in set(groups[~inside].tolist())
    ]
    assert np.isclose(found.auc[0], np.mean(wins))
    assert 0 <= found.margin[0] <= 0.5


def test_a_shift_of_six_parts_is_found_among_numbers_that_know_nothing() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(150), 4)
    labels = (groups < 6).astype(int)
    columns = rng.normal(size=(150, 30))[groups] + rng.normal(size=(len(groups), 30))
    columns[:, 7] -= 3 * labels
    [found] = rank_tests(columns, labels, groups, [1], 0.99)
    assert np.flatnonzero(np.abs(found.auc - 0.5) > found.margin).tolist() == [7] and found.auc[7] < 0.1


def test_parts_that_are_photographed_less_often_are_not_told_by_their_noise() -> None:
    parts = np.repeat([0, 1], [80, 6])
    groups = np.repeat(np.arange(86), np.where(parts == 1, 1, 6))
    alarms = 0
    for seed in range(30):
        noise = np.random.default_rng(seed).normal(size=(len(groups), 20))
        [found] = rank_tests(noise, parts[groups], groups, [1], 0.95, seed)
        alarms += bool((np.abs(found.auc - 0.5) > found.margin).any())
    assert alarms <= 4  # taken as equally sure, nearly every set has one


def test_too_few_parts_for_the_level_are_never_told() -> None:
    groups = np.arange(10)
    labels = (groups < 5).astype(int)  # 252 choices: two are as extreme, one in 126
    surely, hardly = (rank_tests(groups[:, None], labels, groups, [1], level)[0] for level in (0.95, 0.999))
    assert surely.auc[0] == hardly.auc[0] == 0
    assert surely.margin[0] < 0.5 <= hardly.margin[0]


def test_what_is_the_same_for_all_parts_tells_nothing() -> None:
    [found] = rank_tests(
        np.tile([[1.0], [2.0]], (12, 1)), np.repeat([0, 1], 12), np.repeat(np.arange(12), 2), [1], 0.95
    )
    assert found.auc[0] == 0.5 <= 0.5 + found.margin[0]
