"""The rule by costs, and what it costs: against cases whose best decision is plain, and against other thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fdsearch.config import DecisionSpec
from fdsearch.decide import severities
from fdsearch.selection.costs import cost_rule, expected_cost
from fdsearch.selection.decision import Truth
from fdsearch.selection.rates import tally

CLASSES = ["free", "bent"]
COSTS = {"free": {"pass": 0, "review": 1, "reject": 4}, "bent": {"pass": 50, "review": 1, "reject": 0}}


def spec(**more: Any) -> DecisionSpec:
    return DecisionSpec.model_validate({"costs": COSTS, **more})


def test_rows_follow_the_classes() -> None:
    assert cost_rule(spec(unit="picture"), CLASSES, [0, 1]) == {"unit": "picture", "costs": [[0, 1, 4], [50, 1, 0]]}
    assert cost_rule(spec(), CLASSES[::-1], [0, 1])["costs"] == [[50, 1, 0], [0, 1, 4]]


def test_shift_is_from_the_labels_to_the_line() -> None:
    rule = cost_rule(spec(line_shares={"free": 0.98, "bent": 0.02}), CLASSES, [0] * 60 + [1] * 40)
    assert rule["cost_shift"] == pytest.approx(np.log([0.98 / 0.6, 0.02 / 0.4]))


def test_a_share_of_the_line_is_taken_as_it_is_however_few_the_labels() -> None:
    rule = cost_rule(spec(line_shares={"free": 0.9999, "bent": 0.0001}), CLASSES, [0, 1])
    assert rule["cost_shift"] == pytest.approx(np.log([0.9999 / 0.5, 0.0001 / 0.5]))


def test_a_class_that_is_not_on_the_line_keeps_numbers_finite() -> None:
    rule = cost_rule(spec(line_shares={"free": 1.0, "bent": 0.0}), CLASSES, [0] * 60 + [1] * 40)
    assert np.isfinite(rule["cost_shift"]).all()
    assert severities([[0.5, 0.5]], [True, False], rule).tolist() == [0]


def test_expected_cost_is_that_counted() -> None:
    truth = Truth.of([0] * 6 + [1] * 4, range(10), [True, False], "group")
    table = tally([0, 0, 0, 0, 1, 2, 0, 1, 2, 2], truth)
    costs = cost_rule(spec(), CLASSES, [0, 1])["costs"]
    found = expected_cost(table, costs)
    assert found["per_part"] == pytest.approx((1 + 4 + 50 + 1) / 10)
    assert found["if_all"] == pytest.approx({"pass": 20.0, "review": 1.0, "reject": 2.4})
    line = expected_cost(table, costs, np.array([0.99, 0.01]))
    assert line["per_part"] == pytest.approx(0.99 * 5 / 6 + 0.01 * 51 / 4)


def test_no_expected_cost_without_a_part_of_a_class_on_the_line() -> None:
    truth = Truth.of([0, 0], range(2), [True, False], "group")
    found = expected_cost(tally([0, 0], truth), [[0, 1, 4], [50, 1, 0]], np.array([0.9, 0.1]))
    assert found["per_part"] is None and found["if_all"]["review"] == 1


def test_honest_probabilities_make_the_rule_cheaper_than_any_other_thresholds() -> None:
    """On the line's own shares, though the probabilities were calibrated on others."""
    generator = np.random.default_rng(0)
    n, line = 40_000, np.array([0.95, 0.05])
    y_true = generator.choice(2, n, p=line)
    likelihood = np.exp(2 * (generator.normal(size=(n, 2)) + 2 * np.eye(2)[y_true]))
    trained = likelihood * [0.5, 0.5]
    rule = cost_rule(spec(line_shares={"free": 0.95, "bent": 0.05}), CLASSES, [0, 1])
    costs = np.array(rule["costs"])
    spent = costs[y_true, severities(trained / trained.sum(axis=1, keepdims=True), [True, False], rule)].mean()
    posterior = likelihood * line
    good = (posterior / posterior.sum(axis=1, keepdims=True))[:, 0]
    for passes, rejects in [(0.999, 0.5), (0.98, 0.5), (0.9, 0.25), (0.98, 0.05), (0.995, 0.3)]:
        other = np.where(good >= passes, 0, np.where(good < rejects, 2, 1))
        assert spent <= costs[y_true, other].mean() + 1e-9
