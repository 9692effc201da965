from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fdsearch.decide import PASS, REJECT, REVIEW, decide, pass_probability, probabilities, worst_of_part

RULE = {"pass_threshold": 0.9, "unit": "group"}
CLEAR_PASS, DOUBTFUL, DEFECT = [0.95, 0.05], [0.6, 0.4], [0.1, 0.9]


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
    scores: list[list[float]], rule: dict[str, object] | None, groups: list[str] | None, expected: list[str]
) -> None:
    assert decide(np.array(scores).reshape(-1, 2), [True, False], rule, groups) == expected


def test_without_pass_classes_a_person_decides() -> None:
    assert decide([CLEAR_PASS, DEFECT], [False, False], RULE) == [REVIEW, REVIEW]


def test_groups_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="each of 2 pictures, got 1"):
        decide([CLEAR_PASS, DEFECT], [True, False], RULE, ["a"])


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3)), min_size=1, max_size=12),
    st.floats(0.5, 1),
    st.floats(0, 1),
)
def test_another_picture_of_a_part_never_helps_it(
    pictures: list[tuple[float, int]], threshold: float, another: float
) -> None:
    order = {PASS: 2, REVIEW: 1, REJECT: 0}
    rule = {"pass_threshold": threshold, "unit": "group"}
    scores, groups = [[good, 1 - good] for good, _ in pictures], [part for _, part in pictures]
    before = decide(scores, [True, False], rule, groups)
    after = decide([*scores, [another, 1 - another]], [True, False], rule, [*groups, groups[0]])
    assert order[after[0]] <= order[before[0]]
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
