"""Idle workers begin later folds early: nothing else changes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from optuna.trial import TrialState
from search_checks import score

from fdsearch.config import SearchSpec
from fdsearch.errors import ResourceError
from fdsearch.execution.supervisor import Supervisor
from fdsearch.pipeline.search_stage import _status
from fdsearch.search.ahead import FoldsAhead
from fdsearch.search.study import ATTEMPT, FAILURE
from fdsearch.search.trial_files import read_curve
from fdsearch.training.job import Job
from fdsearch.trial import TrialConfig

ONE = SearchSpec(n_trials=1, sampler="random", pruner="none")
POINT = {"custom_quality": 0.7}
SLOW = {"custom_epochs": {"fixed": 4}, "custom_pause": {"fixed": 0.1}}
ALL_ROWS = [(fold, epoch) for fold in range(3) for epoch in range(4)]


def rows(task: Any, number: int) -> list[tuple[int, int]]:
    return [(row["fold"], row["epoch"]) for row in read_curve(task.folder(number))]


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many folds of the last trial had been begun whenever another one was."""
    begun: list[int] = []
    start = FoldsAhead._start

    def counted(ahead: FoldsAhead, attempt: Any, fold: int) -> None:
        start(ahead, attempt, fold)
        begun.append(len(ahead._early))

    monkeypatch.setattr(FoldsAhead, "_start", counted)
    return begun


@pytest.mark.parametrize("n_workers", [2, 3, 4])
def test_the_folds_of_a_lone_trial_run_side_by_side(bench: Any, together: list[int], n_workers: int) -> None:
    task = bench.task(ONE, **SLOW)
    (trial,) = bench.search(task, [POINT], n_workers=n_workers).trials
    assert max(together) >= min(2, n_workers - 1)
    assert (trial.state, trial.value) == (TrialState.COMPLETE, score(task, 0.7))
    assert sorted(bench.calls()) == [f"trial-0-fold-{fold}" for fold in range(3)]
    assert rows(task, 0) == ALL_ROWS
    assert not list(bench.folder.glob("trials/*/*checkpoint*"))


def test_the_status_shows_every_worker(bench: Any) -> None:
    seen: list[dict[str, Any]] = []
    task = bench.task(ONE, **SLOW)
    bench.search(task, [POINT], n_workers=2, on_change=lambda loop: seen.extend([_status(loop, None)]))
    shown = [{(row["fold"], row["epoch"], row["worker"]) for row in status["running"]} for status in seen]
    assert max(map(len, shown)) == 2
    assert {(0, 1), (1, 1)} <= {row[:2] for rows in shown for row in rows}
    assert {row[2] for rows in shown for row in rows} >= {"cpu 0", "cpu 1"}


def test_while_trials_can_be_started_no_fold_is_early(bench: Any, together: list[int]) -> None:
    task = bench.task(SearchSpec(n_trials=4, sampler="random", pruner="none"))
    study = bench.search(task, n_workers=2)
    assert [trial.value for trial in study.trials] == [score(task, t.params["custom_quality"]) for t in study.trials]
    assert Counter(bench.calls()) == Counter(f"trial-{n}-fold-{fold}" for n in range(4) for fold in range(3))
    begun_first = [int(call.split("-")[1]) for call in bench.calls()[:6]]
    assert set(begun_first) <= {0, 1, 2}


def test_an_early_fold_that_fails_fails_in_its_turn(bench: Any) -> None:
    task = bench.task(ONE, custom_fault={"fixed": "nan_in_fold_1"}, **SLOW)
    with pytest.raises(Exception, match="failed of their own"):
        bench.search(task, n_workers=3)
    assert {trial.user_attrs[FAILURE] for trial in bench.study().trials if FAILURE in trial.user_attrs} == {
        "non_finite"
    }


