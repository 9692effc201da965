"""The rate that a threshold keeps, counted, and what it says where there are too few parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsearch.selection.conformal import conformal_threshold, part_scores


@pytest.mark.parametrize("n", [19, 20, 57, 150])
def test_new_parts_exceed_it_as_often_as_stated(n: int) -> None:
    rng = np.random.default_rng(n)
    sent = []
    for _ in range(4000):
        drawn = rng.exponential(size=n + 1)
        threshold, why = conformal_threshold(drawn[:n], 0.05)
        assert threshold is not None and why is None
        sent.append(drawn[n] > threshold)
    # Exact: at most the rate, and less than 1 / (n + 1) below it; three standard errors of 4000 draws beside.
    assert 0.05 - 1 / (n + 1) - 0.011 < np.mean(sent) < 0.05 + 0.011


@given(st.integers(1, 18), st.floats(0.001, 0.05))
def test_too_few_parts_give_none_and_say_how_many_would(n: int, rate: float) -> None:
    threshold, why = conformal_threshold(range(n), rate)
    assert threshold is None and why is not None and f"there are {n}" in why
    needed = int(why.split()[0])
    assert conformal_threshold(range(needed), rate)[0] is not None
    assert conformal_threshold(range(needed - 1), rate)[0] is None


def test_the_worst_picture_counts_for_its_part() -> None:
    names, worst = part_scores([3.0, 1.0, np.inf, 2.0], [4, 2, 2, 4])
    assert names.tolist() == [2, 4] and worst.tolist() == [np.inf, 3.0]
