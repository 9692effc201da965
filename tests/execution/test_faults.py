"""Workers that die, hang, lie or raise, and a parent that is killed: real processes, real signals."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from fdsearch.errors import ResourceError
from fdsearch.execution import process
from fdsearch.execution.events import Finished

RAISED = {
    "raise_value_error": ("exception", "ValueError: a wrong value"),
    "raise_keyboard_interrupt": ("exception", "KeyboardInterrupt"),
    "raise_system_exit": ("exception", "SystemExit"),
    "raise_memory_error": ("host_memory", "MemoryError"),
    "raise_cpu_exhausted": ("host_memory", "device:CPU:0"),
    "raise_gpu_exhausted": ("device_memory", "device:GPU:0"),
    "raise_cuda_memory": ("device_memory", "CUDA_ERROR_OUT_OF_MEMORY"),
    "raise_resource_error": ("exception", "ResourceError: no space left"),
    "raise_disk_full": ("disk_full", "it writes to"),
    "not_finite": ("non_finite", "not finite"),
    "infinite": ("non_finite", "not finite"),
    "wrong_type": ("exception", "returned dict for job"),
    "wrong_job": ("exception", "returned the result of another"),
    "unpicklable_result": ("exception", "pickle"),
    "unpicklable_row": ("exception", "pickle"),
    "no_such_act": ("exception", "KeyError"),
}
DIED = {
    "kill_itself": ("signal", "SIGKILL"),
    "segfault": ("signal", "SIGSEGV"),
    "leave": ("lost", "exit code 3"),
    "unreadable_result": ("lost", "broke off"),
}


def alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def wait_until(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def pids_of(folder: Path) -> list[int]:
    """The workers that run `silent`, by the files they left."""
    return [int(path.suffix[1:]) for path in folder.glob("model.*")]


def test_every_fault_is_classified_and_the_next_job_runs(make_supervisor, make_job):
    faults = {**RAISED, **DIED}
    jobs = [job for act in faults for job in (make_job(act, act), make_job(f"after {act}"))]
    results = make_supervisor(2).run_all(jobs)
    assert list(results) == [job.id for job in jobs]
    for act, (failure, words) in faults.items():
        result = results[act]
        assert (act, result.status, result.failure) == (act, "failed", failure)
        assert words in result.message
        assert result.logits is None
        assert results[f"after {act}"].status == "done"


def test_reported_epochs_survive_the_worker(make_supervisor, make_job):
    results = make_supervisor().run_all([make_job(act, act) for act in ("kill_itself", "raise_value_error")])
    for result in results.values():
        assert result.curve == ({"epoch": 0},)
        assert result.seconds > 0


@pytest.mark.parametrize("act", ["raise_memory_error", "raise_gpu_exhausted"])
def test_an_exception_keeps_the_worker_but_a_memory_failure_replaces_it(make_supervisor, make_job, act):
    jobs = [make_job("a"), make_job("b", "raise_value_error"), make_job("c"), make_job("d", act), make_job("e")]
    results = make_supervisor().run_all(jobs)
    assert results["a"].message == results["c"].message
    assert results["d"].failure in ("host_memory", "device_memory")
    assert results["e"].message != results["a"].message


def test_a_crash_in_native_code_leaves_its_stack_in_the_log(make_supervisor, make_job, tmp_path):
    result = make_supervisor().run_all([make_job("a", "segfault")])["a"]
    assert str(tmp_path / "log.txt") in result.message
    assert "in segfault" in (tmp_path / "log.txt").read_text()


def test_a_target_that_cannot_be_imported_is_the_jobs_failure(make_supervisor, make_job):
    for target in ("no_such_module:fit", "execution_targets:no_such_function"):
        result = make_supervisor(target=target).run_all([make_job("a")])["a"]
        assert (result.failure, "no_such" in result.message) == ("exception", True)


def test_a_worker_killed_from_outside(make_supervisor, make_job, tmp_path):
    supervisor = make_supervisor(2)
    supervisor.submit(make_job("victim", "silent", save_to=tmp_path / "model"))
    wait_until(lambda: pids_of(tmp_path))
    os.kill(pids_of(tmp_path)[0], signal.SIGKILL)
    (event,) = supervisor.events(30)
    assert (event.result.id, event.result.failure) == ("victim", "signal")
    assert supervisor.free == 2


def test_a_dead_worker_is_noticed_though_its_pipe_stays_open(make_supervisor, make_job, tmp_path):
    (tmp_path / "model").touch()
    supervisor = make_supervisor()
    supervisor.submit(make_job("a", "die_with_a_child_left", save_to=tmp_path / "model"))
    try:
        (event,) = supervisor.events(600)
    finally:
        (tmp_path / "model").unlink()
    assert event.result.failure == "signal"


def test_random_kills_cost_their_job_and_nothing_else(make_supervisor, make_job):
    random, killed = np.random.default_rng(0), set()

    def kill_now_and_then(event):
        if random.random() < 0.1:
            killed.add(event.job_id)
            os.kill(event.row["pid"], signal.SIGKILL)
        return True

    jobs = [make_job(str(number), epochs=3) for number in range(40)]
    told = []
    supervisor = make_supervisor(3)
    results = supervisor.run_all(jobs, kill_now_and_then, on_result=lambda result: told.append(result.id))
    assert sorted(told) == sorted(job.id for job in jobs) == sorted(results)
    assert {name for name, result in results.items() if result.failure == "signal"} == killed != set()
    assert {result.status for name, result in results.items() if name not in killed} == {"done"}
    assert supervisor.free == 3
    supervisor.close()
    assert not [child for child in psutil.Process().children() if "fdsearch.execution.worker" in child.cmdline()]


def test_an_idle_worker_that_died_is_replaced(make_supervisor, make_job):
    supervisor = make_supervisor()
    pid = int(supervisor.run_all([make_job("a")])["a"].message.split()[1])
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # gone with all its threads, but not reaped
    assert supervisor.run_all([make_job("b")])["b"].status == "done"


@pytest.fixture
def small_group(tmp_path):
    """A control group that may hold 200 MB, where this user may make one."""
    group = Path("/sys/fs/cgroup/memory", f"fdsearch-{os.getpid()}")
    limit = "memory.limit_in_bytes"
    if not group.parent.is_dir():
        group, limit = Path("/sys/fs/cgroup", group.name), "memory.max"
    try:
        group.mkdir()
        (group / limit).write_text(str(200 * 2**20))
    except OSError:
        pytest.skip("control groups cannot be made here")
    yield group
    wait_until(lambda: not (group / "cgroup.procs").read_text())
    group.rmdir()


def test_a_worker_that_the_kernel_kills_for_memory(make_supervisor, make_job, small_group):
    supervisor = make_supervisor()
    results = supervisor.run_all([make_job("a", "grow", save_to=small_group), make_job("b")])
    assert (results["a"].failure, results["b"].status) == ("host_memory", "done")
    assert "memory ran out" in results["a"].message


def test_memory_taken_by_the_kernel_is_told_apart(make_supervisor, make_job, monkeypatch):
    # The kernel's counter is the one thing that cannot be moved here without endangering the machine.
    counts = iter([0, 1])
    monkeypatch.setattr("fdsearch.execution.conversation.oom_kills", lambda: next(counts))
    result = make_supervisor().run_all([make_job("a", "kill_itself")])["a"]
    assert result.failure == "host_memory"


def test_a_silent_worker_is_killed_after_its_grace(make_supervisor, make_job, tmp_path):
    supervisor = make_supervisor(stop_grace=0.2)
    supervisor.submit(make_job("a", "silent", save_to=tmp_path / "model"))
    wait_until(lambda: pids_of(tmp_path))
    supervisor.stop("a")
    (event,) = supervisor.events(30)
    assert (event.result.status, event.result.failure) == ("failed", "timeout")
    assert not alive(pids_of(tmp_path)[0])
    assert supervisor.run_all([make_job("b")])["b"].status == "done"


def test_a_deadline_ends_a_silent_worker(make_supervisor, make_job):
    supervisor = make_supervisor(stop_grace=0.1)
    results = supervisor.run_all([make_job("a", "silent"), make_job("b")], deadline=time.monotonic() + 1)
    assert {name: result.failure for name, result in results.items()} == {"a": "timeout"}


def test_finished_results_survive_a_stop(make_supervisor, make_job, tmp_path):
    silent = {"act": "silent", "save_to": tmp_path / "model"}
    jobs = [make_job("a", **silent), make_job("b"), make_job("c", **silent), make_job("d")]
    results = make_supervisor(2, stop_grace=0.1).run_all(jobs, should_stop=lambda: len(pids_of(tmp_path)) == 2)
    assert {name: result.failure for name, result in results.items()} == {"a": "timeout", "b": None, "c": "timeout"}


def test_a_worker_that_falls_silent_is_killed_and_replaced(make_supervisor, make_job, tmp_path):
    supervisor = make_supervisor(silence=1.5)
    supervisor.submit(make_job("a", epochs=3))
    (reported,) = supervisor.events(30)
    time.sleep(2)  # the parent may think as long as it likes: a worker that waits is not silent
    assert supervisor.events(0) == []
    os.kill(reported.row["pid"], signal.SIGSTOP)
    supervisor.answer("a", True)
    (finished,) = supervisor.events(30)
    assert (finished.result.failure, finished.result.curve) == ("timeout", (reported.row,))
    assert "no sign of life for 1.5 s" in finished.result.message
    assert not alive(reported.row["pid"])
    assert supervisor.run_all([make_job("b")])["b"].message != f"pid {reported.row['pid']}"


def test_each_word_of_a_job_ends_its_silence(make_supervisor, make_job):
    results = make_supervisor(silence=2).run_all([make_job("a", epochs=8)], lambda event: not time.sleep(0.4))
    assert results["a"].status == "done"


def test_a_sign_of_life_ends_the_silence_as_well(make_supervisor, make_job):
    results = make_supervisor(silence=2).run_all([make_job("a", "slow_but_alive", epochs=2)])
    assert (results["a"].status, len(results["a"].curve)) == ("done", 2)


def test_signs_that_end_are_a_silence(make_supervisor, make_job):
    result = make_supervisor(silence=1.5).run_all([make_job("a", "alive_until_stuck")])["a"]
    assert (result.failure, "no sign of life" in result.message) == ("timeout", True)


def test_a_prefix_pass_is_alive_and_so_is_who_waits_for_it(make_supervisor, make_job, tmp_path):
    supervisor = make_supervisor(2, silence=2)
    for name in "ab":
        supervisor.submit(make_job(name, "store_activations", save_to=tmp_path / name))
    wait_until(lambda: (tmp_path / "a").exists() and (tmp_path / "b").exists())
    assert supervisor.events(4) == []  # twice the silence
    for name in "ab":
        supervisor.stop(name)
    results = {}
    while len(results) < 2:
        results |= {event.result.id: event.result for event in supervisor.events(30)}
    assert {result.status for result in results.values()} == {"stopped"}  # neither came to a report, neither was killed
    assert {path.suffix for path in (tmp_path / "prefix").iterdir()} == {".lock"}
    again = supervisor.run_all([make_job("c", epochs=3), make_job("d", epochs=3)])
    assert [len(result.curve) for result in again.values()] == [3, 3]  # a no that came late is not theirs


def test_a_no_that_crosses_the_result_is_not_the_next_jobs(make_supervisor, make_job):
    supervisor = make_supervisor()
    for number in range(10):
        supervisor.submit(make_job(str(number), epochs=0))
        supervisor.stop(str(number))
        (event,) = supervisor.events(30)
        assert event.result.status == "done"
    assert len(supervisor.run_all([make_job("a", epochs=3)])["a"].curve) == 3


def test_a_lost_job_is_run_again(make_supervisor, make_job):
    victims, told = ["a", "b", "a"], []

    def kill_some(event):
        if event.job_id in victims:
            victims.remove(event.job_id)
            os.kill(event.row["pid"], signal.SIGKILL)
        return True

    jobs = [make_job(name, epochs=2) for name in ("a", "b", "c")]
    results = make_supervisor(2).run_all(jobs, kill_some, on_result=told.append, attempts=3)
    assert {name: result.status for name, result in results.items()} == dict.fromkeys("abc", "done")
    assert sorted(result.id for result in told) == ["a", "b", "c"]
    assert victims == []


def test_a_job_lost_in_every_attempt_has_failed(make_supervisor, make_job, tmp_path):
    told = []
    jobs = [make_job("a", "kill_itself"), make_job("b", "raise_value_error")]
    results = make_supervisor().run_all(jobs, on_result=told.append, attempts=3)
    assert {name: result.failure for name, result in results.items()} == {"a": "signal", "b": "exception"}
    assert sorted(result.id for result in told) == ["a", "b"]
    assert re.findall(r"job (\w+)", (tmp_path / "log.txt").read_text()) == ["a", "b", "a", "a"]


def test_a_lost_job_that_is_not_started_again_is_unfinished(make_supervisor, make_job):
    """Killed at the end of the time, it did not fail: it has attempts left."""
    supervisor, told = make_supervisor(stop_grace=0.1), []
    deadline = time.monotonic() + 1
    assert supervisor.run_all([make_job("a", "silent")], on_result=told.append, deadline=deadline, attempts=2) == {}
    assert told == []


def test_a_frozen_worker_does_not_freeze_its_parent(make_supervisor, make_job, monkeypatch):
    monkeypatch.setattr(process, "SILENCE", 1)
    supervisor = make_supervisor()
    pid = int(supervisor.run_all([make_job("a")])["a"].message.split()[1])
    os.kill(pid, signal.SIGSTOP)
    supervisor.submit(make_job("b", labels=np.arange(3_000_000)))  # more than the pipe holds: the send blocks
    (event,) = supervisor.events(30)
    assert (event.result.status, event.result.failure) == ("failed", "lost")
    assert not alive(pid)
    assert supervisor.run_all([make_job("c")])["c"].status == "done"


def test_signals_for_the_whole_group_leave_the_decision_to_the_parent(make_supervisor, make_job):
    assert make_supervisor().run_all([make_job("a", "deaf_to_signals")])["a"].status == "done"


def test_a_job_that_cannot_be_pickled_is_the_callers_error(make_supervisor, make_job):
    supervisor = make_supervisor()
    with pytest.raises((TypeError, AttributeError, ValueError)):
        supervisor.submit(make_job("a", labels=lambda: 0))
    assert supervisor.free == 1
    assert supervisor.run_all([make_job("b")])["b"].status == "done"


def test_a_process_that_cannot_be_had_is_a_missing_resource(make_supervisor, make_job, monkeypatch):
    supervisor = make_supervisor()
    with monkeypatch.context() as patch, pytest.raises(ResourceError, match="use fewer workers"):
        patch.setattr(sys, "executable", "/absent/python")
        supervisor.submit(make_job("a"))
    assert supervisor.run_all([make_job("a")])["a"].status == "done"


def test_close_ends_busy_workers(make_supervisor, make_job, tmp_path):
    supervisor = make_supervisor(2)
    for name in ("a", "b"):
        supervisor.submit(make_job(name, "silent", save_to=tmp_path / "model"))
    wait_until(lambda: len(pids_of(tmp_path)) == 2)
    supervisor.close()
    assert not [pid for pid in pids_of(tmp_path) if alive(pid)]


def test_many_frozen_workers_end_together(make_supervisor, make_job, tmp_path):
    supervisor = make_supervisor(8)
    for name in "abcdefgh":
        supervisor.submit(make_job(name, "silent", save_to=tmp_path / "model"))
    wait_until(lambda: len(pids_of(tmp_path)) == 8)
    for pid in pids_of(tmp_path):
        os.kill(pid, signal.SIGSTOP)
    supervisor.close()
    assert not [pid for pid in pids_of(tmp_path) if alive(pid)]
    assert supervisor.free == 8


def test_a_supervisor_in_a_thread_outlives_the_thread_that_started_its_workers(make_supervisor, make_job):
    """The kernel's death signal would kill the workers with the thread."""
    supervisor = make_supervisor()
    starter = threading.Thread(target=supervisor.submit, args=[make_job("a", epochs=2)])
    starter.start()
    starter.join()
    for _ in range(2):
        supervisor.events(30)
        supervisor.answer("a", True)
    (event,) = supervisor.events(30)
    assert isinstance(event, Finished) and event.result.status == "done"


