"""The search loop: scores, pruning, failures, retries, continuation."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial
from sqlalchemy.exc import OperationalError

from fdsearch.config import SearchSpec
from fdsearch.errors import ResourceError
from fdsearch.execution.events import Busy
from fdsearch.execution.supervisor import Supervisor
from fdsearch.metrics import macro_f1
from fdsearch.search import retries
from fdsearch.search.history import best, read_records
from fdsearch.search.retries import requeue
from fdsearch.search.study import (
    ATTEMPT,
    COPY_OF,
    FAILURE,
    RECIPE,
    RETRY_OF,
    enqueue_first,
)
from fdsearch.search.trial_files import read_oof
from fdsearch.training.job import Job

RANDOM = {"sampler": "random", "pruner": "none"}


def states(study: optuna.Study) -> Counter[str]:
    return Counter(trial.state.name for trial in study.trials)


def test_value_is_the_pooled_score_of_all_folds(bench: Any) -> None:
    study = bench.search(bench.task(SearchSpec(n_trials=3, **RANDOM)))
    assert states(study) == {"COMPLETE": 3}
    for record in read_records(study, bench.folder / "trials", 120, 2):
        assert record.logits is not None
        labels = np.arange(120) % 2
        assert record.value == pytest.approx(macro_f1(labels, record.logits.argmax(axis=1), 2))
        assert record.epochs == (2, 2, 2)


def test_folds_are_reported_after_the_epochs_of_the_first(bench: Any) -> None:
    task = bench.task(SearchSpec(n_trials=1, **RANDOM), epochs={"type": "int", "low": 2, "high": 9})
    [trial] = bench.search(task).trials
    assert sorted(trial.intermediate_values) == [0, 1, 9, 10, 11]
    assert trial.value == trial.intermediate_values[11]


def test_the_same_command_continues_and_never_repeats(bench: Any) -> None:
    first = bench.search(bench.task(SearchSpec(n_trials=2, **RANDOM)))
    before = [(trial.number, trial.value) for trial in first.trials]
    second = bench.search(bench.task(SearchSpec(n_trials=4, **RANDOM)))
    assert [(trial.number, trial.value) for trial in second.trials[:2]] == before
    assert len(second.trials) == 4
    assert len(bench.calls()) == len(set(bench.calls())) == 12
    assert bench.search(bench.task(SearchSpec(n_trials=4, **RANDOM))).trials == second.trials


def test_points_follow_random_state_and_number_not_the_process(bench: Any, tmp_path: Path) -> None:
    once = [trial.params for trial in bench.search(bench.task(SearchSpec(n_trials=4, pruner="none"))).trials]
    other = type(bench)(tmp_path / "other", bench.stack)
    other.folder.mkdir()
    other.search(other.task(SearchSpec(n_trials=1, pruner="none")))
    again = [trial.params for trial in other.search(other.task(SearchSpec(n_trials=4, pruner="none"))).trials]
    assert again == once
    assert len({params["custom_quality"] for params in once}) == 4


def test_first_points_come_first_and_are_never_pruned(bench: Any) -> None:
    search = SearchSpec(n_trials=12, sampler="random", pruner="median")
    points = [{"custom_quality": 0.9 + i / 100} for i in range(6)] + [{"custom_quality": 0.0}]
    study = bench.search(bench.task(search), points)
    assert [trial.params["custom_quality"] for trial in study.trials[:7]] == [p["custom_quality"] for p in points]
    assert all(trial.state is TrialState.COMPLETE for trial in study.trials[:7])
    assert states(study)["PRUNED"] >= 3  # drawn below .9, against seven complete trials of which six are above
    assert sum(states(study)[state] for state in ("COMPLETE", "PRUNED")) == 12


def test_a_pruned_trial_is_no_result(bench: Any) -> None:
    search = SearchSpec(n_trials=9, sampler="random", pruner="median")
    study = bench.search(bench.task(search), [{"custom_quality": 0.95 + i / 100} for i in range(4)])
    pruned = [record for record in read_records(study, bench.folder / "trials", 120, 2) if record.state == "PRUNED"]
    assert pruned
    assert all(record.value is None for record in pruned)
    assert not {record.number for record in best(read_records(study, bench.folder / "trials", 120, 2), 99)} & {
        record.number for record in pruned
    }


@pytest.mark.parametrize(("fault", "failure"), [("raise", "exception"), ("nan", "non_finite")])
def test_a_trial_of_bad_parameters_fails_and_the_search_goes_on(bench: Any, fault: str, failure: str) -> None:
    faults = {"custom_fault": {"type": "categorical", "choices": ["none", fault]}}
    points = [{"custom_fault": fault}, {"custom_fault": "none"}]
    study = bench.search(bench.task(SearchSpec(n_trials=1, **RANDOM), **faults), points)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE"]
    assert study.trials[0].user_attrs[FAILURE] == failure


def test_too_many_failures_end_the_search_with_a_table(bench: Any) -> None:
    with pytest.raises(ResourceError, match="6 trials failed") as caught:
        bench.search(bench.task(SearchSpec(n_trials=3, **RANDOM), custom_fault={"fixed": "nan"}))
    assert [(fault.where, fault.got) for fault in caught.value.faults] == [("non_finite", "6 trials")]


def test_a_trial_lost_with_its_worker_is_tried_again(bench: Any) -> None:
    study = bench.search(bench.task(SearchSpec(n_trials=2, **RANDOM), custom_fault={"fixed": "die"}))
    lost, retried, other = study.trials
    assert (lost.state, lost.user_attrs[FAILURE]) == (TrialState.FAIL, "signal")
    assert retried.state is TrialState.COMPLETE
    assert retried.params == lost.params
    assert retried.user_attrs[RETRY_OF] == lost.number
    assert retried.user_attrs[ATTEMPT] == 2
    assert other.state is TrialState.COMPLETE


def test_trials_that_are_lost_in_every_attempt_end_the_search(bench: Any) -> None:
    with pytest.raises(ResourceError, match="6 trials failed") as caught:
        bench.search(bench.task(SearchSpec(n_trials=1, **RANDOM), custom_fault={"fixed": "die_always"}))
    assert [(fault.where, fault.got) for fault in caught.value.faults] == [("signal", "6 trials")]
    assert len(bench.calls()) == 24  # four attempts each


def test_a_trial_killed_while_it_drew_is_queued_whole_and_once(bench: Any) -> None:
    study = bench.study()
    task = bench.task(SearchSpec(n_trials=1, **RANDOM), epochs={"type": "int", "low": 2, "high": 90})
    enqueue_first(study, task.space, [("recipe", {"custom_quality": 0.75, "epochs": 30})])
    trial = study.ask()
    trial.suggest_float("custom_quality", 0.0, 1.0)  # killed here, before it drew its epochs
    frozen = study.get_trials()[0]
    assert requeue(study, frozen)  # and again before it was marked failed
    bench.ledger(study).open()
    waiting = [trial for trial in study.trials if trial.state is TrialState.WAITING]
    assert [trial.system_attrs["fixed_params"] for trial in waiting] == [{"custom_quality": 0.75, "epochs": 30}]
    assert waiting[0].user_attrs[RECIPE] == "recipe"


def test_running_trials_of_a_dead_parent_are_queued_again_at_most_three_times(bench: Any) -> None:
    study = bench.study()
    task = bench.task(SearchSpec(n_trials=1, **RANDOM))
    for attempt in range(1, 5):
        task.space.sample(study.ask())
        bench.ledger(study).open()
        assert states(study) == {"FAIL": attempt, **({"WAITING": 1} if attempt < 4 else {})}
    assert len({trial.params["custom_quality"] for trial in study.trials}) == 1


def test_equal_points_are_answered_without_training(bench: Any) -> None:
    quality = {"custom_quality": {"type": "categorical", "choices": [0.5]}}
    study = bench.search(bench.task(SearchSpec(n_trials=3, **RANDOM), **quality))
    assert len(bench.calls()) == 3  # the folds of the first
    assert [trial.value for trial in study.trials] == [study.trials[0].value] * 3
    assert [trial.user_attrs.get(COPY_OF) for trial in study.trials] == [None, 0, 0]
    assert all(record.logits is not None for record in read_records(study, bench.folder / "trials", 120, 2))


def test_a_grid_ends_when_it_is_exhausted(bench: Any) -> None:
    quality = {"custom_quality": {"type": "categorical", "choices": [0.2, 0.5, 0.8]}}
    study = bench.search(bench.task(SearchSpec(n_trials=50, sampler="grid", pruner="none"), **quality))
    assert sorted(trial.params["custom_quality"] for trial in study.trials) == [0.2, 0.5, 0.8]


def test_a_grid_may_end_with_a_pruned_trial(bench: Any) -> None:
    good = [0.9 + i / 100 for i in range(9)]
    space = {"custom_quality": {"type": "categorical", "choices": [*good, 0.0]}, "custom_epochs": {"fixed": 9}}
    points = [{"custom_quality": value} for value in good]
    study = bench.search(bench.task(SearchSpec(n_trials=50, sampler="grid", pruner="median"), **space), points)
    assert states(study) == {"COMPLETE": 9, "PRUNED": 1}


def test_a_trial_that_somebody_else_told_is_compared_with_nothing(bench: Any) -> None:
    """The page of a plain optuna-dashboard can end a trial after its first fold, with any score."""
    task = bench.task(SearchSpec(n_trials=20, sampler="random", pruner="median"))
    study = bench.study()
    for number in range(10):
        path = {task.horizon: 0.9} if number % 2 else {}
        quality = {"custom_quality": FloatDistribution(0.0, 1.0)}
        study.add_trial(
            create_trial(value=0.9, params={"custom_quality": 0.5}, distributions=quality, intermediate_values=path)
        )
    study.enqueue_trial({"custom_quality": 0.5})
    study = bench.search(task)
    assert states(study)["COMPLETE"] + states(study)["PRUNED"] == 20
    assert study.trials[10].params == {"custom_quality": 0.5}
    assert COPY_OF not in study.trials[10].user_attrs
    assert study.trials[10].value != 0.9


def test_copies_do_not_keep_the_loop_from_what_else_is_due(bench: Any) -> None:
    task = bench.task(SearchSpec(n_trials=100, **RANDOM), custom_quality={"type": "categorical", "choices": [0.5]})
    counted: list[int] = []
    bench.search(task, on_change=lambda loop: counted.append(loop.ledger.n_finished))
    assert counted[-1] == 100
    assert max(after - before for before, after in itertools.pairwise(counted)) <= 21  # one that was trained


def test_whatever_ends_the_search_what_ran_is_queued_again(bench: Any) -> None:
    def fault(loop: Any) -> None:
        if loop.running:
            raise ZeroDivisionError

    slow = {"custom_pause": {"fixed": 0.1}, "custom_epochs": {"fixed": 100}}
    with pytest.raises(ZeroDivisionError):
        bench.search(bench.task(SearchSpec(n_trials=2, **RANDOM), **slow), on_change=fault)
    first, again = bench.study().trials
    assert (first.state.name, first.user_attrs[FAILURE]) == ("FAIL", "interrupted")
    assert (again.state.name, again.user_attrs[ATTEMPT]) == ("WAITING", 1)


def test_one_trial_that_cannot_be_given_back_keeps_no_other(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    study = bench.study()
    ledger = bench.ledger(study)
    ledger.open()
    for _ in range(2):
        bench.task(SearchSpec(n_trials=2, **RANDOM)).space.sample(ledger.ask(2))
    give_up = retries.give_up

    def only_the_second(study: optuna.Study, trial: Any, *arguments: Any, **options: Any) -> Any:
        if trial.number == 0:
            raise OperationalError("UPDATE", {}, OSError("disk I/O error"))
        return give_up(study, trial, *arguments, **options)

    monkeypatch.setattr(retries, "give_up", only_the_second)
    ledger.give_back("the search ended")
    assert [trial.state.name for trial in study.trials] == ["RUNNING", "FAIL", "WAITING"]


def test_a_trial_that_somebody_else_ended_does_not_keep_the_search_waiting(bench: Any) -> None:
    def end(loop: Any) -> None:
        for attempt in loop.running.values():
            if not told:
                told.append(attempt.number)
                loop.study._storage.set_trial_state_values(attempt.trial._trial_id, TrialState.FAIL)

    told: list[int] = []
    study = bench.search(bench.task(SearchSpec(n_trials=2, **RANDOM), custom_fault={"fixed": "die"}), on_change=end)
    assert states(study) == {"FAIL": 1, "COMPLETE": 2}


def test_time_up_prunes_what_runs(bench: Any) -> None:
    slow = {"custom_pause": {"fixed": 0.3}, "custom_epochs": {"fixed": 50}}
    study = bench.search(bench.task(SearchSpec(n_trials=5, **RANDOM), **slow), on_change=bench.end_of_time)
    assert states(study) == {"PRUNED": 1}


def test_a_stop_queues_what_runs_again(bench: Any) -> None:
    slow = {"custom_pause": {"fixed": 0.1}, "custom_epochs": {"fixed": 6}}
    task = bench.task(SearchSpec(n_trials=2, **RANDOM), **slow)
    study = bench.search(task, should_stop=bench.has_reported)
    interrupted = study.trials[-2]
    assert interrupted.user_attrs[FAILURE] == "interrupted"
    assert study.trials[-1].state is TrialState.WAITING
    finished = bench.search(task).trials
    assert finished[interrupted.number + 1].params == interrupted.params
    assert Counter(trial.state.name for trial in finished) == {"FAIL": 1, "COMPLETE": 2}


def test_several_workers_share_the_trials(bench: Any) -> None:
    task = bench.task(SearchSpec(n_trials=8, **RANDOM))
    study = bench.study()
    from fdsearch.progress import Silent
    from fdsearch.search.loop import SearchLoop

    SearchLoop(study, task, bench.supervisor(2), Silent()).run()
    assert states(study) == {"COMPLETE": 8}
    assert [trial.number for trial in study.trials] == list(range(8))
    assert len(set(bench.calls())) == len(bench.calls()) == 24


def test_torn_predictions_count_as_absent(bench: Any) -> None:
    bench.search(bench.task(SearchSpec(n_trials=1, **RANDOM)))
    file = bench.folder / "trials" / "0000" / "oof.npz"
    file.write_bytes(file.read_bytes()[:40])
    assert read_oof(file.parent, 120, 2) is None


@pytest.mark.parametrize("stopped", [False, True])
def test_a_trial_whose_worker_is_short_of_memory_between_folds_waits(
    bench: Any, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    submit, refused = Supervisor.submit, Counter[str]()

    def submit_late(supervisor: Supervisor, job: Job) -> None:
        refused[job.id] += 1
        if job.id.endswith("fold-1") and (refused[job.id] < 4 or stopped):
            raise Busy("no GPU has room")
        submit(supervisor, job)

    monkeypatch.setattr(Supervisor, "submit", submit_late)
    task = bench.task(SearchSpec(n_trials=2, **RANDOM))
    study = bench.search(task, should_stop=lambda: stopped and refused["trial-0-fold-1"] > 2)
    if stopped:
        assert study.trials[0].user_attrs[FAILURE] == "interrupted"
        assert study.trials[1].state is TrialState.WAITING
    else:
        assert states(study) == {"COMPLETE": 2}
        assert len(set(bench.calls())) == len(bench.calls()) == 6
