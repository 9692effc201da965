from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta

from fdsearch.config import DecisionSpec
from fdsearch.decide import PASS, REJECT_BELOW, decide
from fdsearch.errors import ConfigError
from fdsearch.selection.decision import THRESHOLDS, Truth, check_classes, pass_rule

MASK = [True, False]
PROMISE = DecisionSpec(max_escape_rate=0.1, confidence=0.95)


def case(defective: list[float], good: list[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, labels and groups of parts with one picture each, given their pass probabilities."""
    passing = np.array([*defective, *good])
    labels = np.repeat([1, 0], [len(defective), len(good)])
    return np.column_stack([passing, 1 - passing]), labels, np.arange(len(passing))


def rule_of(defective: list[float], good: list[float], spec: DecisionSpec = PROMISE) -> dict[str, Any]:
    return pass_rule(*case(defective, good), MASK, spec)


@pytest.mark.parametrize(
    ("defective", "why"),
    [
        ([0.01] * 28, "29 defective parts without an escape could show"),
        ([], "there are 0"),
        ([0.01] * 30 + [1.0], "even at the strictest threshold 1 of 31"),
        ([0.01] * 30 + [1.0] * 4, "no number of parts with the same share could show it"),
    ],
)
def test_claims_that_cannot_be_carried_are_refused(defective: list[float], why: str) -> None:
    result = rule_of(defective, [0.99] * 20)
    assert result["rule"] is None
    assert why in result["why"]


@pytest.mark.parametrize(
    ("max_escape_rate", "confidence", "needed"),
    [(0.1, 0.95, 29), (0.01, 0.95, 299), (0.001, 0.95, 2995), (0.1, 0.9, 22)],
)
def test_says_how_many_defective_parts_are_needed(max_escape_rate: float, confidence: float, needed: int) -> None:
    spec = DecisionSpec(max_escape_rate=max_escape_rate, confidence=confidence)
    refused = rule_of([0.01] * (needed - 1), [0.99], spec)
    assert (refused["rule"], refused["needed"]) == (None, needed)
    carried = rule_of([0.01] * needed, [0.99], spec)
    assert carried["rule"] is not None and carried["needed"] is None


def test_says_about_how_many_parts_could_carry_the_escapes() -> None:
    """One of 31 escapes: from 47 parts on, one escape is few enough for a tenth."""
    needed = rule_of([0.01] * 30 + [1.0], [0.99])["needed"]
    assert 46 <= needed <= 48
    assert rule_of([0.01] * (needed - 1) + [1.0], [0.99])["rule"] is not None
    assert rule_of([0.01] * 30 + [1.0] * 4, [0.99])["needed"] is None


def test_counts_are_of_the_repeat_in_which_most_escape() -> None:
    clean, labels, groups = case([0.01] * 60, [0.99] * 20)
    bad = case([0.01] * 59 + [0.8], [0.99] * 20)[0]
    found = pass_rule(np.stack([clean, bad, clean]), labels, groups, MASK, PROMISE)
    assert (found["repeat"], found["rule"]["n_escaped"]) == (1, 1)


def test_a_defective_part_counts_in_its_defects_alone() -> None:
    truth = Truth.of([0, 1, 2, 0, 0], [7, 7, 7, 8, 9], [True, False, False], "group")
    assert truth.defective.tolist() == [True, False, False]
    assert truth.holds.tolist() == [[False, True, True], [True, False, False], [True, False, False]]
    assert Truth.of([0, 1], [7, 7], [True, False], "picture").defective.tolist() == [False, True]


@pytest.mark.parametrize("key", ["line_shares", "costs"])
def test_shares_and_costs_name_exactly_the_classes(key: str) -> None:
    entry: Any = 0.5 if key == "line_shares" else {"pass": 0, "review": 1, "reject": 2}
    check_classes(DecisionSpec.model_validate({key: {"free": entry, "bent": entry}}), ["bent", "free"])
    with pytest.raises(ConfigError) as caught:
        check_classes(DecisionSpec.model_validate({key: {"free": entry, "bant": entry}}), ["bent", "free", "crack"])
    assert [(fault.where.split(".", 1)[1], fault.got) for fault in caught.value.faults] == [
        (f"decision.{key}.bant", "bant"),
        (f"decision.{key}", "nothing for bent"),
        (f"decision.{key}", "nothing for crack"),
    ]


def test_clean_data_give_the_lowest_threshold() -> None:
    rule = rule_of([0.01] * 29, [0.99] * 20)["rule"]
    assert rule["pass_threshold"] == pytest.approx(REJECT_BELOW)
    assert (rule["n_defective"], rule["n_escaped"], rule["n_good"], rule["n_good_passed"]) == (29, 0, 20, 20)


def test_threshold_stands_above_the_escapes_that_are_too_many() -> None:
    rule = rule_of([0.01] * 28 + [0.8], [0.99] * 20 + [0.7] * 5)["rule"]
    assert 0.8 < rule["pass_threshold"] < 0.82
    assert (rule["n_escaped"], rule["n_good_passed"]) == (0, 20)


def test_more_defective_parts_may_carry_an_escape() -> None:
    assert rule_of([0.01] * 46 + [0.8], [0.99])["rule"]["n_escaped"] == 1
    assert rule_of([0.01] * 44 + [0.8], [0.99])["rule"]["n_escaped"] == 0


def test_worst_picture_of_a_part_decides() -> None:
    """29 defective parts, each with a picture that shows the defect and one that looks perfect."""
    scores, labels, _ = case([0.01] * 29 + [1.0] * 29, [0.99] * 20)
    parts = np.concatenate([np.arange(29), np.arange(29), 100 + np.arange(20)])
    assert pass_rule(scores, labels, parts, MASK, PROMISE)["rule"]["n_defective"] == 29
    by_picture = DecisionSpec(max_escape_rate=0.1, unit="picture")
    assert "29 of 58 defective pictures pass" in pass_rule(scores, labels, parts, MASK, by_picture)["why"]


def test_a_part_with_one_defective_picture_is_defective() -> None:
    scores, labels, _ = case([0.01] * 29, [0.99] * 29)
    mixed = pass_rule(scores, labels, np.tile(np.arange(29), 2), MASK, PROMISE)["rule"]
    assert (mixed["n_defective"], mixed["n_good"]) == (29, 0)


def test_the_promise_holds_in_every_repeat() -> None:
    clean, labels, groups = case([0.01] * 29, [0.99] * 20)
    bad = case([0.01] * 28 + [0.8], [0.99] * 20)[0]
    together = pass_rule(np.stack([clean, bad]), labels, groups, MASK, PROMISE)["rule"]
    alone = pass_rule(bad, labels, groups, MASK, PROMISE)["rule"]
    assert together["pass_threshold"] == alone["pass_threshold"]


def test_parts_that_a_repeat_did_not_validate_do_not_count() -> None:
    scores, labels, groups = case([0.01] * 60, [0.99] * 20)
    repeats = np.stack([scores, scores])
    repeats[1, :30] = np.nan
    assert pass_rule(repeats, labels, groups, MASK, PROMISE)["rule"]["n_defective"] == 30


@pytest.mark.parametrize(
    ("mask", "spec", "why"),
    [
        (MASK, DecisionSpec(), "states no decision.max_escape_rate"),
        ([False, False], PROMISE, "names no data.pass_classes"),
        ([True, True], PROMISE, "nothing can escape"),
    ],
)
def test_questions_that_were_not_asked(mask: list[bool], spec: DecisionSpec, why: str) -> None:
    result = pass_rule(*case([0.01] * 40, [0.9]), mask, spec)
    assert result["rule"] is None
    assert why in result["why"]


def test_rule_is_applied_as_it_was_tested() -> None:
    generator = np.random.default_rng(0)
    passing = np.concatenate([generator.beta(1, 6, 120), generator.beta(8, 1, 120)])
    scores, labels = np.column_stack([passing, 1 - passing]), np.repeat([1, 0], 120)
    groups = np.arange(240) // 2
    rule = json.loads(json.dumps(pass_rule(scores, labels, groups, MASK, PROMISE)["rule"]))
    verdicts = np.array([verdict.decision for verdict in decide(scores, MASK, rule, groups.tolist())])
    escaped = set(groups[(verdicts == PASS) & (labels == 1)])
    assert len(escaped) == rule["n_escaped"]
    assert len(set(groups[(verdicts == PASS) & (labels == 0)])) == rule["n_good_passed"]


def test_promise_is_kept_as_often_as_promised() -> None:
    """Draw studies from a known source and measure the true escape rate of the chosen thresholds."""
    generator, broken, n_studies = np.random.default_rng(7), 0, 400
    for _ in range(n_studies):
        rule = rule_of(list(generator.beta(1, 1.5, 80)), [0.99])["rule"]
        if rule is not None:
            broken += beta.sf(rule["pass_threshold"], 1, 1.5) > 0.1
    assert 0.005 < broken / n_studies < 0.07  # at most 5 %, give or take the simulation's own error


@pytest.mark.filterwarnings("ignore::UserWarning:mapie")  # it warns where none, or every, threshold is accepted
def test_threshold_is_that_of_a_library_for_risk_control() -> None:
    """Learn-then-test, fixed sequence: for a loss of 0 or 1 the library's p-value is that of the binomial test too.

    It multiplies a share with its number and rounds up, so the numbers are powers of two, whose shares are exact.
    """
    from mapie.risk_control import BinaryClassificationController

    generator = np.random.default_rng(3)
    claims = 0
    for n in generator.choice([32, 64, 128, 256], 40).tolist():
        passing, good = generator.beta(1, generator.uniform(1.5, 8), n), generator.beta(8, 1, 20)
        oracle = BinaryClassificationController(
            lambda scores: np.column_stack([1 - scores, scores]),
            "fpr",
            PROMISE.max_escape_rate,
            PROMISE.confidence,
            list_predict_params=THRESHOLDS,
            fwer_method="fixed_sequence",
        ).calibrate(np.concatenate([passing, good]), np.repeat([0, 1], [n, 20]))
        found, valid = rule_of(passing.tolist(), good.tolist())["rule"], oracle.valid_predict_params
        assert (found is None) == (len(valid) == 0)
        if found is not None:
            claims += 1
            assert found["pass_threshold"] == valid.min()
    assert claims > 10
