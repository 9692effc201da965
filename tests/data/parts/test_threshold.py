"""What ordinary scores allow: the share of wrong pairs, thresholds, and what happens with few of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsearch.data.parts.threshold import FLOOR, FalseShares, Null

NEVER = np.full(500, -np.inf)


def chance(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.1, 0.12, n)


def test_true_pairs_far_above_chance_are_kept_also_if_they_are_few() -> None:
    scores = np.r_[chance(3000), np.full(20, 0.95)]
    threshold = FalseShares.of(scores, Null.of(chance(1000, 1))).threshold(0.01)
    assert threshold is not None and (scores >= threshold).sum() == 20


def test_where_nothing_stands_out_there_is_no_threshold() -> None:
    shares = FalseShares.of(chance(50_000), Null.of(chance(1000, 1)))
    assert shares.threshold(0.01) is None
    assert FalseShares.of(np.zeros(0), Null.of(np.zeros(0))).threshold(0.2) is None


def test_the_more_alike_ordinary_pairs_are_the_more_is_asked() -> None:
    scores = np.r_[chance(3000), np.full(200, 0.6)]
    assert FalseShares.of(scores, Null.of(chance(1000, 1))).threshold(0.01) == 0.6
    assert FalseShares.of(scores, Null.of(chance(1000, 1) * 1.8)).threshold(0.01) is None


def test_pictures_that_could_never_be_compared_leave_a_threshold() -> None:
    scores = np.r_[np.full(3000, -np.inf), np.full(30, 0.9)]
    assert FalseShares.of(scores, Null.of(NEVER)).threshold(0.01) == 0.9
    below = np.r_[np.full(3000, -np.inf), np.full(30, FLOOR - 0.01)]
    assert FalseShares.of(below, Null.of(NEVER)).threshold(0.2) is None


def test_many_shots_of_one_part_among_the_ordinary_do_not_spoil_them() -> None:
    """A part with six shots has pairs that are the best of neither picture."""
    scores = np.r_[chance(3000), np.full(1000, 0.7)]
    ordinary = np.r_[chance(2000, 1), np.full(700, 0.7)]
    assert FalseShares.of(scores, Null.of(ordinary)).threshold(0.005) == 0.7


SCORES = st.lists(st.floats(-1, 1) | st.just(-np.inf), max_size=60).map(np.array)


@given(SCORES, SCORES)
def test_a_higher_score_is_never_more_often_wrong(scores: np.ndarray, others: np.ndarray) -> None:
    shares = FalseShares.of(scores.astype(float), Null.of(others.astype(float)))
    found = shares.at(np.r_[-np.inf, np.linspace(-1.1, 1.1, 200)])
    assert ((found >= 0) & (found <= 1)).all() and (np.diff(found) <= 1e-12).all()
    strict, loose = shares.threshold(0.01), shares.threshold(0.2)
    assert strict is None or (loose is not None and loose <= strict)


@pytest.mark.parametrize("wrong", [0, 40])
def test_the_share_between_two_thresholds(wrong: int) -> None:
    shares = FalseShares(np.arange(200.0)[::-1], np.r_[np.zeros(100), np.full(100, wrong / 200)])
    assert shares.between(100.0, 0.0) == pytest.approx(wrong / 100)
    assert shares.between(100.0, 100.0) == 1.0
