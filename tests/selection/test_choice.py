from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsearch.selection.choice import TieRule, choose, settle

UNKNOWN = math.nan
FAST, PLAIN = TieRule(prefer_fast=True), TieRule()


@pytest.mark.parametrize(
    ("scores", "errors", "latency", "rule", "winner", "tied", "given_up"),
    [
        ([0.8], [0], [UNKNOWN], PLAIN, 0, (), 0),
        ([0.7, 0.8], [0.02, 0], [1, 50], PLAIN, 1, (), 0),  # far apart: speed is no reason
        ([0.79, 0.8], [0.02, 0], [20, 50], PLAIN, 0, (0,), 0.01),
        ([0.79, 0.8], [0.02, 0], [25, 50], PLAIN, 0, (0,), 0.01),  # exactly half
        ([0.79, 0.8], [0.02, 0], [26, 50], PLAIN, 1, (0,), 0),  # not half
        ([0.79, 0.8], [0.02, 0], [26, 50], FAST, 0, (0,), 0.01),
        ([0.79, 0.8], [0.02, 0], [50, 50], FAST, 1, (0,), 0),  # equally fast
        ([0.79, 0.8], [0.01, 0], [1, 50], FAST, 1, (), 0),  # one whole standard error is no tie (rounding aside)
        ([0.79, 0.8], [0.02, 0], [UNKNOWN, 50], FAST, 1, (0,), 0),
        ([0.79, 0.8], [0.02, 0], [1, UNKNOWN], FAST, 1, (0,), 0),
        ([0.8, 0.8], [0, 0], [50, 1], PLAIN, 1, (1,), 0),  # the same predictions
        ([0.78, 0.79, 0.8], [0.03, 0.03, 0], [5, 5, 50], PLAIN, 1, (1, 0), 0.01),  # of equally fast ones the better
        ([0.78, 0.79, 0.8], [0.03, 0.03, 0], [4, 5, 50], PLAIN, 0, (1, 0), 0.02),
    ],
)
def test_choices(
    scores: list[float],
    errors: list[float],
    latency: list[float],
    rule: TieRule,
    winner: int,
    tied: tuple[int, ...],
    given_up: float,
) -> None:
    choice = choose(scores, errors, latency, rule)
    assert (choice.winner, choice.tied) == (winner, tied)
    assert choice.best == int(np.argmax(scores))
    assert choice.given_up == pytest.approx(given_up)
    assert ("instead of" in choice.why) is (winner != choice.best)


def test_the_reason_names_what_was_given_up() -> None:
    why = choose([0.79, 0.8], [0.02, 0], [8, 31], PLAIN).why
    assert "0.0100 below" in why
    assert "one standard error is 0.0200" in why
    assert "8.0 ms for a picture instead of 31.0" in why


@given(st.data())
def test_many_resamples_are_settled_as_one_by_one(data: st.DataObject) -> None:
    m, k = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4))
    numbers = st.integers(0, 6)
    scores = np.array(data.draw(st.lists(numbers, min_size=m * k, max_size=m * k)), float).reshape(m, k) / 10
    half = np.array(data.draw(st.lists(numbers, min_size=m * m, max_size=m * m)), float).reshape(m, m) / 20
    errors = half + half.T
    times = st.one_of(st.sampled_from([1.0, 2.0, 4.0]), st.just(math.nan))
    latency = np.array(data.draw(st.lists(times, min_size=m, max_size=m)))
    rule = data.draw(st.sampled_from([FAST, PLAIN]))
    together = settle(scores, errors, latency, rule)
    for column, winner in enumerate(together):
        one = scores[:, column]
        assert winner == choose(one, errors[one.argmax()], latency, rule).winner


def test_those_who_do_not_take_part_never_win() -> None:
    scores = np.array([[-np.inf, 0.5], [0.2, -np.inf], [-np.inf, 0.4]])
    assert settle(scores, np.full((3, 3), 1.0), np.array([1.0, 9.0, 2.0]), FAST).tolist() == [1, 0]
