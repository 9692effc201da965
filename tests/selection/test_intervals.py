from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from fdsearch.metrics import UNPREDICTED, group_bootstrap, macro_f1
from fdsearch.selection.intervals import interval, least_groups, recall_bounds

CLASSES = ("good", "bent")


def parts(*n_groups: int, shots: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Labels and groups of pictures, so many groups per class."""
    y_true = np.repeat(np.repeat(np.arange(len(n_groups)), n_groups), shots)
    return y_true, np.repeat(np.arange(sum(n_groups)), shots)


@pytest.mark.parametrize(
    ("n_groups", "level"),
    [
        ((30, 30), "95 %"),
        ((200, 29), "approximately 95 %"),
        ((5, 5), "approximately 95 %"),
        ((200, 4), ""),
        ((30, 0), ""),
    ],
)
def test_words_follow_the_smallest_class(n_groups: tuple[int, int], level: str) -> None:
    y_true, groups = parts(*n_groups)
    result = interval(np.linspace(0, 1, 1001), y_true, y_true, groups, CLASSES)
    assert result.level == level
    assert result.min_groups == min(n_groups)
    if level:
        assert result.ci == pytest.approx([0.025, 0.975])
        assert (result.why, result.recall_bounds) == ("", {})
    else:
        assert result.ci is None
        assert f"bent has {n_groups[1]}" in result.why
        assert list(result.recall_bounds) == ["bent"]


def test_shots_do_not_make_parts() -> None:
    y_true, groups = parts(40, 4, shots=50)
    assert interval(np.zeros(9), y_true, y_true, groups, CLASSES).min_groups == 4


def test_the_repeat_with_fewest_groups_counts() -> None:
    y_true, groups = parts(6, 6)
    repeats = np.array([y_true, y_true])
    repeats[1, (groups >= 8)] = UNPREDICTED
    assert least_groups(y_true, repeats, groups, 2).tolist() == [6, 2]
    assert interval(np.zeros(9), y_true, repeats, groups, CLASSES).min_groups == 2


@pytest.mark.parametrize(("recognised", "n"), [(0, 4), (2, 4), (4, 4), (1, 1)])
def test_recall_bounds_are_clopper_and_pearsons(recognised: int, n: int) -> None:
    y_true, groups = parts(3, n)
    y_pred = np.where(groups >= 3 + recognised, 0, y_true)
    expected = (
        beta.ppf(0.025, recognised, n - recognised + 1) if recognised else 0,
        beta.ppf(0.975, recognised + 1, n - recognised) if recognised < n else 1,
    )
    assert recall_bounds(y_true, y_pred, groups, label=1) == pytest.approx(expected)


def test_a_part_is_recognised_in_all_its_pictures_or_not() -> None:
    y_true, groups = parts(2, 2)
    one_shot_missed = y_true.copy()
    one_shot_missed[-1] = 0
    both_missed = np.where(groups == 3, 0, y_true)
    assert recall_bounds(y_true, one_shot_missed, groups, 1) == recall_bounds(y_true, both_missed, groups, 1)


def test_repeats_widen_recall_bounds() -> None:
    y_true, groups = parts(2, 4)
    all_found, none_found = y_true, np.zeros_like(y_true)
    low, high = recall_bounds(y_true, [all_found, none_found], groups, 1)
    assert low == recall_bounds(y_true, none_found, groups, 1)[0]
    assert high == recall_bounds(y_true, all_found, groups, 1)[1]


def test_a_class_without_parts_may_have_any_recall() -> None:
    assert recall_bounds([0, 0], [0, 0], [1, 2], label=1) == (0.0, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_groups", "least"), [((5, 60), 0.75), ((10, 60), 0.85), ((30, 30), 0.9), ((100, 100), 0.92)]
)
def test_coverage(n_groups: tuple[int, int], least: float) -> None:
    """How often the interval holds the macro F1 that the same classifier has on very many parts of the same source."""
    generator = np.random.default_rng(5)
    recall = np.array([0.8, 0.9])

    def draw(n: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        y_true, groups = parts(*n, shots=4)
        luck = np.where(
            generator.random(len(y_true)) < 0.7, generator.random(sum(n))[groups], generator.random(len(y_true))
        )
        return y_true, np.where(luck < recall[y_true], y_true, 1 - y_true), groups

    y_true, y_pred, _ = draw((n_groups[0] * 1000, n_groups[1] * 1000))
    truth = macro_f1(y_true, y_pred, 2)
    covered = 0
    for seed in range(300):
        y_true, y_pred, groups = draw(n_groups)
        samples = group_bootstrap(y_true, y_pred, groups, 2, n_boot=1000, random_state=seed)[0]
        low, high = interval(samples, y_true, y_pred, groups, CLASSES).ci or (0, 1)
        covered += low <= truth <= high
    print(f"groups {n_groups}: coverage {covered / 300:.3f}")
    assert covered / 300 >= least
