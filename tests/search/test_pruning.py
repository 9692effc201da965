"""Pruning: within the first fold by Optuna's pruners on smoothed values, between folds by what a trial can reach."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import create_trial

from fdsearch.config import SearchSpec
from fdsearch.search.pruning import COMPLETE_FIRST, Smoothed, loses_between_folds, make_pruner, pruner_warning

N_FOLDS = 4
PERCENTILE = SearchSpec(pruner="percentile")
STEADY = [(0.3, 0.4, 0.45, 0.5)] * 4 + [(0.6, 0.7, 0.75, 0.8)] * 4
"""The largest gains from fold 1, 2 and 3 to the end are .2, .1 and .05; the better half ends at .8."""

score = st.floats(0.0, 1.0)
full_path = st.lists(score, min_size=N_FOLDS, max_size=N_FOLDS)
crowd = st.lists(full_path, min_size=0, max_size=2 * COMPLETE_FIRST)
curve = st.lists(score, min_size=1, max_size=12)


def stops_at(
    values: Sequence[float], complete: Sequence[Sequence[float]], search: SearchSpec = PERCENTILE
) -> int | None:
    """The epoch after which a trial with this curve is pruned, beside complete trials with those; None: never."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", pruner=make_pruner(search, 40))
    for other in complete:
        study.add_trial(create_trial(value=other[-1], intermediate_values=smoothed(other)))
    trial = study.ask()
    for step, value in smoothed(values).items():
        trial.report(value, step)
        if trial.should_prune():
            return step
    return None


def smoothed(values: Sequence[float]) -> dict[int, float]:
    smooth = Smoothed()
    return {step: smooth.add(value) for step, value in enumerate(values)}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([0.4], [0.4]),
        ([0.4, 0.6, 0.8], [0.4, 0.6, 0.8]),  # a rise counts at once
        ([0.8, 0.4, 0.8], [0.8, 0.6, 0.8]),
        ([0.8, 0.0, 0.0, 0.3], [0.8, 0.4, 0.2, 0.3]),
        ([0.0, 0.0], [0.0, 0.0]),
    ],
)
def test_smoothed_rises_at_once_and_falls_halfway(values: list[float], expected: list[float]) -> None:
    assert list(smoothed(values).values()) == pytest.approx(expected)


@given(curve)
def test_smoothed_lies_between_the_value_and_the_best_so_far(values: list[float]) -> None:
    for step, value in smoothed(values).items():
        assert values[step] <= value <= max(values[: step + 1])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.9] * 10, None),
        ([0.2, 0.1, 0.1, 0.1, 0.1], 3),  # worst of all, and no rise for more than two epochs
        ([0.2, 0.1, 0.3, 0.2, 0.4, 0.3, 0.5], None),  # a climber that dips in every other epoch
        ([0.2, 0.21, 0.22, 0.1, 0.1, 0.1], 5),
        ([0.7, 0.1, 0.1, 0.1, 0.1], None),  # its best is no worse than the others
        ([0.2, 0.1, 0.1], None),  # too early to tell
    ],
)
def test_the_first_fold_is_patient(values: list[float], expected: int | None) -> None:
    complete = [[0.5 + i / 100] * 10 for i in range(COMPLETE_FIRST)]
    assert stops_at(values, complete) == expected


@given(st.integers(1, 8))
def test_one_dip_does_not_stop_a_trial_that_rises(at: int) -> None:
    complete = [[0.9] * 10 for _ in range(COMPLETE_FIRST)]
    values = [0.1 + epoch / 20 for epoch in range(10)]
    values[at] = 0.0
    assert stops_at(values, complete) is None


