"""Retries go on where a lost attempt stopped: finished folds, curve, checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState
from search_checks import score

from fdsearch.config import SearchSpec
from fdsearch.search import retries
from fdsearch.search.attempt import CHECKPOINTS, Attempt
from fdsearch.search.endings import Endings
from fdsearch.search.study import ATTEMPT, CONTINUES
from fdsearch.search.trial_files import append_curve, finished_folds, read_curve, write_oof
from fdsearch.training.job import Result
from fdsearch.trial import TrialConfig

ONE = SearchSpec(n_trials=1, sampler="random", pruner="none")
POINT = {"custom_quality": 0.7}


def folds_called(bench: Any) -> list[int]:
    return [int(call.rpartition("-")[2]) for call in bench.calls()]


def checkpoints(bench: Any) -> list[str]:
    return [path.parent.name for path in (bench.folder / "trials").glob(f"*/{CHECKPOINTS}")]


@pytest.mark.parametrize("deaths", [1, 3])
def test_a_trial_whose_workers_die_goes_on_each_time(bench: Any, deaths: int) -> None:
    task = bench.task(ONE, custom_fault={"fixed": f"die_in_fold_{deaths}"}, custom_epochs={"fixed": 3})
    *lost, last = bench.search(task, [POINT]).trials
    assert [trial.state.name for trial in [*lost, last]] == ["FAIL"] * deaths + ["COMPLETE"]
    assert last.user_attrs[ATTEMPT] == deaths + 1
    assert last.user_attrs[CONTINUES] == list(reversed(range(deaths)))
    assert folds_called(bench) == [0] + [1] * (deaths + 1) + [2]
    assert last.value == score(task, POINT["custom_quality"])
    curve = read_curve(task.folder(last.number))
    assert [(row["fold"], row["epoch"]) for row in curve] == [(fold, epoch) for fold in range(3) for epoch in range(3)]
    assert len(list(finished_folds(task.folder(last.number), task.folds))) == 3
    assert not checkpoints(bench)
    assert sorted(step for step in last.intermediate_values if step >= task.horizon) == [
        task.horizon + fold for fold in range(3)
    ]


def test_a_person_s_stop_keeps_the_checkpoint_and_the_next_search_uses_it(bench: Any) -> None:
    task = bench.task(ONE, custom_epochs={"fixed": 6}, custom_pause={"fixed": 0.05})

    def in_the_second_fold() -> bool:
        return len(folds_called(bench)) > 1 if (bench.folder / "calls.txt").exists() else False

    bench.search(task, [POINT], should_stop=in_the_second_fold)
    assert checkpoints(bench) == ["0000"]
    assert max(row["fold"] for row in read_curve(task.folder(0))) == 1
    last = bench.search(task, [POINT]).trials[-1]
    assert (last.state, last.user_attrs[ATTEMPT]) == (TrialState.COMPLETE, 1), "nothing had gone wrong"
    assert last.value == score(task, POINT["custom_quality"])
    curve = read_curve(task.folder(last.number))
    assert [(row["fold"], row["epoch"]) for row in curve] == [(fold, epoch) for fold in range(3) for epoch in range(6)]
    assert not checkpoints(bench)


def test_the_end_of_a_trial_removes_its_checkpoint(bench: Any) -> None:
    slow = {"custom_epochs": {"fixed": 99}, "custom_pause": {"fixed": 0.05}}
    bench.search(bench.task(ONE, **slow), [POINT], on_change=bench.end_of_time)
    assert [trial.state for trial in bench.study().trials] == [TrialState.PRUNED]
    faulty = bench.task(ONE.model_copy(update={"n_trials": 2}), custom_fault={"fixed": "nan_in_fold_1"})
    with pytest.raises(Exception, match="failed of their own"):
        bench.search(faulty)
    assert (bench.folder / "trials" / "0001" / "oof.npz").exists()
    assert not checkpoints(bench)


def test_what_a_kill_left_behind_is_swept_and_what_is_needed_is_kept(bench: Any) -> None:
    task, study = bench.task(ONE), bench.study()
    study.enqueue_trial(POINT, user_attrs={CONTINUES: [2, 0]})
    for number in range(4):
        task.folder(number).mkdir(parents=True)
        (task.folder(number) / "checkpoint-1.npz").touch()
        (task.folder(number) / ".checkpoint-1.npz.x1.tmp").touch()
    task.sweep(study)
    assert sorted(checkpoints(bench)) == ["0000", "0002"]
    assert not list(bench.folder.glob("trials/*/.checkpoint*")), "of processes that were killed while they wrote"


@pytest.mark.parametrize("retried", [True, False])
@pytest.mark.parametrize("end", ["drop", "prune", "fail"])
def test_a_trial_that_was_given_up_keeps_what_its_queued_retry_goes_on_from(
    bench: Any, retried: bool, end: str
) -> None:
    task, study, ledger = bench.task(ONE), bench.study(), bench.ledger(bench.study())
    trial = study.ask()
    attempt = task.attempt(trial, TrialConfig.from_params(task.space.sample(trial)))
    attempt.folder.mkdir(parents=True)
    attempt.checkpoint_of(attempt.fold).touch()
    retries.give_up(study, study.get_trials()[0], "lost", "its parent stood still", again=retried)
    endings = Endings(study, ledger, lambda config: {}, lambda text: None)
    {
        "drop": lambda: endings.drop(attempt),
        "prune": lambda: endings.prune(attempt, "between folds"),
        "fail": lambda: endings.fail(attempt, Result(attempt.job_id, "failed", failure="exception")),
    }[end]()
    assert checkpoints(bench) == (["0000"] if retried else [])


def results(task: Any, n_folds: int) -> list[Result]:
    """Of the first folds, each with logits of its own."""
    rng = np.random.default_rng(n_folds)
    sizes = [len(fold.validation) for fold in task.folds[:n_folds]]
    return [
        Result(f"fold-{fold}", "done", rng.random((size, 2), np.float32), epochs=fold + 1)
        for fold, size in enumerate(sizes)
    ]


def lost(task: Any, number: int, n_folds: int, *rows: tuple[int, int], checkpoint: str | None = None) -> Path:
    """The folder of an attempt that ended with so many folds and these epochs."""
    folder: Path = task.folder(number)
    folder.mkdir(parents=True)
    if n_folds:
        write_oof(folder, task.folds, results(task, n_folds))
    for fold, epoch in rows:
        append_curve(folder, fold, [{"epoch": epoch, "seconds": 1.0, "of": number}])
    if checkpoint is not None:
        (folder / f"checkpoint-{n_folds}.npz").write_text(checkpoint)
    return folder


def taken_over(bench: Any, task: Any, n_attempts: int) -> Attempt:
    """A trial that continues attempts 0, 1, ...; they ran elsewhere, only their folders are here."""
    study = bench.study()
    for _ in range(n_attempts):
        study.ask()
    study.enqueue_trial(POINT, user_attrs={CONTINUES: list(reversed(range(n_attempts)))})
    trial = study.ask()
    attempt: Attempt = task.attempt(trial, TrialConfig.from_params(task.space.sample(trial)))
    return attempt


def test_the_latest_attempt_with_files_is_continued(bench: Any) -> None:
    task = bench.task(ONE)
    lost(task, 0, 1, (0, 0), (0, 1), (1, 0), checkpoint="older")
    lost(task, 1, 1, (0, 0), (0, 1), (1, 0), (1, 1), checkpoint="newer")
    attempt = taken_over(bench, task, 3)  # of the third nothing is here
    assert (attempt.fold, attempt.checkpoint_of(attempt.fold).read_text()) == (1, "newer")
    assert [row["fold"] for row in read_curve(attempt.folder)] == [0, 0]
    written = attempt.log_epoch({"epoch": 2})  # the worker went on after the checkpoint
    assert [(row["epoch"], row.get("of")) for row in written] == [(0, 1), (1, 1), (2, None)]
    assert checkpoints(bench) == ["0003"]


def test_an_attempt_that_was_lost_while_it_took_over_hides_nothing(bench: Any) -> None:
    task = bench.task(ONE)
    lost(task, 0, 2, (0, 0), (1, 0), (2, 0), checkpoint="only one")
    lost(task, 1, 0, (0, 0))
    attempt = taken_over(bench, task, 2)
    assert (attempt.fold, attempt.checkpoint_of(attempt.fold).read_text()) == (2, "only one")
    assert [(row["fold"], row["epoch"]) for row in read_curve(attempt.folder)] == [(0, 0), (1, 0)]
    assert [row["epoch"] for row in attempt.log_epoch({"epoch": 1})] == [0, 1]


def test_folds_that_are_others_are_not_taken_over(bench: Any) -> None:
    task = bench.task(ONE)
    folder = lost(task, 0, 2)
    assert len(list(finished_folds(folder, task.folds))) == 2
    assert not list(finished_folds(folder, task.folds[::-1]))
    assert len(list(finished_folds(folder, (task.folds[0], task.folds[2])))) == 1


def test_damaged_predictions_are_never_taken_for_whole_ones(bench: Any) -> None:
    task = bench.task(ONE)
    file = lost(task, 0, 2) / "oof.npz"
    whole = file.read_bytes()
    expected = [result.logits for result in results(task, 2)]
    damaged = [whole[:n] for n in range(0, len(whole), 37)]
    damaged += [whole[:n] + bytes([whole[n] ^ 0xFF]) + whole[n + 1 :] for n in range(0, len(whole), 7)]
    for content in damaged:
        file.write_bytes(content)
        found = list(finished_folds(file.parent, task.folds))
        for result, logits in zip(found, expected, strict=False):
            assert np.array_equal(result.logits, logits)  # type: ignore[arg-type]
    assert not found


def test_a_torn_line_of_the_curve_is_left_out(bench: Any) -> None:
    folder = lost(bench.task(ONE), 0, 0, (0, 0), (0, 1))
    with (folder / "curve.jsonl").open("a") as stream:
        stream.write('{"fold": 0, "epo')
    assert [row["epoch"] for row in read_curve(folder)] == [0, 1]


def test_files_of_a_trial_that_the_database_does_not_know_are_not_mixed_in(bench: Any) -> None:
    task = bench.task(ONE)
    lost(task, 0, 2, (0, 0), (1, 0), checkpoint="of another life")  # then a backup of the database was restored
    study = bench.search(task, [POINT])
    curve = read_curve(task.folder(0))
    assert [(row["fold"], row["epoch"]) for row in curve] == [(fold, epoch) for fold in range(3) for epoch in range(2)]
    assert study.trials[0].value == score(task, POINT["custom_quality"])
