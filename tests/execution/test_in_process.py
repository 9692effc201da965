"""The executor for debuggers: the contract of `run_all`, with exceptions let through."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fdsearch.execution.events import Executor
from fdsearch.execution.in_process import InProcess
from fdsearch.execution.supervisor import Supervisor


@pytest.fixture
def executor(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with InProcess(target="execution_targets:fit") as executor:
        yield executor


def test_both_executors_keep_one_contract():
    executors: list[Executor] = [InProcess(), Supervisor(threads_per_worker=1)]
    assert len(executors) == 2  # the type checker does the work


def test_jobs_run_in_order(executor, make_job):
    told = []
    results = executor.run_all(
        [make_job("a", epochs=3), make_job("b", epochs=3)],
        on_report=lambda event: event.job_id == "a" or event.epoch < 1,
        on_result=lambda result: told.append(result.id),
    )
    assert [(result.id, result.status) for result in results.values()] == [("a", "done"), ("b", "stopped")]
    assert told == ["a", "b"]


def test_exceptions_reach_the_debugger(executor, make_job):
    with pytest.raises(ValueError, match="a wrong value"):
        executor.run_all([make_job("a", "raise_value_error")])


def test_unusable_results_are_failed(executor, make_job):
    assert executor.run_all([make_job("a", "not_finite")])["a"].failure == "non_finite"


def test_time_that_is_up(executor, make_job):
    assert executor.run_all([make_job("a")], deadline=time.monotonic() - 1) == {}
    reports = []
    results = executor.run_all(
        [make_job("a", epochs=100), make_job("b")],
        on_report=lambda event: reports.append(event) or True,
        should_stop=lambda: len(reports) >= 2,
    )
    assert [(result.id, result.status, result.epochs) for result in results.values()] == [("a", "stopped", 2)]


def test_two_jobs_with_one_id_are_refused(executor, make_job):
    with pytest.raises(ValueError, match="one id: a"):
        executor.run_all([make_job("a"), make_job("a")])
