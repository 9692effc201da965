"""Jobs on a real Ray cluster of two nodes: the same results as at home, and nodes that die."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from fdsearch.execution.events import Finished, Reported
from fdsearch.execution.machine import Machine, open_executor
from fdsearch.execution.ray_executor import RayExecutor

pytestmark = pytest.mark.slow
MakeExecutor = Callable[..., RayExecutor]
SAME = ["raise_value_error", "raise_cpu_exhausted", "not_finite", "wrong_job", "unpicklable_result", "kill_itself"]


def alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def wait_until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def pids_of(folder: Path) -> list[int]:
    """The workers that run `silent`, by the files they left."""
    return [int(path.suffix[1:]) for path in folder.glob("model-*.*")]


def heard(executor: RayExecutor, seconds: float = 60.0) -> list[Any]:
    """The next news, however long the engine takes to place an actor."""
    news = executor.events(seconds)
    assert news, "no news"
    return news


@pytest.fixture
def make_executor(two_nodes: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MakeExecutor]:
    """Make executors on the two nodes, closed with the test."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    (tmp_path / "pixels.npy").touch()
    with ExitStack() as stack:

        def make(n_workers: int = 2, **options: Any) -> RayExecutor:
            defaults = {"log": tmp_path / "log.txt", "target": "execution_targets:fit"}
            return stack.enter_context(RayExecutor(n_workers, **{**defaults, **options}))

        yield make


def test_results_are_those_of_local_workers(make_executor, make_supervisor, make_job):
    jobs = [make_job(f"train {seed}", epochs=seed, seed=seed) for seed in (1, 3, 2)]
    jobs += [make_job(act, act) for act in SAME]
    ours, theirs = make_executor().run_all(jobs), make_supervisor(2).run_all(jobs)
    assert list(ours) == list(theirs) == [job.id for job in jobs]
    for job in jobs:
        here, there = ours[job.id], theirs[job.id]
        assert (here.id, here.status, here.failure) == (there.id, there.status, there.failure)
        assert (here.epochs, len(here.curve)) == (there.epochs, len(there.curve))
        np.testing.assert_array_equal(here.logits, there.logits)


def test_two_jobs_run_at_once_and_say_where(make_executor, make_job, tmp_path):
    executor = make_executor()
    assert executor.free == 2
    for name in "ab":
        executor.submit(make_job(name, "silent", save_to=tmp_path / f"model-{name}"))
    assert executor.free == 0
    wait_until(lambda: len(pids_of(tmp_path)) == 2)
    assert [executor.place(name) for name in "abc"] == ["127.0.0.1", "127.0.0.1", ""]
    with pytest.raises(RuntimeError, match="all 2 workers are busy"):
        executor.submit(make_job("c"))
    with pytest.raises(RuntimeError, match="running already: a, b"):
        executor.run_all([make_job("d")])
    assert executor.events(0.05) == []


def test_each_report_waits_for_its_answer(make_executor, make_job):
    executor = make_executor()
    executor.submit(make_job("a", epochs=3))
    for epoch, proceed in [(0, True), (1, False)]:
        (event,) = heard(executor)
        assert (type(event), event.job_id, event.epoch, event.row["epoch"]) == (Reported, "a", epoch, epoch)
        assert executor.events(0.05) == []
        executor.answer("a", proceed)
        executor.answer("a", True)  # only the first answer counts
    (finished,) = heard(executor)
    assert (finished.result.status, finished.result.epochs, executor.free) == ("stopped", 2, 2)
    assert executor.events(600) == []


def test_an_actor_lives_across_jobs(make_executor, make_job):
    results = make_executor(1).run_all([make_job(str(number)) for number in range(3)])
    assert len({result.message for result in results.values()}) == 1


@pytest.mark.parametrize("reported", [False, True])
def test_a_stopped_job_ends_at_its_report(make_executor, make_job, reported):
    executor = make_executor()
    executor.submit(make_job("a", epochs=10**6))
    if reported:
        heard(executor)
    executor.stop("a")
    news = heard(executor)
    while not isinstance(news[-1], Finished):
        news = heard(executor)
    assert (news[-1].result.status, news[-1].result.epochs) == ("stopped", 1)


def test_a_job_deaf_to_stop_is_killed(make_executor, make_job, tmp_path):
    executor = make_executor(stop_grace=0.2)
    executor.submit(make_job("a", "silent", save_to=tmp_path / "model-a"))
    wait_until(lambda: pids_of(tmp_path))
    executor.stop("a")
    (event,) = heard(executor)
    assert (event.result.failure, executor.free) == ("timeout", 2)
    wait_until(lambda: not alive(*pids_of(tmp_path)))
    assert executor.run_all([make_job("b")])["b"].status == "done"


def test_the_environment_limits_threads_and_hides_gpus(make_executor, make_job):
    message = make_executor().run_all([make_job("a", "environment")])["a"].message
    assert message.startswith("OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1")
    assert message.endswith("CUDA_VISIBLE_DEVICES=")


def test_output_goes_to_the_log_and_not_to_stdout(make_executor, make_job, tmp_path, capfd):
    make_executor().run_all([make_job("a", "echo")])
    assert "said by a" in (tmp_path / "log.txt").read_text()
    assert capfd.readouterr().out == ""


