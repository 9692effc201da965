"""GPUs as a machine with some would show them: a stand-in for `nvidia-smi` on PATH answers from a file."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fdsearch.errors import ConfigError
from fdsearch.execution import gpus, pool, room
from fdsearch.execution.events import Busy, Finished, Reported
from fdsearch.execution.gpus import ask_driver, chosen_gpus, visible_gpus
from fdsearch.execution.machine import Machine, open_executor
from fdsearch.execution.slots import DEVICE_MEMORY

ASKED = "--query-gpu=index,uuid,memory.total,memory.free,name --format=csv,noheader,nounits"


class Driver:
    """What the stand-in answers, and how often it was asked."""

    def __init__(self, folder: Path) -> None:
        self.answer = folder / "answer.csv"
        self.questions = folder / "questions.txt"
        command = folder / "nvidia-smi"
        self.status = folder / "status"
        self.status.write_text("exit 0\n")
        command.write_text(f'#!/bin/sh\necho "$*" >> "{self.questions}"\n/bin/cat "{self.answer}"\n. "{self.status}"\n')
        command.chmod(0o755)

    def says(self, *free: int, total: int = 10_000, models: str = "XXX") -> None:
        """So many MiB are free on each GPU."""
        rows = [
            f"{index}, GPU-{letter}{index}, {total}, {mb}, {model}"
            for index, (letter, mb, model) in enumerate(zip("abc", free, models, strict=False))
        ]
        self.answer.write_text("\n".join(rows) + "\n")

    @property
    def asked(self) -> int:
        return len(self.questions.read_text().splitlines()) if self.questions.exists() else 0


@pytest.fixture
def driver(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    driver = Driver(folder)
    driver.says(9_000, 5_000)
    return driver


def names(found) -> list[str]:
    return [gpu.address for gpu in found]


def test_the_driver_is_asked_for_all(driver):
    assert ask_driver() == [gpus.Gpu("0", "GPU-a0", 10_000, 9_000, "X"), gpus.Gpu("1", "GPU-b1", 10_000, 5_000, "X")]
    assert driver.questions.read_text().strip() == ASKED


@pytest.mark.parametrize("answer", ["", "No devices were found\n", "0, GPU-a, 16, 2, X, 7\n"])
def test_answers_that_name_no_gpu(driver, answer):
    driver.answer.write_text(answer)
    assert not ask_driver()


def test_memory_that_the_driver_does_not_know(driver):
    driver.answer.write_text("0, GPU-a, [N/A], [N/A], X\n")
    assert ask_driver() == [gpus.Gpu("0", "GPU-a", None, None, "X")]


@pytest.mark.parametrize(
    "dead",
    [
        "0, GPU-a, [GPU is lost], [GPU is lost], X",
        "0, GPU-a, 10000, [Unknown Error], X",
        "Unable to determine the device handle for GPU0: 0000:3B:00.0: Unknown Error",
    ],
)
def test_a_dead_gpu_leaves_the_others(driver, dead):
    driver.answer.write_text(f"{dead}\n1, GPU-b, 10000, 9500, X\n")
    driver.status.write_text("exit 15\n")
    assert ask_driver() == [gpus.Gpu("1", "GPU-b", 10_000, 9_500, "X")]
    assert names(chosen_gpus(("1",), {})) == ["GPU-b"]
    with pytest.raises(ConfigError) as caught:
        chosen_gpus(("0",), {})
    assert "1 (GPU-b)" in caught.value.faults[0].expected


def test_a_driver_that_fails_says_nothing(driver):
    driver.answer.write_text("")
    driver.status.write_text("exit 9\n")
    assert ask_driver() is None


@pytest.mark.parametrize(
    ("models", "environment", "clear"),
    [
        ("XY", {"CUDA_VISIBLE_DEVICES": "0"}, False),
        ("XY", {"CUDA_VISIBLE_DEVICES": "GPU-a,1", "CUDA_DEVICE_ORDER": "FASTEST_FIRST"}, False),
        ("XY", {"CUDA_VISIBLE_DEVICES": "0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, True),
        ("XY", {"CUDA_VISIBLE_DEVICES": "GPU-a"}, True),
        ("XY", {}, True),
        ("XX", {"CUDA_VISIBLE_DEVICES": "0"}, True),
    ],
)
def test_indices_must_not_mean_two_gpus(driver, models, environment, clear):
    driver.says(9_000, 9_000, models=models)
    if clear:
        assert names(chosen_gpus(None, environment))[0] == "GPU-a0"
    else:
        with pytest.raises(ConfigError, match="CUDA_DEVICE_ORDER=PCI_BUS_ID"):
            chosen_gpus(None, environment)
    assert chosen_gpus((), environment) == ()


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        (None, ["GPU-a0", "GPU-b1"]),
        ("", []),
        ("-1", []),
        ("1", ["GPU-b1"]),
        ("1,0", ["GPU-b1", "GPU-a0"]),
        ("GPU-b", ["GPU-b1"]),
        ("1,-1,0", ["GPU-b1"]),
        ("0,7,1", ["GPU-a0"]),
        ("MIG-x", ["MIG-x"]),
    ],
)
def test_the_environment_is_obeyed_as_cuda_does(driver, variable, expected):
    assert names(visible_gpus({} if variable is None else {"CUDA_VISIBLE_DEVICES": variable})) == expected


def test_without_an_answer_the_drivers_folder_is_counted(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for bus in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "gpus" / bus).mkdir(parents=True)
    assert names(visible_gpus({}, tmp_path / "gpus")) == ["0", "1"]
    assert names(visible_gpus({}, tmp_path / "absent")) == []
    assert names(visible_gpus({"CUDA_VISIBLE_DEVICES": "3,5"}, tmp_path / "absent")) == ["3", "5"]


@pytest.mark.parametrize(
    ("chosen", "variable", "expected"),
    [
        (None, None, ["GPU-a0", "GPU-b1"]),
        (("1",), None, ["GPU-b1"]),
        (("1", "0", "1"), None, ["GPU-b1", "GPU-a0"]),
        (("GPU-b",), None, ["GPU-b1"]),
        (("0",), "1", ["GPU-b1"]),  # a place in the list
        ((), None, []),
    ],
)
def test_gpus_are_chosen_by_place_or_uuid(driver, chosen, variable, expected):
    environment = {} if variable is None else {"CUDA_VISIBLE_DEVICES": variable}
    assert names(chosen_gpus(chosen, environment)) == expected


@pytest.mark.parametrize(
    ("chosen", "variable", "wrong", "usable"),
    [
        (("0", "2", "x"), None, ["2", "x"], "0 (GPU-a0), 1 (GPU-b1)"),
        (("1",), "0", ["1"], "0 (GPU-a0)"),
        (("GPU-b1",), "0", ["GPU-b1"], "0 (GPU-a0)"),
        (("0",), "", ["0"], "no GPU"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_refused(driver, chosen, variable, wrong, usable):
    environment = {} if variable is None else {"CUDA_VISIBLE_DEVICES": variable}
    with pytest.raises(ConfigError) as caught:
        chosen_gpus(chosen, environment)
    assert [fault.got for fault in caught.value.faults] == wrong
    assert all(usable in fault.expected for fault in caught.value.faults)


def test_each_worker_sees_its_gpu(driver, make_supervisor, make_job):
    supervisor = make_supervisor(2)
    driver.says(9_500, 9_500)
    seen = {}
    for name in ("a", "b"):
        supervisor.submit(make_job(name, "environment"))
        seen[name] = supervisor.place(name)
    results = {}
    while len(results) < 2:
        results |= {event.result.id: event.result.message for event in supervisor.events(30)}
    assert seen == {"a": "gpu 0", "b": "gpu 1"}
    assert results["a"].endswith("CUDA_VISIBLE_DEVICES=GPU-a0")
    assert results["b"].endswith("CUDA_VISIBLE_DEVICES=GPU-b1")


@pytest.mark.parametrize(
    ("n_workers", "free", "expected"),
    [
        (2, (9_500, 9_500), 2),
        (2, (9_500, 8_900), 1),
        (2, (8_900, 8_900), 0),
        (4, (4_500, 9_000), 3),  # four shares of 4,500
        (3, (4_500, 9_000), 3),
        (3, (0, 9_500), 2),  # no more than its shares, however much is free
        (1, (9_500, 9_500), 1),
        (1, (8_900, 9_500), 1),
        (1, (8_900, 8_900), 0),
    ],
)
def test_a_slot_is_taken_only_where_memory_covers_its_share(driver, make_supervisor, n_workers, free, expected):
    driver.says(*free)
    assert make_supervisor(n_workers).free == expected


def test_a_free_slot_is_taken_before_one_that_waits(driver, make_supervisor, make_job):
    driver.says(1_000, 9_500)
    supervisor = make_supervisor(2)
    supervisor.submit(make_job("a", "silent"))
    assert supervisor.place("a") == "gpu 1"
    assert supervisor.free == 0


def test_a_worker_is_bound_to_no_gpu(driver, make_supervisor, make_job, tmp_path):
    driver.says(1_000, 9_500)
    supervisor = make_supervisor(1, recycle_after=1)
    supervisor.submit(make_job("a", "environment"))
    assert (supervisor.place("a"), supervisor.free) == ("gpu 1", 0)
    (event,) = supervisor.events(30)
    assert event.result.message.endswith("CUDA_VISIBLE_DEVICES=GPU-b1")
    driver.says(9_500, 1_000)
    supervisor.submit(make_job("b", "silent"))
    assert supervisor.place("b") == "gpu 0"
    assert "waiting" not in (tmp_path / "log.txt").read_text()  # nobody did


def test_workers_spread_over_gpus_that_have_room(driver, make_supervisor, make_job, monkeypatch):
    monkeypatch.setattr(pool, "SETTLE_S", 0.0)
    driver.says(9_500, 9_500)
    supervisor = make_supervisor(4, recycle_after=1)
    for name in "abcd":
        supervisor.submit(make_job(name, "silent" if name == "c" else "train"))
    assert [supervisor.place(name) for name in "abcd"] == ["gpu 0", "gpu 1", "gpu 0", "gpu 1"]
    ended = 0
    while ended < 3:
        for event in supervisor.events(30):
            ended += isinstance(event, Finished)
            if isinstance(event, Reported):
                supervisor.answer(event.job_id, True)
    supervisor.submit(make_job("e", "silent"))
    assert [supervisor.place(name) for name in "ce"] == ["gpu 0", "gpu 1"]


def test_the_driver_is_not_asked_where_nobody_waits(driver, make_supervisor, make_job, monkeypatch):
    monkeypatch.setattr(room, "FRESH_S", 0.0)
    driver.says(9_500, 9_500)
    supervisor = make_supervisor(1)
    supervisor.submit(make_job("a", "silent"))
    asked = driver.asked
    assert (supervisor.free, supervisor.events(0.1), driver.asked) == (0, [], asked)


def test_a_living_workers_share_is_its_own(driver, make_supervisor, make_job):
    driver.says(9_500, 0)
    supervisor = make_supervisor(gpus=("0",))
    supervisor.run_all([make_job("a")])
    driver.says(500, 0)  # the worker took its share
    asked = driver.asked
    assert supervisor.free == 1
    assert supervisor.run_all([make_job("b")])["b"].status == "done"
    assert driver.asked == asked


def test_a_new_workers_share_is_not_given_away_before_it_took_it(driver, make_supervisor, make_job, monkeypatch):
    monkeypatch.setattr(room, "FRESH_S", 0.0)
    driver.says(5_000, 0)
    supervisor = make_supervisor(2, gpus=("0",))
    supervisor.submit(make_job("a", "silent"))
    assert supervisor.free == 0
    monkeypatch.setattr(pool, "SETTLE_S", 0.0)  # it has had its time: what is free now is free
    assert supervisor.free == 1


def test_jobs_wait_until_others_free_the_memory(driver, make_supervisor, make_job, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "FRESH_S", 0.1)
    monkeypatch.setattr(pool, "COMPLAINT_S", 3600.0)
    driver.says(100, 9_500)
    supervisor = make_supervisor(gpus=("0",))
    looks = []

    def after_a_while() -> bool:
        looks.append(time.monotonic())
        if len(looks) == 4:
            driver.says(9_500, 9_500)
        return False

    assert supervisor.run_all([make_job("a")], should_stop=after_a_while)["a"].status == "done"
    assert len(looks) < 20  # it slept between two looks
    complaint, _ = (tmp_path / "log.txt").read_text().splitlines()
    assert complaint == "gpu 0: 100 MB of its memory are free, a worker needs 9000 MB; waiting for it"


def test_waiting_for_memory_sleeps(driver, make_supervisor, make_job):
    driver.says(100)
    supervisor = make_supervisor()
    before, spent = time.monotonic(), time.process_time()
    assert supervisor.events(1.0) == []
    assert time.monotonic() - before >= 1.0
    assert time.process_time() - spent < 0.5
    assert driver.asked == 2  # once for what there is, once for what is free


def test_a_stop_is_heard_while_jobs_wait_for_memory(driver, make_supervisor, make_job):
    driver.says(100)
    assert make_supervisor().run_all([make_job("a")], deadline=time.monotonic() + 0.5, attempts=3) == {}


def test_a_driver_that_falls_silent_gives_no_slot(driver, make_supervisor, tmp_path):
    supervisor = make_supervisor(gpus=("1",))
    driver.answer.unlink()
    assert supervisor.free == 0
    assert "gpu 1: its driver does not answer" in (tmp_path / "log.txt").read_text()


def test_whoever_asked_is_told_of_the_wait(driver, tmp_path, monkeypatch):
    driver.says(100, 200)
    told = []
    with open_executor(Machine(2), tmp_path / "log.txt", say=told.append) as executor:
        assert [executor.free, executor.free] == [0, 0]
    need = "a worker needs 9000 MB"
    assert told == [
        f"gpu 0: 100 MB of its memory are free, {need}; gpu 1: 200 MB of its memory are free, {need}; waiting for it"
    ]
    assert not (tmp_path / "log.txt").exists()


def test_no_worker_is_prepared_on_a_gpu(driver, make_supervisor):
    """It would take memory that others can use until there is a job."""
    driver.says(9_500)
    supervisor = make_supervisor()
    supervisor.prepare()
    assert supervisor._pool._idle == []


def test_no_worker_is_started_where_there_is_no_room(driver, make_supervisor, make_job, monkeypatch):
    monkeypatch.setattr(room, "FRESH_S", 0.0)
    monkeypatch.setattr(pool, "PROMISE_S", 0.0)
    driver.says(9_500)
    supervisor = make_supervisor(recycle_after=1)
    assert supervisor.run_all([make_job("a")])["a"].status == "done"
    driver.says(100)  # taken by somebody else between two folds
    with pytest.raises(Busy, match="no GPU has memory"):
        supervisor.submit(make_job("b"))
    assert (supervisor.free, supervisor.events(0.1)) == (0, [])
    driver.says(9_500)
    assert supervisor.free == 1
    assert supervisor.run_all([make_job("b")])["b"].status == "done"


def test_what_free_has_promised_is_kept(driver, make_supervisor, make_job, monkeypatch):
    monkeypatch.setattr(room, "FRESH_S", 0.05)
    monkeypatch.setattr(pool, "PROMISE_S", 60.0)
    driver.says(9_500)
    supervisor = make_supervisor()
    assert supervisor.free == 1
    driver.says(100)
    time.sleep(0.1)
    supervisor.submit(make_job("a", "silent"))
    assert supervisor.place("a") == "gpu 0"


def test_a_batch_waits_where_the_promise_fails(driver, make_supervisor, make_job, monkeypatch):
    driver.says(9_500)
    supervisor = make_supervisor()
    refusals = [Busy("gone"), Busy("gone")]
    submit = supervisor.submit

    def refused_twice(job):
        if refusals:
            raise refusals.pop()
        submit(job)

    monkeypatch.setattr(supervisor, "submit", refused_twice)
    assert supervisor.run_all([make_job("a")], attempts=1)["a"].status == "done"


def test_an_exception_on_a_gpu_ends_its_worker(driver, make_supervisor, make_job):
    driver.says(9_500)
    jobs = [
        make_job("a"),
        make_job("b", "raise_value_error"),
        make_job("c"),
        make_job("d", "not_finite"),
        make_job("e"),
    ]
    results = make_supervisor().run_all(jobs)
    assert [results[name].failure for name in "bd"] == ["exception", "non_finite"]
    assert results["a"].message != results["c"].message == results["e"].message


def test_memory_that_runs_out_in_a_used_worker_proves_nothing(driver, make_supervisor, make_job):
    driver.says(9_500)
    told = []
    jobs = [make_job("a"), make_job("b", "raise_gpu_exhausted"), make_job("c")]
    results = make_supervisor().run_all(jobs, attempts=1)
    assert (results["b"].failure, "since earlier jobs (1)" in results["b"].last_words) == ("lost", True)
    assert results["a"].message != results["c"].message
    results = make_supervisor().run_all(jobs, on_result=told.append, attempts=3)
    assert results["b"].failure == "device_memory"  # in a new worker
    assert [result.id for result in told] == ["a", "c", "b"]


def test_a_job_that_ran_out_of_memory_gets_a_new_worker(driver, make_supervisor, make_job, monkeypatch):
    """Even where used ones are idle."""
    monkeypatch.setattr(pool, "SETTLE_S", 0.0)
    driver.says(9_500, 9_500)
    supervisor = make_supervisor(2)
    supervisor.run_all([make_job("a", epochs=2), make_job("b", epochs=2)], on_report=lambda event: True)
    for expected in ("lost", "device_memory"):
        supervisor.submit(make_job("c", "raise_gpu_exhausted"))
        (event,) = supervisor.events(30)
        assert event.result.failure == expected


@pytest.mark.slow
def test_a_gpu_that_tensorflow_does_not_find_is_no_silent_processor(driver, make_job, tmp_path):
    """The real trainer's worker where the driver knows a GPU and TensorFlow does not."""
    driver.says(9_500)
    with open_executor(Machine(1), tmp_path / "log.txt") as executor:
        results = executor.run_all([make_job("a"), make_job("b")])
    for result in results.values():
        assert (result.status, result.failure) == ("failed", "no_device")
        for words in ("GPU-a0", "pip install 'fdsearch[gpu]'", '--gpus ""'):
            assert words in result.last_words


def test_memory_of_an_ended_worker_is_looked_at_again(driver, make_supervisor, make_job):
    driver.says(9_500)
    supervisor = make_supervisor(recycle_after=1)
    results = supervisor.run_all([make_job("a"), make_job("b")])
    assert results["a"].message != results["b"].message
    assert driver.asked == 3


@pytest.mark.slow
@pytest.mark.gpu
def test_a_worker_takes_its_share_and_no_more():
    """Where there is a GPU: TensorFlow's own word for the limit it runs under."""
    code = (
        "from fdsearch.execution.worker import _open_device; assert _open_device() is None\n"
        "import tensorflow as tf\n"
        "device = tf.config.list_physical_devices('GPU')[0]\n"
        "tf.zeros(1)\n"
        "print([part.memory_limit for part in tf.config.get_logical_device_configuration(device)])"
    )
    environment = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "0",
        DEVICE_MEMORY: "1000",
        "TF_FORCE_GPU_ALLOW_GROWTH": "false",
    }
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert answer.stdout.strip() == "[1000]", answer.stderr
