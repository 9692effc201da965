"""SIGKILL of a parent at chosen points of a trial's life; then the same search again."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from search_bench import POINTS
from search_checks import ONCE, calls_per_fold, check

from fdsearch.search.study import ATTEMPT, CONTINUES, RETRY_OF


@pytest.mark.parametrize("point", ["asked", "drew the first parameter"])
def test_killed_as_soon_as_a_trial_was_asked_for(bench: Any, point: str) -> None:
    bench.die(point, nth=2)
    study = bench.search(bench.small_task(), POINTS)
    check(bench, study, kills=1)
    assert calls_per_fold(bench, study) == ONCE


def test_killed_before_a_drawn_trial_had_any_parameter(bench: Any) -> None:
    bench.search(bench.small_task(), POINTS[:2])  # the third is drawn
    task = bench.small_task()
    study = bench.study()
    study.ask()
    assert [trial.state.name for trial in study.trials[3:]] == ["RUNNING"]
    more = bench.task(task.search.model_copy(update={"n_trials": 4}), custom_kind={"fixed": "a"})
    study = bench.search(more)
    assert Counter(trial.state.name for trial in study.trials) == {"COMPLETE": 4, "FAIL": 1}
    assert not study.trials[3].params
    assert all(RETRY_OF not in trial.user_attrs for trial in study.trials), "there is nothing to try again"


@pytest.mark.parametrize("point", ["result is in the spool", "attributes are set", "told"])
def test_killed_between_report_and_tell(bench: Any, point: str) -> None:
    bench.die(point, nth=2)
    [entry] = (bench.folder / "spool").glob("*.json")
    before = json.loads(entry.read_text())
    study = bench.search(bench.small_task(), POINTS)
    check(bench, study, kills=0)
    told = study.trials[before["number"]]
    assert (told.state.name, told.value) == (before["state"], before["value"])
    assert told.user_attrs.items() >= before["attributes"].items()
    assert calls_per_fold(bench, study) == ONCE, "a finished trial was trained again"


def test_killed_in_a_fold(bench: Any) -> None:
    bench.die("epoch is logged", nth=8 + 1)  # the second trial's second fold, first epoch
    study = bench.search(bench.small_task(), POINTS)
    check(bench, study, kills=1)
    again = calls_per_fold(bench, study) - Counter(ONCE)
    assert again == {(0.7, 1): 1}, "only the fold that was under way is trained again"


@pytest.mark.parametrize(
    "point",
    [
        "retry is queued",
        "folds are taken over",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("failed", "curve is taken over")),
        pytest.param("checkpoint is taken over", marks=pytest.mark.slow),
    ],
)
def test_the_next_parent_is_killed_while_it_picks_up_the_pieces(bench: Any, point: str) -> None:
    bench.die("epoch is logged", nth=9)
    bench.die(point)
    study = bench.search(bench.small_task(), POINTS)
    check(bench, study, kills=2)
    assert calls_per_fold(bench, study)[0.7, 0] == 1, "a finished fold was trained again"
    attempts = [trial.user_attrs.get(ATTEMPT, 1) for trial in study.trials if trial.params["custom_quality"] == 0.7]
    assert attempts == list(range(1, len(attempts) + 1)), "one attempt after the other, none twice"


@pytest.mark.parametrize("point", ["retry is queued", pytest.param("failed", marks=pytest.mark.slow)])
def test_killed_while_a_lost_worker_s_trial_is_queued_again(bench: Any, point: str) -> None:
    bench.die(point, fault="die_in_fold_1")
    study = bench.search(bench.small_task("die_in_fold_1"), POINTS)
    check(bench, study, kills=1)
    retries = [trial for trial in study.trials if RETRY_OF in trial.user_attrs]
    assert [trial.user_attrs[CONTINUES] for trial in retries] == [[0]]


@pytest.mark.slow
def test_a_search_that_is_killed_again_and_again_comes_to_its_end(bench: Any) -> None:
    for nth in (3, 4, 5):  # always a little further than the checkpoint of the time before
        bench.die("epoch is logged", nth)
    study = bench.search(bench.small_task(), POINTS)
    check(bench, study, kills=3)