def test_a_path_that_a_node_does_not_see_is_the_jobs_failure(make_executor, make_job, tmp_path):
    result = make_executor().run_all([make_job("a", pixels=tmp_path / "absent.npy")])["a"]
    assert (result.status, result.failure) == ("failed", "exception")
    assert f"{tmp_path / 'absent.npy'} does not exist on 127.0.0.1" in result.message


def test_a_killed_actor_is_a_lost_job_and_is_replaced(make_executor, make_job, capfd):
    executor = make_executor()
    executor.submit(make_job("a", epochs=10**6))
    (event,) = heard(executor)
    worker = psutil.Process(event.row["pid"])
    worker.parent().kill()
    executor.answer("a", True)
    (event,) = heard(executor)
    assert (event.result.id, event.result.failure, len(event.result.curve)) == ("a", "lost", 1)
    wait_until(lambda: not alive(worker.pid))
    assert executor.run_all([make_job("b")])["b"].status == "done"
    assert capfd.readouterr().out == ""  # where Ray itself would have complained


def test_jobs_of_a_dead_node_are_lost_and_the_other_goes_on(make_executor, make_job, two_nodes, tmp_path):
    executor = make_executor(stop_grace=0.2)
    for name in "ab":
        executor.submit(make_job(name, "silent", save_to=tmp_path / f"model-{name}"))
    wait_until(lambda: len(pids_of(tmp_path)) == 2)
    two_nodes.kill_second()
    (event,) = heard(executor)
    assert event.result.failure == "lost"
    wait_until(lambda: sum(map(alive, pids_of(tmp_path))) == 1)
    wait_until(lambda: executor.free == 0)  # the cluster holds no more than what still runs
    executor.stop("ba"["ab".index(event.result.id)])
    heard(executor)
    assert executor.free == 1
    assert executor.run_all([make_job("c")])["c"].status == "done"
    two_nodes.complete()
    assert executor.free == 2


def test_a_dead_idle_actor_is_not_given_a_job(make_executor, make_job, two_nodes):
    executor = make_executor()
    executor.run_all([make_job("a", epochs=2), make_job("b", epochs=2)])
    two_nodes.kill_second()
    results = executor.run_all([make_job("c"), make_job("d")])
    assert [result.status for result in results.values()] == ["done", "done"]


def test_twenty_jobs_survive_the_loss_of_a_node(make_executor, make_job, two_nodes):
    executor, done = make_executor(), []

    def on_result(result: Any) -> None:
        done.append(result.id)
        if len(done) == 10:
            two_nodes.kill_second()

    jobs = [make_job(str(number), epochs=3, seed=number) for number in range(20)]
    results = executor.run_all(jobs, on_result=on_result, attempts=3)
    assert list(results) == [job.id for job in jobs]
    assert sorted(done, key=int) == list(results)
    for job in jobs:
        assert (results[job.id].status, results[job.id].epochs) == ("done", 3)
        np.testing.assert_array_equal(results[job.id].logits, np.full((2, 2), job.seed, np.float32))


def test_a_job_waits_while_no_node_is_left_for_it(make_executor, make_job, two_nodes):
    other, executor = make_executor(1), make_executor(1, stop_grace=0.2)
    other.submit(make_job("holds the first", "silent"))
    executor.submit(make_job("holds the second", "silent"))
    wait_until(lambda: other.place("holds the first") and executor.place("holds the second"))
    waiting = make_executor(1, stop_grace=0.2)
    waiting.submit(make_job("waits"))
    assert (waiting.events(0.5), waiting.place("waits"), waiting.free) == ([], "", 0)
    executor.stop("holds the second")
    heard(executor)
    executor.close()
    assert [type(event) for event in heard(waiting)] == [Reported]


def test_an_idle_actor_takes_the_job_of_one_that_finds_no_node(make_executor, make_job):
    other, executor = make_executor(1), make_executor()
    other.submit(make_job("holds a node", "silent"))
    wait_until(lambda: other.place("holds a node"))
    results = executor.run_all([make_job("a"), make_job("b")])
    assert [result.status for result in results.values()] == ["done", "done"]
    assert results["a"].message == results["b"].message


def test_close_leaves_no_worker(make_executor, make_job, tmp_path):
    executor = make_executor()
    idle = executor.run_all([make_job("a")])["a"].message.removeprefix("pid ")
    executor.submit(make_job("b", "silent", save_to=tmp_path / "model-b"))
    wait_until(lambda: pids_of(tmp_path))
    workers = [psutil.Process(pid) for pid in {int(idle), *pids_of(tmp_path)}]
    pids = [process.pid for worker in workers for process in (worker, worker.parent())]
    executor.close()
    wait_until(lambda: not any(map(alive, pids)))
    assert executor.free == 2
    assert executor.run_all([make_job("c")])["c"].status == "done"


def test_connecting_leaves_the_signals_of_the_process_alone(two_nodes, tmp_path):
    import ray

    ray.shutdown()  # else the process is connected already
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ours = {number: signal.getsignal(number) for number in before}
        with open_executor(Machine(2, executor="ray"), tmp_path / "log.txt") as executor:
            assert (type(executor), executor.free) == (RayExecutor, 2)
        assert {number: signal.getsignal(number) for number in before} == ours
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
