"""What follows trials that did not end by themselves: one attempt after the other, and lessons for the sampler."""

from __future__ import annotations

from typing import Any

import optuna
import pytest

from fdsearch.config import SearchSpec
from fdsearch.search import retries
from fdsearch.search.history import read_records, table
from fdsearch.search.sampling import make_sampler
from fdsearch.search.study import ATTEMPT, CONTINUES, LESSON_OF, RETRY_OF

POINT = {"custom_quality": 0.7}


def ask(bench: Any, study: optuna.Study) -> optuna.trial.FrozenTrial:
    """Take the next trial as a parent would, and draw its parameters."""
    trial = study.ask()
    bench.task(SearchSpec()).space.sample(trial)
    return study.trials[trial.number]


def first_trial(bench: Any) -> tuple[optuna.Study, optuna.trial.FrozenTrial]:
    study = bench.study()
    study.enqueue_trial(POINT)
    return study, ask(bench, study)


def waiting(study: optuna.Study) -> list[tuple[int, int]]:
    """Original and attempt of what is queued."""
    queued = study.get_trials(states=(optuna.trial.TrialState.WAITING,))
    return [(trial.user_attrs[RETRY_OF], trial.user_attrs[ATTEMPT]) for trial in queued]


@pytest.mark.parametrize("attempts", [1, 4])
def test_a_kill_between_the_two_steps_of_an_interruption_costs_nothing(bench: Any, attempts: int) -> None:
    study, trial = first_trial(bench)
    for _ in range(attempts - 1):
        retries.give_up(study, trial, "lost", "", again=True)
        trial = ask(bench, study)
    assert retries.requeue(study, trial, counts=False)  # a person stopped the search, and then came the kill
    bench.ledger(study).open()
    assert waiting(study) == [(0, attempts)]
    again = ask(bench, study)
    assert not retries.is_duplicate(study, again.number)
    assert again.params == POINT


def test_an_interruption_is_no_attempt_a_loss_is(bench: Any) -> None:
    study, trial = first_trial(bench)
    for _ in range(6):
        assert retries.give_up(study, trial, retries.INTERRUPTED, "", again=True, counts=False)
        trial = ask(bench, study)
    for attempt in (2, 3, 4):
        assert retries.give_up(study, trial, "signal", "", again=True)
        assert waiting(study) == [(0, attempt)]
        trial = ask(bench, study)
    assert not retries.give_up(study, trial, "signal", "", again=True)
    assert waiting(study) == []
    assert trial.user_attrs[CONTINUES] == list(reversed(range(trial.number)))


def test_of_two_equal_retries_the_first_is_run(bench: Any) -> None:
    study, trial = first_trial(bench)
    again = {RETRY_OF: 0, ATTEMPT: 2, CONTINUES: [0]}  # two parents gave it up at the same moment
    study.enqueue_trial(POINT, user_attrs=again)
    study.enqueue_trial(POINT, user_attrs=again)
    retries.mark_failed(study, trial, "lost", "")
    one, two = ask(bench, study), ask(bench, study)
    assert [retries.is_duplicate(study, number) for number in (one.number, two.number)] == [False, True]


def test_of_two_equal_retries_one_is_run_though_the_first_was_interrupted(bench: Any) -> None:
    study, trial = first_trial(bench)
    again = {RETRY_OF: 0, ATTEMPT: 2, CONTINUES: [0]}
    study.enqueue_trial(POINT, user_attrs=again)
    study.enqueue_trial(POINT, user_attrs=again)
    retries.mark_failed(study, trial, "lost", "")
    retries.give_up(study, ask(bench, study), retries.INTERRUPTED, "", again=True, counts=False)
    rest = [ask(bench, study), ask(bench, study)]
    verdicts = []
    for trial in rest:
        verdicts.append(retries.is_duplicate(study, trial.number))
        if verdicts[-1]:
            retries.mark_failed(study, trial, retries.DUPLICATE, "")
    assert sorted(verdicts) == [False, True]


def test_a_retry_of_an_interrupted_trial_is_run_though_it_does_not_say_what_it_continues(bench: Any) -> None:
    study, trial = first_trial(bench)
    study.enqueue_trial(POINT, user_attrs={RETRY_OF: 0, ATTEMPT: 1})  # as the version before wrote it
    retries.mark_failed(study, trial, retries.INTERRUPTED, "")
    assert not retries.is_duplicate(study, ask(bench, study).number)


def test_of_two_interrupted_retries_that_raced_one_is_run(bench: Any) -> None:
    study, trial = first_trial(bench)
    for _ in range(2):
        study.enqueue_trial(POINT, user_attrs={RETRY_OF: 0, ATTEMPT: 2, CONTINUES: [0]})
    retries.mark_failed(study, trial, "lost", "")
    for retry in [ask(bench, study), ask(bench, study)]:
        retries.give_up(study, retry, retries.INTERRUPTED, "", again=True, counts=False)
    rest = [ask(bench, study), ask(bench, study)]
    assert [retries.is_duplicate(study, retry.number) for retry in rest] == [False, True]


def test_a_retry_is_needless_once_an_attempt_ended_well(bench: Any) -> None:
    study, trial = first_trial(bench)
    retries.requeue(study, trial)
    study.tell(trial.number, 0.5)  # its own parent was only slow
    retry = ask(bench, study)
    assert retries.is_duplicate(study, retry.number)


def search_with_a_small_device(bench: Any, n_trials: int) -> tuple[optuna.Study, int]:
    """Search a space whose large half never fits into memory; the study and the number of trials that did not."""
    search = SearchSpec(n_trials=n_trials, sampler="tpe", pruner="none", random_state=3)
    task = bench.task(search, custom_size={"type": "categorical", "choices": ["small", "large"]})
    study, failed = bench.study(), 0
    study.sampler = make_sampler(search)
    ledger = bench.ledger(study)
    ledger.open()
    for _ in range(n_trials):
        trial = ledger.ask(n_trials)
        params = task.space.sample(trial)
        if params["custom_size"] == "large":
            failed += 1
            assert not ledger.failed(trial.number, "device_memory", "out of memory")
        else:
            ledger.complete(trial.number, params["custom_quality"], trial.params, [], {})
    assert ledger.counts == {"COMPLETE": n_trials - failed, "FAIL": failed, "RUNNING": 0}
    assert ledger.failures == {"device_memory": failed}
    return study, failed


def test_the_sampler_learns_what_does_not_fit_into_memory(
    bench: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_trials = 60
    study, failed = search_with_a_small_device(bench, n_trials)
    untaught = type(bench)(tmp_path / "untaught", bench.stack)
    untaught.folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(retries, "teach_device_memory", lambda study, trial: None)
        _, failed_untaught = search_with_a_small_device(untaught, n_trials)
    assert failed <= failed_untaught / 2, f"{failed} of {n_trials} did not fit, {failed_untaught} without lessons"

    lessons = [trial for trial in study.trials if LESSON_OF in trial.user_attrs]
    assert len(lessons) == failed
    assert [trial.number for trial in study.trials] == list(range(n_trials + failed))
    for lesson in lessons:
        assert lesson.params == study.trials[lesson.user_attrs[LESSON_OF]].params
    real = {trial.number for trial in study.trials} - {lesson.number for lesson in lessons}
    assert {row["number"] for row in table(study)} == real
    assert {record.number for record in read_records(study, bench.folder / "trials", 120, 2)} == real
    again = bench.ledger(study)
    again.open()
    assert (again.n_finished, again.counts["FAIL"]) == (n_trials - failed, failed)
