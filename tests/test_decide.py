from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fdsearch.decide import (
    DECISIONS,
    PASS,
    REJECT,
    REVIEW,
    UNSEEN,
    decide,
    pass_probability,
    probabilities,
    severities,
    worst_of_part,
)

RULE: dict[str, Any] = {"pass_threshold": 0.9, "unit": "group"}
COSTS: dict[str, Any] = {"unit": "group", "costs": [[0, 1, 4], [50, 1, 0]]}
"""Of a good and of a defective part: a defect costs less than passing it from a probability of 1 / 50 on."""
CLEAR_PASS, DOUBTFUL, DEFECT = [0.95, 0.05], [0.6, 0.4], [0.1, 0.9]


def decisions(scores: Any, mask: list[bool], rule: dict[str, Any] | None, groups: Any = None) -> list[str]:
    return [verdict.decision for verdict in decide(scores, mask, rule, groups)]


@pytest.mark.parametrize(
    ("scores", "rule", "groups", "expected"),
    [
        ([CLEAR_PASS, DOUBTFUL, DEFECT], RULE, None, [PASS, REVIEW, REJECT]),
        ([[0.9, 0.1]], RULE, None, [PASS]),  # the threshold itself passes
        ([[0.5, 0.5]], RULE, None, [REVIEW]),  # an even chance is not a defect yet
        ([CLEAR_PASS, CLEAR_PASS], RULE, ["a", "a"], [PASS, PASS]),
        ([CLEAR_PASS, DOUBTFUL], RULE, ["a", "a"], [REVIEW, REVIEW]),
        ([CLEAR_PASS, DOUBTFUL, DEFECT], RULE, ["a", "a", "a"], [REJECT] * 3),
        ([CLEAR_PASS, DEFECT, CLEAR_PASS], RULE, ["a", "b", "a"], [PASS, REJECT, PASS]),
        ([CLEAR_PASS, DEFECT], {**RULE, "unit": "picture"}, ["a", "a"], [PASS, REJECT]),
        ([CLEAR_PASS, DOUBTFUL, DEFECT], None, None, [REVIEW, REVIEW, REJECT]),
        ([DEFECT, [0.4, 0.6]], {**RULE, "pass_threshold": 0.01}, None, [REJECT, REJECT]),  # never below an even chance
        ([[float("nan")] * 2, CLEAR_PASS], RULE, ["a", "a"], [REVIEW, REVIEW]),  # what was not seen cannot pass
        ([], RULE, None, []),
    ],
)
def test_decisions(
    scores: list[list[float]], rule: dict[str, Any] | None, groups: list[str] | None, expected: list[str]
) -> None:
    assert decisions(np.array(scores).reshape(-1, 2), [True, False], rule, groups) == expected


@pytest.mark.parametrize("rule", [None, RULE, COSTS])
def test_without_pass_classes_a_person_decides(rule: dict[str, Any] | None) -> None:
    verdicts = decide([CLEAR_PASS, DEFECT], [False, False], rule)
    assert [(verdict.decision, verdict.reject_as) for verdict in verdicts] == [(REVIEW, None)] * 2


@pytest.mark.parametrize(
    ("scores", "groups", "expected"),
    [
        ([[0.99, 0.01]], None, [PASS]),  # .5 against 1
        ([[0.97, 0.03]], None, [REVIEW]),  # 1.5 against 1
        ([[0.2, 0.8]], None, [REJECT]),  # rejecting costs .8
        ([[0.25, 0.75]], None, [REJECT]),  # as dear as a review: the more severe
        ([[0.98, 0.02]], None, [REVIEW]),  # as dear as passing: the more severe
        ([[0.99, 0.01], [0.97, 0.03]], ["a", "a"], [REVIEW] * 2),
        ([[0.99, 0.01], [0.97, 0.03], [0.2, 0.8]], ["a", "a", "a"], [REJECT] * 3),
        ([[0.99, 0.01], [0.2, 0.8]], ["a", "b"], [PASS, REJECT]),
        ([[float("nan")] * 2, [0.2, 0.8]], ["a", "a"], [REVIEW] * 2),
    ],
)
def test_costs_decide_by_the_cheapest_of_the_severest_picture(
    scores: list[list[float]], groups: list[str] | None, expected: list[str]
) -> None:
    assert decisions(scores, [True, False], COSTS, groups) == expected


