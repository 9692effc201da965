"""Results on disk: found again for the same fit, for no other, and never half."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fdsearch.pipeline.finished_jobs import ROOM_PER_MODEL, FinishedJobs, job_digest
from fdsearch.training.job import Job, Refit, Result
from fdsearch.trial import TrialConfig

EMPTY = np.empty(0, np.int64)
JOB = Job(
    id="trial-3-r0-f1",
    config=TrialConfig.from_params({"phases": "head", "epochs": 2}),
    pixels=Path("pixels.npy"),
    pixels_digest="pixels",
    labels=np.arange(6) % 2,
    n_classes=2,
    train=np.arange(4),
    validation=np.arange(4, 6),
    monitor=EMPTY,
    seed=7,
    prefix_cache=Path("prefix"),
)
RESULT = Result(
    JOB.id,
    "done",
    logits=np.array([[0.5, -0.5], [1.0, 2.0]], np.float32),
    curve=({"epoch": 0, "phase": "head", "loss": 0.3, "val_f1": [0.5, 1.0]},),
    epochs=1,
    phase_epochs=(0, 1),
    learning_rates=(1e-3,),
    effective_shares=(0.5, 0.5),
    seconds=1.5,
)


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    finished = FinishedJobs(tmp_path / "repeats")
    assert finished.known([JOB]) == {}
    finished.keep(JOB, RESULT)
    found = finished.known([JOB])[JOB.id]
    assert np.array_equal(found.logits, RESULT.logits)
    assert replace(found, logits=None) == replace(RESULT, logits=None)
    finished.clear()
    assert finished.known([JOB]) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 8},
        {"train": np.array([0, 1, 2])},
        {"monitor": np.array([3])},
        {"labels": np.array([1, 0, 1, 0, 1, 1])},
        {"config": TrialConfig.from_params({"phases": "head", "epochs": 3})},
        {"pixels_digest": "others"},
        {"refit": Refit(3)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_fit_has_another_name(changes: dict[str, Any]) -> None:
    assert job_digest(replace(JOB, **changes)) != job_digest(JOB)
    assert job_digest(replace(JOB, id="other", save_to=Path("x"))) == job_digest(JOB)


@pytest.mark.parametrize("status", ["failed", "stopped"])
def test_only_what_is_done_is_kept(tmp_path: Path, status: str) -> None:
    finished = FinishedJobs(tmp_path)
    finished.keep(JOB, replace(RESULT, status=status))
    assert list(tmp_path.iterdir()) == []


def test_a_torn_file_counts_as_absent(tmp_path: Path) -> None:
    finished = FinishedJobs(tmp_path)
    finished.keep(JOB, RESULT)
    [file] = tmp_path.iterdir()
    for length in (0, 40, file.stat().st_size - 1):
        file.write_bytes(file.read_bytes()[:length])
        assert finished.known([JOB]) == {}


def test_models_lie_beside_the_results_and_go_with_them(tmp_path: Path) -> None:
    finished = FinishedJobs(tmp_path / "repeats")
    finished.models.mkdir(parents=True)
    (finished.models / "a-r0-f0-0123456789ab.keras").touch()
    finished.keep(JOB, RESULT)
    assert JOB.id in finished.known([replace(JOB, save_to=tmp_path / "absent.keras")]), "scores outlive the models"
    finished.clear()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("n_models", "saved"), [(10, True), (11, False)])
def test_models_are_saved_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_models: int, saved: bool
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=10 * ROOM_PER_MODEL)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage if place == tmp_path else pytest.fail(str(place)))
    finished = FinishedJobs(tmp_path / "run" / "repeats")
    assert finished.models_if_room(n_models) == (finished.models if saved else None)
