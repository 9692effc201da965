"""Jobs and supervisors whose workers run `execution_targets`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fdsearch.execution.supervisor import Supervisor
from fdsearch.training.job import Job
from fdsearch.trial import TrialConfig

MakeJob = Callable[..., Job]
MakeSupervisor = Callable[..., Supervisor]


@pytest.fixture
def make_job(tmp_path: Path) -> MakeJob:
    """Make a job that does one of the acts of `execution_targets`."""

    def make(job_id: str, act: str = "train", *, epochs: int = 1, seed: int = 0, **changes: Any) -> Job:
        values = {
            "config": TrialConfig.from_params({"custom_act": act, "custom_epochs": epochs}),
            "pixels": tmp_path / "pixels.npy",
            "pixels_digest": "0" * 64,
            "labels": np.arange(6) % 2,
            "n_classes": 2,
            "train": np.arange(4),
            "validation": np.arange(4, 6),
            "monitor": np.empty(0, np.int64),
            "prefix_cache": tmp_path / "prefix",
        }
        return Job(id=job_id, seed=seed, **{**values, **changes})

    return make


@pytest.fixture
def make_supervisor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MakeSupervisor]:
    """Make supervisors, closed with the test."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with ExitStack() as stack:

        def make(n_workers: int = 1, **options: Any) -> Supervisor:
            defaults = {"threads_per_worker": 1, "log": tmp_path / "log.txt", "target": "execution_targets:fit"}
            return stack.enter_context(Supervisor(n_workers, **{**defaults, **options}))

        yield make