def test_costs_count_on_the_shares_of_the_line() -> None:
    """At even odds in training and one defect in a hundred on the line, .97 is .9997 and passes."""
    shift = np.log([0.99, 0.01]) - np.log([0.5, 0.5])
    assert decisions([[0.97, 0.03]], [True, False], {**COSTS, "cost_shift": shift.tolist()}) == [PASS]


def test_a_rejected_part_is_rejected_as_the_defect_of_its_worst_picture() -> None:
    mask = [True, False, False, True]
    scores = [[0.6, 0.1, 0.25, 0.05], [0.1, 0.6, 0.1, 0.2], [0.3, 0.1, 0.4, 0.2]]
    together = decide(scores, mask, RULE, ["a", "a", "b"])
    # The second picture is worse (.3 good against .65) and looks like class 1; the third is an even chance: no reject.
    assert [(verdict.decision, verdict.reject_as) for verdict in together] == [(REJECT, 1), (REJECT, 1), (REVIEW, None)]


def test_nothing_is_rejected_as_a_class_that_lets_parts_pass() -> None:
    costs = {"unit": "group", "costs": [[9, 9, 0], [9, 9, 0]]}
    assert [verdict.reject_as for verdict in decide([CLEAR_PASS], [True, False], costs)] == [1]
    assert [verdict.reject_as for verdict in decide([CLEAR_PASS], [True, True], costs)] == [None]


def test_another_rejection_threshold_is_obeyed_and_passing_stays_above_it() -> None:
    rule = {**RULE, "reject_below": 0.95}
    assert decisions([[0.96, 0.04], [0.94, 0.06]], [True, False], rule) == [PASS, REJECT]


def test_severities_keep_leading_axes_and_say_what_was_not_seen() -> None:
    repeats = np.array([[CLEAR_PASS, DEFECT], [DOUBTFUL, [np.nan, np.nan]]])
    assert severities(repeats, [True, False], RULE).tolist() == [[0, 2], [1, UNSEEN]]


def test_groups_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="each of 2 pictures, got 1"):
        decide([CLEAR_PASS, DEFECT], [True, False], RULE, ["a"])


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3)), min_size=1, max_size=12),
    st.one_of(
        st.floats(0.5, 1).map(lambda threshold: {"pass_threshold": threshold, "unit": "group"}),
        st.lists(st.tuples(*[st.floats(0, 9)] * 3), min_size=2, max_size=2).map(
            lambda costs: {"costs": costs, "unit": "group"}
        ),
    ),
    st.floats(0, 1),
)
def test_another_picture_of_a_part_never_helps_it(
    pictures: list[tuple[float, int]], rule: dict[str, Any], another: float
) -> None:
    scores, groups = [[good, 1 - good] for good, _ in pictures], [part for _, part in pictures]
    before = decisions(scores, [True, False], rule, groups)
    after = decisions([*scores, [another, 1 - another]], [True, False], rule, [*groups, groups[0]])
    assert DECISIONS.index(after[0]) >= DECISIONS.index(before[0])
    unchanged = [index for index, part in enumerate(groups) if part != groups[0]]
    assert [after[index] for index in unchanged] == [before[index] for index in unchanged]
    assert len({after[index] for index, part in enumerate(groups) if part == groups[0]}) == 1


def test_pass_probability_sums_all_pass_classes() -> None:
    assert pass_probability([[0.5, 0.3, 0.2]], [True, False, True]) == pytest.approx([0.7])
    assert pass_probability([[[0.5, 0.5]]], [True, True]).shape == (1, 1)


def test_worst_of_part_keeps_leading_axes_and_nan() -> None:
    worst = worst_of_part([[0.3, 0.2, 0.9], [0.1, np.nan, 0.8]], [1, 1, 0])
    assert np.array_equal(worst, [[0.9, 0.2], [0.8, np.nan]], equal_nan=True)


def test_probabilities_undo_the_shift_and_the_temperature() -> None:
    true = np.array([[0.7, 0.2, 0.1]])
    bias, temperature = np.array([0.5, -1.0, 2.0]), 3.0
    assert probabilities(temperature * (np.log(true) - bias), temperature, bias) == pytest.approx(true)
    assert np.isnan(probabilities([[np.nan, 0.0, 0.0]])).all()


def test_each_class_may_have_a_temperature_of_its_own() -> None:
    scaled = probabilities([[4.0, 1.0, -3.0]], (2.0, 1.0, 0.5), (0.0, 1.0, 6.0))
    assert scaled == pytest.approx(probabilities([[2.0, 2.0, 0.0]]))