PARENT = """
import pickle, sys, threading
from fdsearch.execution.supervisor import Supervisor

def run():
    with Supervisor(3, threads_per_worker=1, target="execution_targets:fit") as supervisor:
        supervisor.run_all(pickle.load(sys.stdin.buffer))

if sys.argv[1] == "main":
    run()
else:
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
"""


# Only the death signal ends a frozen worker, and it is bound to the parent's main thread.
@pytest.mark.parametrize(("thread", "frozen"), [("main", False), ("main", True), ("other", False)])
def test_killing_the_parent_leaves_no_orphan(make_job, tmp_path, thread, frozen):
    """Two nets: the kernel's death signal, which reaches frozen workers too, and the end of the pipe."""
    jobs = [make_job(name, "silent", save_to=tmp_path / "model") for name in ("a", "b", "c")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen([sys.executable, "-c", PARENT, thread], stdin=subprocess.PIPE, env=environment) as parent:
        assert parent.stdin
        parent.stdin.write(pickle.dumps(jobs))
        parent.stdin.close()
        wait_until(lambda: len(pids_of(tmp_path)) == 3)
        pids = pids_of(tmp_path)
        assert all(alive(pid) for pid in pids)
        if frozen:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
        parent.kill()
    wait_until(lambda: not any(alive(pid) for pid in pids))
