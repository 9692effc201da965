"""A full disk in the repeats ends the run: no candidate may fall out for what the machine lacks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fdsearch.errors import ResourceError
from fdsearch.execution.in_process import InProcess
from fdsearch.pipeline.finished_jobs import FinishedJobs, continued
from fdsearch.pipeline.interruption import Interruption
from fdsearch.training.job import OF_THE_MACHINE, Job
from fdsearch.trial import TrialConfig

TARGET = """
from fdsearch.execution.failures import failed

def fit(job, report):
    return failed(job.id, job.config.custom["custom_failure"], "no room in /tmp/checkpoints")
"""


def job(failure: str) -> Job:
    rows = np.arange(4)
    config = TrialConfig.from_params({"phases": "probe", "custom_failure": failure})
    none = Path("none")
    return Job(f"{failure}-r0-f0", config, none, "pixels", rows % 2, 2, rows, rows, rows[:0], 0, none)


@pytest.fixture
def run_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "machine_target.py").write_text(TARGET)
    monkeypatch.syspath_prepend(str(tmp_path))
    executor = InProcess(target="machine_target:fit")
    running: Any = SimpleNamespace(executor=executor, interruption=Interruption(), log=None)
    return continued(running, FinishedJobs(tmp_path / "repeats"))


@pytest.mark.parametrize("failure", sorted(OF_THE_MACHINE))
def test_it_ends_the_run_and_says_what_is_missing(run_all: Any, failure: str) -> None:
    with pytest.raises(ResourceError) as caught:
        run_all([job(failure)], on_result=lambda result: None, deadline=None, attempts=3)
    assert "no room" in caught.value.faults[0].got
    assert caught.value.exit_code == 7


def test_a_failure_of_the_candidate_s_own_is_handed_on(run_all: Any) -> None:
    results = run_all([job("exception")], on_result=lambda result: None, deadline=None, attempts=3)
    assert [result.failure for result in results.values()] == ["exception"]
