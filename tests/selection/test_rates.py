"""Rates against direct counting, bounds against the exact test, and weights against a line that is drawn anew."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from fdsearch.decide import REJECT_BELOW, UNSEEN
from fdsearch.selection.decision import THRESHOLDS, Truth
from fdsearch.selection.intervals import exact_bounds
from fdsearch.selection.rates import curve, line_shares, per_class, rates, tally

CLASSES = ["free", "bent", "crack"]
MASK = [True, False, False]
PASS, REVIEW, REJECT = 0, 1, 2


def parts(labels: list[int]) -> Truth:
    """One picture for each part."""
    return Truth.of(labels, range(len(labels)), MASK, "group")


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(0, 300), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_bounds_are_those_of_the_exact_test(hits: int, more: int, confidence: float) -> None:
    low, high = exact_bounds(hits, hits + more, confidence)
    if hits + more == 0:
        assert (low, high) == (0, 1)
        return
    expected = binomtest(hits, hits + more).proportion_ci(confidence, method="exact")
    # The reference searches its roots, to 2e-12.
    assert (float(low), float(high)) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_rates_are_those_counted() -> None:
    truth = parts([0] * 10 + [1] * 5 + [2] * 5)
    decisions = [PASS] * 7 + [REVIEW, REJECT, UNSEEN] + [REJECT] * 3 + [PASS, REVIEW] + [REJECT] * 4 + [UNSEEN]
    table = tally(decisions, truth)
    found = rates(table, truth, 0.95)
    assert found["escape"]["rate"] == pytest.approx(1 / 9)
    assert found["false_reject"]["rate"] == pytest.approx(1 / 9)
    assert found["review"]["rate"] == pytest.approx(2 / 18)
    assert json.loads(json.dumps(found)) == found
    assert found["escape"]["high"] == pytest.approx(binomtest(1, 9).proportion_ci(0.95, method="exact").high)
    classes = per_class(table, truth, CLASSES, 0.95)
    assert {name: (row["parts"], row["escaped"]) for name, row in classes.items()} == {"bent": (5, 1), "crack": (4, 0)}
    assert classes["crack"]["bound"] == pytest.approx(1 - 0.05 ** (1 / 4))


def test_a_part_with_two_defects_counts_in_both_and_once_in_all() -> None:
    truth = Truth.of([1, 2, 0, 0], [5, 5, 5, 6], MASK, "group")
    table = tally([PASS, PASS], truth)
    assert rates(table, truth, 0.95)["escape"]["rate"] == 1.0
    assert {name: row["parts"] for name, row in per_class(table, truth, CLASSES, 0.95).items()} == {
        "bent": 1,
        "crack": 1,
    }
    assert table[:2].sum() == 2


def test_shares_of_the_line_weigh_each_class() -> None:
    """Bent parts escape half the time and cracked ones never; on the line nearly all defects are bent."""
    truth = parts([0] * 40 + [1] * 10 + [2] * 30)
    decisions = [PASS] * 36 + [REVIEW] * 4 + [PASS] * 5 + [REJECT] * 5 + [REJECT] * 30
    table = tally(decisions, truth)
    shares = np.array([0.9, 0.09, 0.01])
    found = rates(table, truth, 0.95, shares)
    assert rates(table, truth, 0.95)["escape"]["rate"] == pytest.approx(5 / 40)
    assert found["escape"]["rate"] == pytest.approx(0.9 * 0.5)
    assert found["false_reject"]["rate"] == 0.0
    assert found["review"]["rate"] == pytest.approx(0.9 * 0.1)
    bounds = [binomtest(5, 10).proportion_ci(0.975, method="exact"), binomtest(0, 30).proportion_ci(0.975, "exact")]
    assert found["escape"]["high"] == pytest.approx(0.9 * bounds[0].high + 0.1 * bounds[1].high)
    assert found["escape"]["low"] == pytest.approx(0.9 * bounds[0].low)


def test_shares_as_counted_change_no_rate_and_widen_every_bound() -> None:
    generator = np.random.default_rng(0)
    labels = generator.choice(3, 300, p=[0.6, 0.3, 0.1]).tolist()
    truth = parts(labels)
    table = tally(generator.integers(0, 3, 300), truth)
    plain, weighed = rates(table, truth, 0.95), rates(table, truth, 0.95, np.bincount(labels) / 300)
    for name, row in plain.items():
        assert weighed[name]["rate"] == pytest.approx(row["rate"])
        assert weighed[name]["low"] <= row["low"] + 1e-12 and weighed[name]["high"] >= row["high"] - 1e-12


@pytest.mark.parametrize(
    ("labels", "shares", "escape", "false_reject"),
    [
        ([0, 0, 1], [0.5, 0.25, 0.25], (None, 1.0), (0.0, None)),  # no cracked part was seen
        ([0, 0, 1], [0.5, 0.5, 0.0], (0.0, None), (0.0, None)),  # and none is needed
        ([0, 0, 1], [1.0, 0.0, 0.0], (None, None), (0.0, None)),  # no defect on the line at all
        ([1, 1, 1], None, (0.0, None), (None, 1.0)),  # no good part was seen
    ],
)
def test_what_was_not_seen_has_no_rate(
    labels: list[int], shares: list[float] | None, escape: tuple[Any, Any], false_reject: tuple[Any, Any]
) -> None:
    truth = parts(labels)
    table = tally([PASS if label == 0 else REJECT for label in labels], truth)
    found = rates(table, truth, 0.95, None if shares is None else np.array(shares))
    for name, (rate, high) in (("escape", escape), ("false_reject", false_reject)):
        assert found[name]["rate"] == rate
        if rate is None and high is None:
            assert found[name]["high"] is None
        elif high is not None:
            assert found[name]["high"] <= high


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.one_of(st.floats(0, 1), st.just(float("nan")))), min_size=3, max_size=40)
)
def test_curve_holds_between_its_rows(drawn: list[tuple[int, float]]) -> None:
    truth, worst = parts([label for label, _ in drawn]), np.array([value for _, value in drawn])
    rows = curve(worst, truth, 0.95)
    assert rows[0]["threshold"] == THRESHOLDS[0]
    for threshold in THRESHOLDS[::30]:
        row = [each for each in rows if (each["threshold"] or 0) >= threshold][-1]
        decisions = np.where(worst >= threshold, PASS, np.where(worst < REJECT_BELOW, REJECT, REVIEW))
        decisions[np.isnan(worst)] = UNSEEN
        expected = rates(tally(decisions, truth), truth, 0.95)
        assert row["escape"] == expected["escape"]["rate"] and row["escape_high"] == expected["escape"]["high"]
        assert row["false_reject"] == expected["false_reject"]["rate"]
        assert row["review"] == expected["review"]["rate"]


def test_a_laxer_threshold_lets_more_escape_and_sends_fewer_to_a_person() -> None:
    generator = np.random.default_rng(1)
    truth = parts([0] * 200 + [1] * 100 + [2] * 50)
    worst = np.concatenate([generator.beta(8, 1, 200), generator.beta(1, 2, 150)])
    for shares in (None, np.array([0.99, 0.005, 0.005])):
        rows = curve(worst, truth, 0.95, shares)
        assert len(rows) > 50
        for name, sign in (("threshold", -1), ("escape", 1), ("escape_high", 1), ("review", -1)):
            assert (sign * np.diff([row[name] for row in rows]) >= 0).all()
        assert len({row["false_reject"] for row in rows}) == 1


def test_shares_of_the_line_are_put_in_order_and_add_up() -> None:
    assert line_shares(None, CLASSES) is None
    found = line_shares({"crack": 0.1, "free": 0.8995, "bent": 0.0}, CLASSES)
    assert found is not None and found.sum() == pytest.approx(1)
    assert found[2] / found[0] == pytest.approx(0.1 / 0.8995)
