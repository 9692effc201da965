"""Real worker processes in good health: the pool, the conversation, recycling, stopping."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import numpy as np
import pytest

from fdsearch.execution import pool
from fdsearch.execution.events import Finished, Reported
from fdsearch.training.job import Result


def test_results_come_back_by_id_in_the_order_of_the_jobs(make_supervisor, make_job):
    jobs = [
        make_job(name, epochs=epochs, seed=seed) for seed, (name, epochs) in enumerate([("c", 9), ("a", 1), ("b", 2)])
    ]
    told = []
    results = make_supervisor(2).run_all(jobs, on_result=lambda result: told.append(result.id))
    assert list(results) == ["c", "a", "b"]
    assert sorted(told) == ["a", "b", "c"]
    for job, epochs in zip(jobs, (9, 1, 2), strict=True):
        result = results[job.id]
        assert (result.status, result.epochs, len(result.curve)) == ("done", epochs, epochs)
        np.testing.assert_array_equal(result.logits, np.full((2, 2), job.seed, np.float32))


def test_a_job_crosses_the_pipe_whole(make_supervisor, make_job, tmp_path):
    labels = np.arange(300_000)  # more than a pipe holds
    result = make_supervisor().run_all([make_job("a", "echo", labels=labels)])["a"]
    assert result.message == f"{labels.sum()} {tmp_path / 'pixels.npy'} efficientnet_lite0"


def test_a_worker_lives_across_jobs(make_supervisor, make_job):
    results = make_supervisor().run_all([make_job(str(number)) for number in range(5)])
    assert len({result.message for result in results.values()}) == 1


def test_free_counts_workers_and_a_busy_pool_refuses(make_supervisor, make_job):
    supervisor = make_supervisor(2)
    assert supervisor.free == 2
    supervisor.submit(make_job("a", "silent"))
    assert supervisor.free == 1
    with pytest.raises(ValueError, match="a is running already"):
        supervisor.submit(make_job("a"))
    supervisor.submit(make_job("b", "silent"))
    with pytest.raises(RuntimeError, match="all 2 workers are busy"):
        supervisor.submit(make_job("c"))
    with pytest.raises(RuntimeError, match="running already: a, b"):
        supervisor.run_all([make_job("d")])


def test_prepared_workers_take_the_jobs(make_supervisor, make_job):
    supervisor = make_supervisor(2)
    supervisor.prepare()
    supervisor.prepare()
    started = {f"pid {worker.pid}" for worker in supervisor._pool._idle}
    assert (len(started), supervisor.free) == (2, 2)
    results = supervisor.run_all([make_job(name) for name in "ab"])
    assert {result.message for result in results.values()} <= started


@pytest.mark.parametrize("n_workers", [0, -1])
def test_a_pool_needs_workers(make_supervisor, n_workers):
    with pytest.raises(ValueError, match="expected at least 1"):
        make_supervisor(n_workers)


def test_two_jobs_with_one_id_are_refused(make_supervisor, make_job):
    with pytest.raises(ValueError, match="one id: a"):
        make_supervisor().run_all([make_job("a"), make_job("b"), make_job("a")])


def test_each_report_is_an_event_that_waits_for_its_answer(make_supervisor, make_job):
    supervisor = make_supervisor()
    supervisor.submit(make_job("a", epochs=3))
    for epoch, proceed in [(0, True), (1, False)]:
        (event,) = supervisor.events(30)
        assert event == Reported("a", epoch, {"epoch": epoch, "loss": 1 / (epoch + 1), "pid": event.row["pid"]})
        assert supervisor.events(0.05) == []
        supervisor.answer("a", proceed)
    (finished,) = supervisor.events(30)
    assert isinstance(finished, Finished)
    assert (finished.result.status, finished.result.epochs) == ("stopped", 2)
    assert supervisor.free == 1


def test_answers_to_nobody_have_no_effect(make_supervisor, make_job):
    supervisor = make_supervisor()
    supervisor.answer("a", True)
    supervisor.stop("a")
    supervisor.submit(make_job("a", epochs=2))
    supervisor.answer("a", False)  # nothing was reported yet: must not be taken for the answer to the first report
    assert [event.epoch for event in supervisor.events(30)] == [0]
    supervisor.answer("a", True)
    supervisor.answer("a", False)
    assert [event.epoch for event in supervisor.events(30)] == [1]


def test_without_jobs_there_is_nothing_to_wait_for(make_supervisor):
    assert make_supervisor().events(600) == []


def test_on_report_prunes(make_supervisor, make_job):
    results = make_supervisor(2).run_all(
        [make_job("a", epochs=4), make_job("b", epochs=4)],
        on_report=lambda event: event.job_id == "a" or event.epoch < 1,
    )
    assert [(result.status, result.epochs) for result in results.values()] == [("done", 4), ("stopped", 2)]


def test_a_stop_is_heard_at_the_next_report(make_supervisor, make_job):
    supervisor = make_supervisor()
    supervisor.submit(make_job("a", epochs=1000))
    supervisor.stop("a")
    reported, *rest = supervisor.events(30)
    supervisor.answer("a", True)  # the caller cannot know that it has been answered
    (finished,) = rest or supervisor.events(30)
    assert (reported.epoch, finished.result.status, finished.result.epochs) == (0, "stopped", 1)


def test_a_stop_answers_a_report_that_waits(make_supervisor, make_job):
    supervisor = make_supervisor()
    supervisor.submit(make_job("a", epochs=1000))
    supervisor.events(30)
    supervisor.stop("a")
    (finished,) = supervisor.events(30)
    assert finished.result.status == "stopped"


@pytest.mark.parametrize("how", ["deadline", "should_stop"])
def test_what_never_started_is_absent(make_supervisor, make_job, how):
    over = {"deadline": time.monotonic() - 1} if how == "deadline" else {"should_stop": lambda: True}
    assert make_supervisor().run_all([make_job("a"), make_job("b")], **over) == {}


def test_should_stop_ends_what_runs(make_supervisor, make_job):
    heard: list[Reported] = []
    results = make_supervisor().run_all(
        [make_job("a", epochs=10**6), make_job("b")],
        on_report=lambda event: heard.append(event) or True,
        should_stop=lambda: len(heard) > 3,
    )
    assert [(result.id, result.status) for result in results.values()] == [("a", "stopped")]


def test_a_failing_callback_leaves_no_job_behind(make_supervisor, make_job):
    supervisor = make_supervisor(2)

    def fail(result: Result) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        supervisor.run_all([make_job("a"), make_job("b", "silent")], on_result=fail)
    assert supervisor.free == 2
    assert supervisor.run_all([make_job("c")])["c"].status == "done"


def test_workers_are_recycled_by_count(make_supervisor, make_job):
    results = make_supervisor(recycle_after=2).run_all([make_job(str(number)) for number in range(5)])
    pids = [result.message for result in results.values()]
    assert pids[0] == pids[1] and pids[2] == pids[3]
    assert len(set(pids)) == 3


@pytest.mark.parametrize(("act", "replaced"), [("allocate", True), ("map_file", False)])
def test_workers_are_recycled_by_their_own_memory(make_supervisor, make_job, act, replaced):
    results = make_supervisor(memory_limit_mb=250).run_all([make_job("a", act), make_job("b")])
    assert (results["a"].message != results["b"].message) is replaced


def test_workers_are_recycled_when_their_memory_grows_on(make_supervisor, make_job, monkeypatch):
    monkeypatch.setattr(pool, "SETTLED", 3)
    steady = make_supervisor().run_all([make_job(str(number)) for number in range(6)])
    assert len({result.message for result in steady.values()}) == 1
    leaking = make_supervisor().run_all([make_job(str(number), "leak") for number in range(6)])
    pids = [result.message for result in leaking.values()]
    assert pids[0] == pids[2] != pids[5]


def test_a_worker_that_built_the_model_before_is_preferred(make_supervisor, make_job):
    supervisor = make_supervisor(2)
    first = supervisor.run_all([make_job("a", epochs=1), make_job("b", epochs=2)])
    assert first["a"].message != first["b"].message
    for name, epochs in [("b", 2), ("a", 1), ("a", 1), ("b", 2)]:
        assert supervisor.run_all([make_job(name, epochs=epochs)])[name].message == first[name].message


def test_the_environment_limits_threads_and_noise(make_supervisor, make_job):
    message = make_supervisor(threads_per_worker=3).run_all([make_job("a", "environment")])["a"].message
    assert message.startswith("OMP_NUM_THREADS=3 TF_NUM_INTRAOP_THREADS=3 TF_CPP_MIN_LOG_LEVEL=3")


def test_a_worker_imports_nothing_heavy_by_itself(make_supervisor, make_job):
    loaded = make_supervisor().run_all([make_job("a", "modules")])["a"].message.split()
    assert not {"keras", "tensorflow", "optuna", "pandas", "sklearn"} & set(loaded)


def test_output_goes_to_the_log_with_the_job_named(make_supervisor, make_job, tmp_path, capfd):
    mask = os.umask(0)
    try:
        log = tmp_path / "run" / "workers.txt"
        supervisor = make_supervisor(log=log)
        supervisor.run_all([make_job("a", "echo")])
        supervisor.close()
    finally:
        os.umask(mask)
    text = log.read_text()
    assert text.index("job a") < text.index("said by a")
    assert log.stat().st_mode & 0o777 == 0o640
    assert capfd.readouterr() == ("", "")


def test_the_log_says_how_long_a_worker_waited_for_its_job(make_supervisor, make_job, tmp_path):
    make_supervisor().run_all([make_job("a"), make_job("b")])
    first, second = (tmp_path / "log.txt").read_text().splitlines()
    assert re.fullmatch(r"worker \d+: job a", first)
    assert re.fullmatch(r"worker \d+: job b after \d+\.\d{3} s idle", second)


def test_files_of_workers_are_nobody_elses(make_supervisor, make_job, tmp_path):
    mask = os.umask(0)
    try:
        make_supervisor().run_all([make_job("a", "write_files", save_to=tmp_path / "own")])
    finally:
        os.umask(mask)
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "own" / "file").stat().st_mode & 0o777 == 0o640


def test_a_person_is_told_where_a_job_runs(make_supervisor, make_job):
    supervisor = make_supervisor(2)
    for name in ("a", "b"):
        supervisor.submit(make_job(name, "silent"))
    assert [supervisor.place(name) for name in ("a", "b", "c")] == ["cpu 0", "cpu 1", ""]


def test_without_a_log_stdout_stays_clean(make_supervisor, make_job, capfd):
    make_supervisor(log=None).run_all([make_job("a", "echo")])
    assert capfd.readouterr().out == ""


def test_a_closed_supervisor_can_be_used_again(make_supervisor, make_job):
    supervisor = make_supervisor()
    first = supervisor.run_all([make_job("a")])["a"]
    supervisor.close()
    assert supervisor.run_all([make_job("a")])["a"].message != first.message


def test_a_relative_path_entry_is_the_parents(make_job, make_supervisor, monkeypatch):
    monkeypatch.chdir(Path(__file__).parent)
    monkeypatch.setattr("sys.path", ["", *[entry for entry in __import__("sys").path if "execution" not in entry]])
    assert make_supervisor().run_all([make_job("a")])["a"].status == "done"
