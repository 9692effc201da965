from __future__ import annotations

import json

import numpy as np
import pytest

from fdsearch.metrics import UNPREDICTED, macro_f1
from fdsearch.selection.intervals import Interval
from fdsearch.selection.scores import Score, headline, mean_over_repeats, score

CLASSES = ("good", "bent")


def scored(value: float, min_groups: int, low: float | None = None, high: float | None = None) -> Score:
    level = "" if low is None else "95 %" if min_groups >= 30 else "approximately 95 %"
    return Score(value, Interval(low, high, level, min_groups, "" if level else "too few"), 100, 50)


def test_value_is_the_mean_over_repeats_of_pooled_scores() -> None:
    generator = np.random.default_rng(0)
    y_true, groups = np.arange(80) % 2, np.arange(80) // 2
    repeats = generator.integers(0, 2, (3, 80))
    result = score(y_true, repeats, groups, CLASSES)
    assert result.value == pytest.approx(np.mean([macro_f1(y_true, repeat, 2) for repeat in repeats]))
    assert (result.n, result.n_groups) == (80, 40)
    assert result.interval.low < result.value < result.interval.high  # type: ignore[operator]


def test_repeating_the_same_predictions_does_not_narrow_the_interval() -> None:
    y_true, groups = np.arange(80) % 2, np.arange(80)
    y_pred = np.random.default_rng(0).integers(0, 2, 80)
    once, thrice = score(y_true, y_pred, groups, CLASSES), score(y_true, np.tile(y_pred, (3, 1)), groups, CLASSES)
    assert thrice.interval.ci == pytest.approx(once.interval.ci)


def test_single_split_repeats_may_validate_different_parts() -> None:
    y_true, groups = np.arange(80) % 2, np.arange(80)
    repeats = np.array([y_true, y_true])
    repeats[0, :40] = repeats[1, 20:60] = UNPREDICTED
    result = score(y_true, repeats, groups, CLASSES)
    assert (result.value, result.n, result.n_groups) == (1.0, 60, 60)
    assert result.interval.min_groups == 20


def test_resamples_without_a_repeat_are_dropped() -> None:
    samples = np.array([[0.5, np.nan, 0.7], [0.7, 0.1, 0.9]])
    assert mean_over_repeats(samples) == pytest.approx([0.6, 0.8])


def test_json_is_plain() -> None:
    y_true, groups = np.arange(16) % 2, np.arange(16) // 2
    result = json.loads(json.dumps(score(y_true, y_true, groups // 2, CLASSES).to_json("macro_f1_mean")))
    assert result["macro_f1_mean"] == 1.0
    assert result["macro_f1_ci"] is None
    assert result["recall_bounds"]["bent"][1] == 1.0
    assert "needs 5 groups" in result["why"]


LUCK = {"corrected": 0.75, "ci": [0.66, 0.84], "level": "95 %", "why": "", "words": "flattered by at least 0.050"}


@pytest.mark.parametrize(
    ("holdout_groups", "source", "value", "ci"),
    [
        (15, "holdout", 0.7, [0.6, 0.8]),
        (14, "out_of_fold", 0.75, [0.66, 0.84]),
        (None, "out_of_fold", 0.75, [0.66, 0.84]),
    ],
)
def test_headline(holdout_groups: int | None, source: str, value: float, ci: list[float]) -> None:
    holdout = None if holdout_groups is None else scored(0.7, holdout_groups, 0.6, 0.8)
    result = headline(scored(0.8, 40, 0.7, 0.9), LUCK, holdout)
    assert (result["source"], result["value"], result["ci"]) == (source, value, ci)
    assert result["min_groups"] == {"holdout": holdout_groups, "out_of_fold": 40}[source]
    beside = result["beside"]
    assert (beside and beside["source"]) == {"holdout": "out_of_fold", "out_of_fold": holdout and "holdout"}[source]


def test_the_words_say_what_was_taken_off_and_what_was_seen() -> None:
    result = headline(scored(0.8, 40, 0.7, 0.9), LUCK, scored(0.7, 20, 0.6, 0.8))
    assert "nothing had seen" in result["words"]
    assert result["beside"]["words"] == "flattered by at least 0.050"
    others = "not independent: 2 candidates have seen this holdout"
    again = headline(scored(0.8, 40, 0.7, 0.9), LUCK, scored(0.7, 20, 0.6, 0.8), others)
    assert again["words"].startswith("not independent")
    assert (again["source"], again["value"]) == ("holdout", 0.7), "the words change, not the figures"


def test_what_cannot_be_corrected_is_not_called_corrected() -> None:
    unknown = {"corrected": None, "why": "no stored predictions"}
    result = headline(scored(0.8, 40, 0.7, 0.9), unknown, None)
    assert (result["value"], result["ci"]) == (0.8, [0.7, 0.9])
    assert result["words"] == "not corrected for having been chosen: no stored predictions"


def test_headline_without_an_interval_says_why() -> None:
    few = {"corrected": 0.75, "ci": None, "level": "", "why": "too few", "words": "flattered"}
    result = headline(scored(0.8, 4), few, scored(0.7, 3))
    assert (result["ci"], result["why"], result["min_groups"], result["value"]) == (None, "too few", 4, 0.75)


def test_a_score_below_zero_is_not_lifted() -> None:
    """Cutting off at zero would make the corrected score of a useless candidate too good on average."""
    result = headline(scored(0.01, 40, 0.0, 0.1), {**LUCK, "corrected": -0.004, "ci": [0.0, 0.05]}, None)
    assert result["value"] == -0.004