@pytest.mark.parametrize("n_complete", [0, 1, COMPLETE_FIRST - 1, COMPLETE_FIRST])
def test_nothing_is_pruned_before_enough_trials_are_complete(n_complete: int) -> None:
    enough = n_complete >= COMPLETE_FIRST
    assert (stops_at([0.1, 0.0, 0.0, 0.0], [[0.9] * 4] * n_complete) is not None) == enough
    assert loses_between_folds(PERCENTILE, [0.0], [(0.9,) * N_FOLDS] * n_complete) == enough


def test_an_epoch_that_few_trials_reached_stops_nobody() -> None:
    long = [[0.9] * 10 for _ in range(COMPLETE_FIRST - 1)]
    assert stops_at([0.1, 0.0, 0.0, 0.0, 0.0], [*long, [0.9] * 3]) is None


def test_median_prunes_where_percentile_does_not() -> None:
    complete = [[0.2 + i / 10] * 4 for i in range(COMPLETE_FIRST)]
    values = [0.45, 0.4, 0.4, 0.4]
    assert stops_at(values, complete) is None
    assert stops_at(values, complete, SearchSpec(pruner="median")) == 3


@given(curve, st.lists(curve, max_size=2 * COMPLETE_FIRST), st.sampled_from(["median", "percentile"]))
def test_a_curve_that_leads_at_every_epoch_is_never_pruned(
    values: list[float], complete: list[list[float]], pruner: str
) -> None:
    below = [[min(pair) for pair in zip(values, other, strict=False)] for other in complete]
    assert stops_at(values, below, SearchSpec(pruner=pruner)) is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ([0.59], True),  # .59 + .2 < .8
        ([0.61], False),
        ([0.9, 0.69], True),  # only where it stands now counts
        ([0.1, 0.71], False),
        ([0.7, 0.7, 0.74], True),
        ([0.7, 0.7, 0.76], False),
    ],
)
def test_a_trial_loses_that_cannot_reach_the_incumbents(path: list[float], expected: bool) -> None:
    assert loses_between_folds(PERCENTILE, path, STEADY) is expected
    assert loses_between_folds(SearchSpec(pruner="median"), path, STEADY) is expected
    assert not loses_between_folds(SearchSpec(pruner="none"), path, STEADY)
    assert not loses_between_folds(SearchSpec(pruner="hyperband"), path, STEADY)


def test_a_large_gain_once_seen_keeps_others_going() -> None:
    assert loses_between_folds(PERCENTILE, [0.4], STEADY)
    assert not loses_between_folds(PERCENTILE, [0.4], [*STEADY, (0.3, 0.5, 0.6, 0.75)])


def test_without_any_gain_the_score_itself_decides() -> None:
    falling = [(0.9, 0.8, 0.7, 0.6)] * COMPLETE_FIRST
    assert loses_between_folds(PERCENTILE, [0.59], falling)
    assert not loses_between_folds(PERCENTILE, [0.6], falling)


@given(full_path, crowd, st.integers(1, N_FOLDS - 1))
def test_a_trial_that_leads_after_a_fold_does_not_lose(path: list[float], crowd: list[list[float]], k: int) -> None:
    behind = [[*other[: k - 1], min(path[k - 1], other[k - 1]), *other[k:]] for other in crowd]
    assert not loses_between_folds(PERCENTILE, path[:k], behind)


@given(full_path, crowd, st.integers(1, N_FOLDS - 1), score)
def test_a_better_path_never_stops_where_a_worse_one_goes_on(
    path: list[float], finished: list[list[float]], k: int, rise: float
) -> None:
    raised = [value + rise for value in path]
    assert loses_between_folds(PERCENTILE, path[:k], finished) >= loses_between_folds(PERCENTILE, raised[:k], finished)


@pytest.mark.parametrize(
    ("pruner", "n_trials", "warned"), [("hyperband", 20, True), ("hyperband", 200, False), ("median", 20, False)]
)
def test_hyperband_warns_of_few_trials(pruner: str, n_trials: int, warned: bool) -> None:
    assert (pruner_warning(SearchSpec(pruner=pruner, n_trials=n_trials)) is not None) is warned
