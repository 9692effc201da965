from __future__ import annotations

import numpy as np
import pytest

from fdsearch.metrics import UNPREDICTED, macro_f1
from fdsearch.selection.optimism import optimism
from fdsearch.selection.scores import headline, score


def equal_trials(generator: np.random.Generator, n_trials: int, n_groups: int) -> tuple[np.ndarray, ...]:
    """Trials that are all right in 70 % of the parts, two pictures each, so that the best is best by luck alone."""
    y_true, groups = np.arange(n_groups).repeat(2) % 3, np.arange(n_groups).repeat(2)
    right = (generator.random((n_trials, n_groups)) < 0.7).repeat(2, axis=1)
    return y_true, np.where(right, y_true, (y_true + 1) % 3), groups


def test_a_single_trial_has_none() -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(0), 1, 30)
    result = optimism(y_true, predictions, groups, 3)
    assert (result["optimism"], result["corrected"]) == (0.0, result["raw"])


def test_raw_is_the_best_trials_score() -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(0), 8, 30)
    result = optimism(y_true, predictions, groups, 3, n_boot=50)
    assert result["raw"] == pytest.approx(max(macro_f1(y_true, row, 3) for row in predictions))
    assert result["n_trials"] == 8
    assert result["corrected"] == pytest.approx(result["raw"] - result["optimism"])


def test_a_trial_that_always_wins_owes_nothing_to_luck() -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(0), 8, 60)
    result = optimism(y_true, np.concatenate([predictions, [y_true]]), groups, 3)
    assert result["optimism"] == 0.0


def test_luck_among_equal_trials_is_taken_off() -> None:
    """The truth is known here: every trial has the macro F1 of a classifier that is right in 70 % of the parts."""
    raw, corrected, bbc = [], [], []
    for seed in range(40):
        y_true, predictions, groups = equal_trials(np.random.default_rng(seed), 20, 45)
        result = optimism(y_true, predictions, groups, 3, n_boot=200, random_state=seed)
        raw.append(result["raw"])
        corrected.append(result["corrected"])
        bbc.append(result["bbc"])
    truth = 0.7
    assert np.mean(raw) - truth > 0.08
    assert abs(np.mean(corrected) - truth) < abs(np.mean(bbc) - truth) + 0.01
    assert -0.04 < np.mean(corrected) - truth < 0.02


def test_does_not_depend_on_the_order_of_trials() -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(1), 6, 30)
    forward, backward = (optimism(y_true, rows, groups, 3, 100) for rows in (predictions, predictions[::-1]))
    assert forward["corrected"] == pytest.approx(backward["corrected"], abs=1e-3)


def test_missing_predictions_are_left_out() -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(1), 4, 30)
    predictions[2, groups == 3] = UNPREDICTED
    assert np.isfinite(list(optimism(y_true, predictions, groups, 3, 50).values())).all()


def test_a_single_group_leaves_nothing_to_correct_with() -> None:
    result = optimism([0, 1], [[0, 1], [1, 1]], [5, 5], 2, 20)
    assert (result["raw"], result["optimism"]) == (1.0, 0.0)


def test_blocks_of_trials_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(1), 7, 30)
    whole = optimism(y_true, predictions, groups, 3, 50)
    monkeypatch.setattr("fdsearch.selection.optimism._TRIALS_AT_A_TIME", 2)
    assert optimism(y_true, predictions, groups, 3, 50) == whole


@pytest.mark.slow
@pytest.mark.parametrize("n_trials", [1, 5, 20, 50])
@pytest.mark.parametrize("n_groups", [36, 90, 300])
def test_coverage_of_the_corrected_interval(n_trials: int, n_groups: int) -> None:
    """How often the headline's interval holds the true macro F1, .7, of the best of several equal trials."""
    n_studies, covered = 150, 0
    for seed in range(n_studies):
        y_true, predictions, groups = equal_trials(np.random.default_rng(seed), n_trials, n_groups)
        luck = optimism(y_true, predictions, groups, 3, n_boot=200, random_state=seed)["optimism"]
        best = max(predictions, key=lambda trial: macro_f1(y_true, trial, 3))
        scored = score(y_true, best, groups, ("a", "b", "c"), n_boot=400, random_state=seed)
        low, high = headline(scored, luck, None)["ci"]
        covered += low <= 0.7 <= high
    print(f"{n_trials} trials, {n_groups // 3} groups a class: coverage {covered / n_studies:.3f}")
    assert covered / n_studies >= 0.9