def test_an_early_fold_whose_worker_dies_is_trained_in_its_turn(bench: Any) -> None:
    task = bench.task(ONE, custom_fault={"fixed": "die_in_fold_1"}, **SLOW)
    (trial,) = bench.search(task, [POINT], n_workers=3).trials
    assert (trial.state, trial.value) == (TrialState.COMPLETE, score(task, 0.7))
    assert Counter(bench.calls())["trial-0-fold-1"] == 2
    assert sorted(rows(task, 0)) == ALL_ROWS


def test_a_stop_ends_early_folds_and_the_next_search_goes_on(bench: Any) -> None:
    task = bench.task(ONE, **{**SLOW, "custom_epochs": {"fixed": 9}})
    study = bench.search(task, [POINT], n_workers=3, should_stop=bench.has_reported)
    assert study.trials[-1].state is TrialState.WAITING
    quick = bench.search(task, [POINT], n_workers=3).trials[-1]
    assert (quick.state, quick.value) == (TrialState.COMPLETE, score(task, 0.7))


def test_early_folds_go_on_from_their_checkpoints_after_a_stop(bench: Any) -> None:
    """The first search has no time to see more than the first epochs of folds 0 and 1."""
    task = bench.task(ONE, **{**SLOW, "custom_epochs": {"fixed": 9}})
    bench.search(task, [POINT], n_workers=2, should_stop=lambda: len(checkpoints(bench)) == 2)
    assert checkpoints(bench) == ["0000/checkpoint-0.npz", "0000/checkpoint-1.npz"]
    last = bench.search(task, [POINT]).trials[-1]
    assert (last.state, last.value) == (TrialState.COMPLETE, score(task, 0.7))
    assert rows(task, last.number) == [(fold, epoch) for fold in range(3) for epoch in range(9)]
    assert not checkpoints(bench)


def checkpoints(bench: Any) -> list[str]:
    trials = bench.folder / "trials"
    return sorted(str(path.relative_to(trials)) for path in trials.glob("*/*checkpoint*.npz"))


def test_a_trial_that_was_lost_before_is_tried_alone(bench: Any, together: list[int]) -> None:
    """Copies of it side by side may be what took the memory."""
    task = bench.task(ONE, **SLOW)
    study = bench.study()
    study.enqueue_trial(POINT, user_attrs={ATTEMPT: 2})
    (trial,) = bench.search(task, n_workers=3).trials
    assert (trial.state, trial.value) == (TrialState.COMPLETE, score(task, 0.7))
    assert max(together) == 0


def test_no_process_for_an_early_fold_is_no_fault_of_the_search(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_process(supervisor: Supervisor, job: Job) -> None:
        if not job.id.endswith("fold-0") and supervisor._running:
            raise ResourceError("a worker cannot be started")
        submit(supervisor, job)

    submit = Supervisor.submit
    monkeypatch.setattr(Supervisor, "submit", no_process)
    (trial,) = bench.search(bench.task(ONE, **SLOW), [POINT], n_workers=3).trials
    assert trial.state is TrialState.COMPLETE


def test_early_folds_of_a_trial_that_is_over_leave_idle_workers(bench: Any) -> None:
    """As after pruning: who uses the executor next finds nothing running."""
    task = bench.task(ONE, **{**SLOW, "custom_epochs": {"fixed": 200}})
    study, supervisor = bench.study(), bench.supervisor(2)
    study.enqueue_trial(POINT)
    trial = study.ask()
    params = task.space.sample(trial)
    attempt = task.attempt(trial, TrialConfig.from_params(params))
    ahead = FoldsAhead(supervisor, task.fold_job)
    ahead.tend([attempt], fill=True)
    assert ahead.free == 0
    assert ahead.events(0.3) == []
    ahead.drain()
    assert ahead.free == supervisor.free == 2
    job: Job = task.fold_job(attempt, 0)
    assert supervisor.run_all([job], lambda event: event.epoch < 1)[job.id].status == "stopped"
