from __future__ import annotations

import numpy as np
import pytest

from fdsearch.metrics import UNPREDICTED
from fdsearch.selection.comparison import comparisons, paired_gain

CLASSES = ("good", "bent")
Y_TRUE = np.arange(120) % 2
GROUPS = np.arange(120) // 4 * 2 + Y_TRUE


def wrong_in(*rows: int) -> np.ndarray:
    predictions = Y_TRUE.copy()
    predictions[list(rows)] = 1 - predictions[list(rows)]
    return predictions


@pytest.mark.parametrize(
    ("a", "b", "claimed", "why"),
    [
        (wrong_in(), wrong_in(*range(40)), True, ""),
        (wrong_in(*range(40)), wrong_in(), False, "it is a loss"),
        (wrong_in(), wrong_in(), False, "holds zero"),
        (wrong_in(), wrong_in(3), False, "holds zero"),
    ],
)
def test_claims(a: np.ndarray, b: np.ndarray, claimed: bool, why: str) -> None:
    result = paired_gain(Y_TRUE, a, b, GROUPS, CLASSES)
    assert result["claimed"] is claimed
    assert why in result["why"]
    assert bool(result["why"]) is not claimed
    assert result["ci"][0] <= result["gain"] <= result["ci"][1]
    back = paired_gain(Y_TRUE, b, a, GROUPS, CLASSES)
    assert back["gain"] == pytest.approx(-result["gain"])
    assert back["ci"] == pytest.approx([-result["ci"][1], -result["ci"][0]])


def test_pairing_sees_what_separate_intervals_hide() -> None:
    """Two recipes with the same hard parts: the difference is sure although each score is not."""
    hard = tuple(np.flatnonzero(GROUPS % 4 < 2).tolist())[:30]
    extra = tuple(row for row in range(0, 120, 7) if row not in hard)
    result = paired_gain(Y_TRUE, wrong_in(*hard), wrong_in(*hard, *extra), GROUPS, CLASSES)
    assert result["claimed"]
    assert result["ci"][1] - result["ci"][0] < 0.16


def test_repeats_of_a_group_move_together() -> None:
    a, b = wrong_in(1, 2), wrong_in(*range(20, 32))
    once = paired_gain(Y_TRUE, a, b, GROUPS, CLASSES)
    thrice = paired_gain(Y_TRUE, np.tile(a, (3, 1)), np.tile(b, (3, 1)), GROUPS, CLASSES)
    assert thrice["ci"] == pytest.approx(once["ci"])


def test_few_groups_claim_nothing() -> None:
    rows = GROUPS < 8
    result = paired_gain(Y_TRUE[rows], Y_TRUE[rows], 1 - Y_TRUE[rows], GROUPS[rows], CLASSES)
    assert (result["gain"], result["ci"], result["claimed"]) == (1.0, None, False)
    assert "good has 4, bent has 4" in result["why"]


def test_different_pictures_are_refused() -> None:
    partial = np.where(GROUPS == 0, UNPREDICTED, Y_TRUE)
    for other in (partial, np.tile(Y_TRUE, (2, 1))):
        with pytest.raises(ValueError, match="the same pictures"):
            paired_gain(Y_TRUE, Y_TRUE, other, GROUPS, CLASSES)


def test_the_standard_error_is_that_of_the_difference() -> None:
    """Two recipes that are wrong in different parts, 60 of them: the spread over drawn studies is what is estimated."""
    generator, gains, errors = np.random.default_rng(3), [], []
    for _ in range(120):
        a, b = (np.where((generator.random(60) < 0.2)[GROUPS], 1 - Y_TRUE, Y_TRUE) for _ in range(2))
        result = paired_gain(Y_TRUE, a, b, GROUPS, CLASSES, n_boot=200)
        gains.append(result["gain"])
        errors.append(result["se"])
    assert np.mean(errors) == pytest.approx(np.std(gains), rel=0.2)


def test_many_comparisons_widen_each_interval() -> None:
    a, b = wrong_in(*range(4)), wrong_in(*range(30, 42))
    one, ten = (paired_gain(Y_TRUE, a, b, GROUPS, CLASSES, n_comparisons=k) for k in (1, 10))
    assert (one["gain"], one["level"]) == (ten["gain"], ten["level"])
    assert ten["ci"][0] < one["ci"][0] < one["ci"][1] < ten["ci"][1]
    assert one["se"] == pytest.approx(ten["se"], rel=0.05)


def test_a_small_gain_is_claimed_alone_but_not_as_one_of_many() -> None:
    a, b = wrong_in(), wrong_in(*range(0, 120, 24))
    assert paired_gain(Y_TRUE, a, b, GROUPS, CLASSES)["claimed"]
    assert not paired_gain(Y_TRUE, a, b, GROUPS, CLASSES, n_comparisons=60)["claimed"]


def test_the_winner_is_compared_with_every_other() -> None:
    candidates = {"b": wrong_in(1), "winner": wrong_in(), "c": wrong_in(*range(50)), "d": wrong_in()}
    rows = comparisons(Y_TRUE, candidates, "winner", GROUPS, CLASSES)
    assert [row["name"] for row in rows] == ["b", "c", "d"]
    assert {row["n_comparisons"] for row in rows} == {3}
    assert [row["claimed"] for row in rows] == [False, True, False]
    assert (rows[2]["gain"], rows[2]["se"]) == (0.0, 0.0)
    assert comparisons(Y_TRUE, {"alone": Y_TRUE}, "alone", GROUPS, CLASSES) == []


def test_false_claims_against_several_equals_are_as_rare_as_one() -> None:
    """Nobody is better: in how many studies is any of four gains claimed?"""
    generator, claims = np.random.default_rng(8), 0
    for _ in range(80):
        names = "abcde"
        predictions = {name: np.where((generator.random(60) < 0.2)[GROUPS], 1 - Y_TRUE, Y_TRUE)[None] for name in names}
        claims += any(row["claimed"] for row in comparisons(Y_TRUE, predictions, "a", GROUPS, CLASSES))
    assert claims / 80 < 0.08  # one side of 5 %, and the noise of 80 studies
