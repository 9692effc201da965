"""Rule and evidence together: what a study asks for, what may be claimed, and whether the figures are the rule's."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fdsearch.config import DecisionSpec
from fdsearch.decide import decide
from fdsearch.selection.promise import BY_COSTS, promise

CLASSES = ["bent", "crack", "free"]
MASK = [False, False, True]
COSTS = {
    "bent": {"pass": 50, "review": 1, "reject": 0},
    "crack": {"pass": 90, "review": 1, "reject": 0},
    "free": {"pass": 0, "review": 1, "reject": 3},
}
LINE = {"bent": 0.01, "crack": 0.04, "free": 0.95}


def pictures(*, blind: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities in two repeats, labels and groups of 60 parts a class with two pictures each.

    Where it is blind, a tenth of the cracked parts look free.
    """
    generator = np.random.default_rng(4)
    labels = np.repeat(np.arange(3), 60)
    looks = np.where(blind & (labels == 1) & (np.arange(len(labels)) % 10 == 0), 2, labels)
    y_true, groups = np.repeat(labels, 2), np.repeat(np.arange(len(labels)), 2)
    logits = generator.normal(size=(2, len(y_true), 3)) + 6 * np.eye(3)[np.repeat(looks, 2)]
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=-1, keepdims=True), y_true, groups


def settled(spec: dict[str, Any], refused: str = "", *, blind: bool = True) -> dict[str, Any]:
    return promise(*pictures(blind=blind), CLASSES, MASK, DecisionSpec.model_validate(spec), refused)


@pytest.mark.parametrize("spec", [{"max_escape_rate": 0.1}, {"max_escape_rate": 0.001}, {}, {"costs": COSTS}])
@pytest.mark.parametrize("unit", ["group", "picture"])
def test_figures_are_those_of_the_rule_applied(spec: dict[str, Any], unit: str) -> None:
    found = settled({**spec, "unit": unit, "line_shares": LINE})
    scores, y_true, groups = pictures()
    # Without a rule the unit is not known to `decide`: pictures then stand for themselves.
    parts = groups if unit == "group" else np.arange(len(groups))
    verdicts = decide(scores[found["repeat"]], MASK, found["rule"], parts.tolist())
    evidence = json.loads(json.dumps(found["evidence"]))
    first = np.unique(parts, return_index=True)[1]
    decisions, truth = np.array([verdicts[row].decision for row in first]), y_true[first]
    assert evidence["rates"]["training"]["escape"]["rate"] == pytest.approx((decisions[truth != 2] == "pass").mean())
    assert evidence["rates"]["training"]["false_reject"]["rate"] == pytest.approx(
        (decisions[truth == 2] == "reject").mean()
    )
    assert evidence["rates"]["training"]["review"]["rate"] == pytest.approx((decisions == "review").mean())
    share = sum(share * (decisions[truth == label] == "review").mean() for label, share in enumerate(LINE.values()))
    assert evidence["rates"]["line"]["review"]["rate"] == pytest.approx(share)
    for label, name in enumerate(CLASSES[:2]):
        assert evidence["per_class"][name]["escaped"] == (decisions[truth == label] == "pass").sum()
    assert (evidence["n_good"], evidence["n_defective"]) == ((truth == 2).sum(), (truth != 2).sum())


def test_the_rule_stands_on_its_own_curve() -> None:
    found = settled({"max_escape_rate": 0.1})
    threshold, evidence = found["rule"]["pass_threshold"], found["evidence"]
    row = [row for row in evidence["curve"]["training"] if row["threshold"] >= threshold][-1]
    assert row["escape"] == evidence["rates"]["training"]["escape"]["rate"]
    assert row["review"] == evidence["rates"]["training"]["review"]["rate"]
    assert evidence["curve"]["line"] is None and evidence["rates"]["line"] is None


def test_a_refused_claim_keeps_its_figures_and_says_what_it_needs() -> None:
    found = settled({"max_escape_rate": 0.001})
    assert found["rule"] is None and found["evidence"]["needed"] == 2995
    assert "2995 defective parts" in found["why"]
    assert found["evidence"]["rates"]["training"]["escape"]["rate"] == 0
    assert found["evidence"]["rates"]["training"]["review"]["rate"] > 0.3
    assert len(found["evidence"]["curve"]["training"]) > 10


def test_predictions_that_can_carry_nothing_promise_nothing() -> None:
    found = settled({"max_escape_rate": 0.1}, refused="the epochs were chosen on them")
    assert (found["rule"], found["why"]) == (None, "the epochs were chosen on them")
    assert found["evidence"]["needed"] is None


def test_costs_decide_and_promise_nothing() -> None:
    found = settled({"costs": COSTS, "line_shares": LINE}, refused="not read", blind=False)
    assert found["why"] == BY_COSTS
    assert "max_escape_rate" not in found["rule"]
    costs = found["evidence"]["costs"]
    for figures in (costs["training"], costs["line"]):
        assert figures["per_part"] < min(figures["if_all"].values())
    assert settled({"costs": COSTS})["evidence"]["costs"]["line"] is None


def test_a_line_with_more_of_the_class_that_escapes_is_said_aloud() -> None:
    assert settled({"max_escape_rate": 0.1})["evidence"]["notes"] == []
    cracked = {"bent": 0.0, "crack": 0.2, "free": 0.8}
    [note] = settled({"max_escape_rate": 0.1, "line_shares": cracked})["evidence"]["notes"]
    assert "in the shares of the development parts" in note


@pytest.mark.parametrize("mask", [[False] * 3, [True] * 3])
@pytest.mark.parametrize("spec", [{"max_escape_rate": 0.1}, {"costs": COSTS}])
def test_without_good_and_bad_there_is_nothing_to_decide(mask: list[bool], spec: dict[str, Any]) -> None:
    found = promise(*pictures(), CLASSES, mask, DecisionSpec.model_validate(spec))
    assert (found["rule"], found["evidence"], bool(found["why"])) == (None, None, True)


def test_parts_that_a_repeat_did_not_see_are_left_out() -> None:
    scores, y_true, groups = pictures()
    scores[:, ::4] = np.nan  # one picture of every second part: the part is not seen
    found = promise(scores, y_true, groups, CLASSES, MASK, DecisionSpec(max_escape_rate=0.2))
    assert (found["evidence"]["n_good"], found["evidence"]["n_defective"]) == (30, 60)
