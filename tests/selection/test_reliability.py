"""Figures before and after calibration against cases that can be counted by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fdsearch.metrics import log_loss
from fdsearch.selection.reliability import reliability


def sure(probabilities: list[float]) -> np.ndarray:
    """Logits of class 0 with these probabilities."""
    return np.column_stack([np.log(probabilities), np.log1p(-np.array(probabilities))])


def test_figures_are_those_counted_by_hand() -> None:
    logits, other = sure([0.62, 0.68, 0.95, 0.95, 0.15]), sure([0.5001] * 5)
    found = reliability(logits[None], other[None], [0, 1, 0, 0, 1])
    rows = [(row["low"], row["high"], row["n"], row["accuracy"]) for row in found["bins"]["before"]]
    assert rows == [(0.6, 0.7, 2, 0.5), (0.8, 0.9, 1, 1.0), (0.9, 1.0, 2, 1.0)]
    assert [row["confidence"] for row in found["bins"]["before"]] == pytest.approx([0.65, 0.85, 0.95])
    assert found["ece"] == pytest.approx({"before": (2 * 0.15 + 0.15 + 2 * 0.05) / 5, "after": 0.6 - 0.5001})
    assert found["log_loss"]["before"] == pytest.approx(log_loss([0, 1, 0, 0, 1], logits))
    assert found["log_loss"]["after"] == pytest.approx(np.log(2), abs=1e-3)
    assert (found["n"], found["why"]) == (5, "")
    assert json.loads(json.dumps(found)) == found


def test_certain_predictions_have_a_bin() -> None:
    logits = np.array([[[800.0, 0.0]] * 4])
    [row] = reliability(logits, logits, [0, 0, 0, 1])["bins"]["before"]
    assert (row["low"], row["high"], row["n"], row["confidence"], row["accuracy"]) == (0.9, 1.0, 4, 1.0, 0.75)


def test_repeats_are_pooled_and_missing_rows_left_out() -> None:
    logits = np.stack([sure([0.9, 0.6, 0.7]), sure([0.8, 0.6, 0.7])])
    logits[0, 1] = logits[:, 2] = np.nan
    found = reliability(logits, logits, [0, 0, 1])
    assert found["n"] == 2
    assert sum(row["n"] for row in found["bins"]["before"]) == 3


def test_what_was_not_calibrated_by_others_cannot_be_judged() -> None:
    logits = sure([0.9, 0.8])[None]
    found = reliability(logits, np.full_like(logits, np.nan), [0, 1])
    assert found["ece"]["before"] is not None
    assert (found["ece"]["after"], found["log_loss"]["after"], found["bins"]["after"]) == (None, None, None)
    assert "one group" in found["why"]
