from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fdsearch.metrics import UNPREDICTED, macro_f1
from fdsearch.selection.choice import TieRule
from fdsearch.selection.replay import optimism, replay
from fdsearch.selection.stack import Stack, stages

CLASSES = ("a", "b", "c")
RECALL = 0.7
"""Every trial is right in this share of the parts, of every class; so it is its macro F1, too."""


def parts(n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and groups of two pictures a part, three classes in turn."""
    return np.arange(n_groups).repeat(2) % 3, np.arange(n_groups).repeat(2)


def equal_trials(generator: np.random.Generator, n_trials: int, n_groups: int) -> tuple[np.ndarray, ...]:
    """Trials of which the best is best by luck alone."""
    y_true, groups = parts(n_groups)
    right = (generator.random((n_trials, n_groups)) < RECALL).repeat(2, axis=1)
    return y_true, np.where(right, y_true, (y_true + 1) % 3), groups


def best_of(y_true: np.ndarray, predictions: np.ndarray) -> int:
    return int(np.argmax([macro_f1(y_true, row, 3) for row in predictions]))


def stack_of(y_true: np.ndarray, predictions: np.ndarray, **changes: Any) -> Stack:
    whole = np.ones(len(predictions), bool)
    return replace(Stack(predictions, whole, winner=best_of(y_true, predictions)), **changes)


def test_a_single_trial_owes_nothing_to_luck() -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(0), 1, 30)
    result = optimism(y_true, stack_of(y_true, predictions), groups, CLASSES)
    assert (result["optimism"], result["corrected"], result["best_value_optimism"]) == (0.0, result["raw"], 0.0)
    assert "nothing was chosen" in result["words"]


def test_raw_is_the_best_trials_score() -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(0), 8, 30)
    result = optimism(y_true, stack_of(y_true, predictions), groups, CLASSES, n_boot=100)
    assert result["raw"] == result["best_value"] == pytest.approx(max(macro_f1(y_true, row, 3) for row in predictions))
    assert (result["n_trials"], result["n_stopped"], result["at_least"]) == (8, 0, True)
    assert result["corrected"] == pytest.approx(result["raw"] - result["optimism"])
    assert result["optimism"] == pytest.approx(result["best_value_optimism"])  # nothing was repeated
    assert "among 8 trials flatters it by at least" in result["words"]


def test_a_trial_that_always_wins_owes_nothing_to_luck() -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(0), 8, 60)
    every = np.concatenate([predictions, [y_true]])
    assert optimism(y_true, stack_of(y_true, every), groups, CLASSES)["optimism"] == 0.0


def test_luck_among_equal_trials_is_taken_off() -> None:
    results = []
    for seed in range(40):
        y_true, predictions, groups = equal_trials(np.random.default_rng(seed), 20, 45)
        stack = stack_of(y_true, predictions)
        results.append(optimism(y_true, stack, groups, CLASSES, n_boot=200, random_state=seed))
    raw, corrected, bbc = (np.mean([result[key] for result in results]) for key in ("raw", "corrected", "bbc"))
    assert raw - RECALL > 0.08
    assert abs(corrected - RECALL) < abs(bbc - RECALL) + 0.01
    assert -0.04 < corrected - RECALL < 0.02


def test_what_is_taken_off_is_cut_off_for_print_only() -> None:
    """A winner that was not the best, as after a tie, may owe less than nothing to luck."""
    y_true, predictions, groups = equal_trials(np.random.default_rng(4), 6, 45)
    worst = int(np.argmin([macro_f1(y_true, row, 3) for row in predictions]))
    result = optimism(y_true, stack_of(y_true, predictions, winner=worst), groups, CLASSES, n_boot=200)
    assert result["optimism"] == 0.0
    assert result["corrected"] > result["raw"]


def test_the_order_of_trials_does_not_matter() -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(1), 6, 30)
    forward, backward = (
        optimism(y_true, stack_of(y_true, rows), groups, CLASSES, n_boot=100)
        for rows in (predictions, predictions[::-1])
    )
    assert forward["corrected"] == pytest.approx(backward["corrected"], abs=1e-3)


def test_blocks_of_trials_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(1), 7, 30)
    predictions[2, groups < 12] = UNPREDICTED  # a block of its own must see the same resamples nevertheless
    stack = stack_of(y_true, predictions, complete=np.arange(7) != 2)
    whole = optimism(y_true, stack, groups, CLASSES, n_boot=50)
    monkeypatch.setattr("fdsearch.selection.stack._ROWS_AT_A_TIME", 2)
    assert optimism(y_true, stack, groups, CLASSES, n_boot=50) == whole


def test_a_single_group_leaves_nothing_to_correct_with() -> None:
    stack = Stack(np.array([[0, 1], [1, 1]]), np.ones(2, bool), winner=0)
    result = optimism([0, 1], stack, [5, 5], ("a", "b"), n_boot=20)
    assert (result["raw"], result["optimism"], result["bbc"], result["ci"]) == (1.0, 0.0, None, None)
    assert "needs 5 groups" in result["why"]


def test_the_interval_lies_around_the_corrected_score() -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(2), 10, 120)
    result = optimism(y_true, stack_of(y_true, predictions), groups, CLASSES)
    low, high = result["ci"]
    assert low < result["corrected"] < high
    assert low < RECALL < high
    assert result["level"] == "95 %"


# stopped trials


def test_a_stopped_trial_borrows_what_it_did_not_predict() -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(3), 2, 60)
    seen = groups < 24
    partial = np.where(seen, y_true, UNPREDICTED)
    stack = Stack(np.stack([*predictions, partial, partial, partial]), np.arange(5) < 2, winner=0)
    first, second = stages(y_true, stack, groups, 3, 30, 0)
    for stopped, giver in ((2, 0), (3, 1), (4, 0)):
        filled = np.where(seen, y_true, predictions[giver])
        assert first[0, stopped, 0] == pytest.approx(macro_f1(y_true, filled, 3))
    np.testing.assert_array_equal(first[:, 2], first[:, 4])
    np.testing.assert_array_equal(second, first)


def test_a_stopped_trial_that_was_far_behind_changes_nothing() -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(3), 4, 60)
    hopeless = np.where(groups < 24, (y_true + 1) % 3, UNPREDICTED)
    alone = optimism(y_true, stack_of(y_true, predictions), groups, CLASSES, n_boot=100)
    stack = stack_of(y_true, np.concatenate([predictions, [hopeless]]), complete=np.arange(5) < 4)
    result = optimism(y_true, replace(stack, winner=best_of(y_true, predictions)), groups, CLASSES, n_boot=100)
    assert result["corrected"] == pytest.approx(alone["corrected"])
    assert (result["n_trials"], result["n_stopped"]) == (5, 1)


def test_stopping_the_worse_ones_is_luck_for_the_others() -> None:
    """Those that were not stopped suit the first parts; only beside the stopped ones it can be seen."""
    gaps = []
    for seed in range(40):
        y_true, predictions, groups = equal_trials(np.random.default_rng(seed), 18, 60)
        seen = groups < 36
        early = np.argsort([macro_f1(y_true[seen], row[seen], 3) for row in predictions])
        stopped, kept = early[:12], np.sort(early[12:])
        partial = predictions.copy()
        partial[np.ix_(stopped, ~seen)] = UNPREDICTED
        best = best_of(y_true, predictions[kept])
        with_them = stack_of(y_true, partial, complete=np.isin(np.arange(18), kept), winner=int(kept[best]))
        without = stack_of(y_true, predictions[kept], winner=best)
        few, all_ = (
            optimism(y_true, stack, groups, CLASSES, n_boot=150)["corrected"] for stack in (without, with_them)
        )
        gaps.append(few - all_)
    assert np.mean(gaps) > 0


def test_trials_that_left_nothing_are_named_in_the_words() -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(3), 4, 60)
    words = optimism(y_true, stack_of(y_true, predictions), groups, CLASSES, n_unseen=3, n_boot=20)["words"]
    assert "not counting 3 that left no predictions" in words


def test_only_stopped_trials_beside_a_repeated_one_leave_its_score_as_it_is() -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(3), 2, 60)
    search = np.full_like(predictions, UNPREDICTED)
    search[1, groups < 20] = predictions[1, groups < 20]
    stack = Stack(search, np.array([True, False]), winner=0, contest={0: predictions[:1]})
    result = optimism(y_true, stack, groups, CLASSES, n_boot=50)
    assert (result["optimism"], result["best_value"], result["n_trials"]) == (0.0, None, 1)


# two stages


def repeated(y_true: np.ndarray, noise: np.random.Generator, trials: list[int], n: int) -> Mapping[int, np.ndarray]:
    """Repeats in which a trial is right in other pictures each time: luck of the folds and nothing else."""
    right = noise.random((len(trials), n, len(y_true))) < RECALL
    return dict(zip(trials, np.where(right, y_true, (y_true + 1) % 3), strict=True))


def test_the_winners_own_repeats_are_scored() -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(5), 6, 60)
    best = best_of(y_true, predictions)
    contest = repeated(y_true, np.random.default_rng(6), [best, (best + 1) % 6], 2)
    stack = stack_of(y_true, predictions, contest=contest)
    result = optimism(y_true, stack, groups, CLASSES, top_k=2, n_boot=100)
    assert result["raw"] == pytest.approx(np.mean([macro_f1(y_true, row, 3) for row in contest[best]]))
    assert result["best_value"] == pytest.approx(macro_f1(y_true, predictions[best], 3))


def test_repeats_take_the_luck_of_the_folds_off() -> None:
    """Where all luck is that of the folds, new ones know nothing of it: far less is left than in the search."""
    left, before = [], []
    for seed in range(20):
        noise = np.random.default_rng(seed)
        y_true, groups = parts(60)
        search = np.concatenate(list(repeated(y_true, noise, list(range(12)), 1).values()))
        best = best_of(y_true, search)
        stack = stack_of(y_true, search, contest=repeated(y_true, noise, [best], 2))
        result = optimism(y_true, stack, groups, CLASSES, n_boot=150)
        left.append(result["raw"] - result["corrected"])
        before.append(result["best_value_optimism"])
    assert np.mean(before) > 0.03
    assert np.mean(left) < 0.7 * np.mean(before)


def test_only_so_many_trials_go_on() -> None:
    """One trial leads the search, the other the repeats; that one wins only where two go on."""
    y_true, groups = parts(60)
    wrong = (y_true + 1) % 3
    search = np.array([np.where(groups < 10, wrong, y_true), np.where(groups < 40, wrong, y_true)])
    contest = {0: search[1:], 1: search[:1]}
    stack = Stack(search, np.ones(2, bool), winner=0, contest=contest)
    assert set(replay(y_true, stack, groups, 3, top_k=1, n_boot=50).picked) == {0}
    assert set(replay(y_true, stack, groups, 3, top_k=2, n_boot=50).picked) == {1}
    assert set(replay(y_true, replace(stack, always=1), groups, 3, top_k=1, n_boot=50).picked) == {1}


@pytest.mark.parametrize(("always", "sent"), [(None, [0, 1]), (1, [0])])
def test_a_trial_that_was_not_repeated_loses_what_the_others_lost(always: int | None, sent: list[int]) -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(5), 4, 60)
    _, again, _ = equal_trials(np.random.default_rng(6), 2, 60)
    stack = stack_of(y_true, predictions, contest={0: again[:1], 1: again[1:]}, always=always)
    first, second = stages(y_true, stack, groups, 3, 30, 0)
    lost = (first[0, sent] - second[0, sent]).mean(axis=0)
    np.testing.assert_allclose(second[0, 2:], first[0, 2:] - lost)
    np.testing.assert_array_equal(second[1, 2:], first[1, 2:])


def test_a_trial_without_predictions_of_the_search_takes_part_with_its_repeats() -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(7), 3, 60)
    search = np.concatenate([predictions, np.full((1, len(y_true)), UNPREDICTED)])
    stack = Stack(search, np.ones(4, bool), winner=3, contest={3: y_true[None]}, always=3)
    found = replay(y_true, stack, groups, 3, n_boot=50)
    assert set(found.picked) == {3}
    result = optimism(y_true, stack, groups, CLASSES, n_boot=50)
    assert (result["raw"], result["optimism"]) == (1.0, 0.0)
    alone = optimism(y_true, stack_of(y_true, predictions), groups, CLASSES, n_boot=50)
    keys = ("best_value", "best_value_optimism")  # of the search, in which the fourth had no part
    assert [result[key] for key in keys] == [alone[key] for key in keys]


def test_the_rule_about_ties_is_replayed() -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(9), 2, 60)
    best = best_of(y_true, predictions)
    latency = np.where(np.arange(2) == best, 30.0, 5.0)
    plain, timed = stack_of(y_true, predictions), stack_of(y_true, predictions, latency_ms=latency, winner=1 - best)
    by_score, by_time = (
        np.mean(replay(y_true, stack, groups, 3, top_k=2, n_boot=200).picked == 1 - best) for stack in (plain, timed)
    )
    assert by_time > by_score + 0.05
    slow = replace(timed, latency_ms=np.where(np.arange(2) == best, 30.0, 29.0))
    assert np.mean(replay(y_true, slow, groups, 3, top_k=2, n_boot=200).picked == 1 - best) == by_score
    wanted = replay(y_true, slow, groups, 3, top_k=2, rule=TieRule(prefer_fast=True), n_boot=200)
    assert np.mean(wanted.picked == 1 - best) == by_time


def test_single_split_repeats_may_validate_different_parts() -> None:
    y_true, predictions, groups = equal_trials(np.random.default_rng(11), 5, 90)
    search = np.where(groups < 30, predictions, UNPREDICTED)
    repeats = np.stack([np.where((groups >= 20) & (groups < 50), predictions, UNPREDICTED) for _ in range(2)], axis=1)
    best = best_of(y_true, search)
    stack = stack_of(y_true, search, contest={best: repeats[best]})
    result = optimism(y_true, stack, groups, CLASSES, top_k=1, n_boot=100)
    numbers = [value for value in result.values() if isinstance(value, float)]
    assert np.isfinite(numbers).all()
    assert result["level"] == "approximately 95 %"  # ten groups a class in each repeat


@pytest.mark.slow
@pytest.mark.parametrize("n_trials", [1, 5, 20, 50])
@pytest.mark.parametrize("n_groups", [36, 90, 300])
def test_coverage_of_the_corrected_interval(n_trials: int, n_groups: int) -> None:
    """How often the interval holds the true macro F1 of the best of several equal trials."""
    n_studies, covered = 150, 0
    for seed in range(n_studies):
        y_true, predictions, groups = equal_trials(np.random.default_rng(seed), n_trials, n_groups)
        stack = stack_of(y_true, predictions)
        low, high = optimism(y_true, stack, groups, CLASSES, n_boot=400, random_state=seed)["ci"]
        covered += low <= RECALL <= high
    print(f"{n_trials} trials, {n_groups // 3} groups a class: coverage {covered / n_studies:.3f}")
    assert covered / n_studies >= 0.88
