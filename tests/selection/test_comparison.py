from __future__ import annotations

import numpy as np
import pytest

from fdsearch.metrics import UNPREDICTED
from fdsearch.selection.comparison import paired_gain

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
