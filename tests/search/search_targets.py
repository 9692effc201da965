"""What the workers of the search's tests run: a fit whose score is a known function of its parameters."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.files import write_atomic
from fdsearch.training.job import OF_THE_MACHINE, Job, Report, Result
from fdsearch.training.latency import Architecture, Latency, keep

BONUS = {"avg": 0.0, "avg_max": 0.1, "max": 0.2}
"""How much better each pooling is than the default."""
MILLISECONDS = {"avg": 5.0, "avg_max": 10.0, "max": 20.0}
"""What each pooling is said to take for a picture."""


def fit(job: Job, report: Report) -> Result:
    """Predict right with a probability that `custom_quality` sets; leave a line per call in ``calls.txt``."""
    custom = job.config.custom
    if job.latencies is not None:
        architecture = Architecture(job.config, job.n_classes, job.plugins)
        keep(job.latencies, architecture, Latency(MILLISECONDS[job.config.pooling], "keras", "the bench"))
    with (job.prefix_cache / "calls.txt").open("a") as stream:
        stream.write(f"{job.id}\n")
    if (failed := _failure(job, custom)) is not None:
        return failed
    quality = min(1.0, float(custom["custom_quality"]) + BONUS[job.config.pooling])
    n_epochs = int(custom.get("custom_epochs", 2))
    curve = [_row(epoch, quality) for epoch in range(_epochs_before(job, quality))]
    for epoch in range(len(curve), n_epochs):
        time.sleep(float(custom.get("custom_pause", 0.0)))
        curve.append(_row(epoch, quality))
        goes_on = report(epoch, curve[-1])
        if job.checkpoint is not None and (epoch == 0 or not goes_on):  # not after each epoch: that takes time
            write_atomic(job.checkpoint, f"{_fold(job)} {quality} {epoch + 1}".encode())
        if not goes_on:
            return Result(job.id, "stopped", epochs=epoch + 1)
        _die_of(job, str(custom.get("custom_fault")), epoch)
    logits = np.eye(2, dtype=np.float32)[predicted(job.seed, job.labels, job.validation, quality)]
    return Result(job.id, "done", logits, curve=tuple(curve), epochs=n_epochs)


def predicted(seed: int, labels: NDArray[np.int64], rows: NDArray[np.int64], quality: float) -> NDArray[np.int64]:
    """The classes a fit predicts for some rows."""
    right = np.random.default_rng(seed).random(len(rows)) < quality
    return np.where(right, labels[rows], 1 - labels[rows])


def _row(epoch: int, quality: float) -> dict[str, Any]:
    return {"epoch": epoch, "val_macro_f1": quality, "seconds": 1.0}


def _fold(job: Job) -> int:
    return int(job.id.rpartition("-")[2])


def _epochs_before(job: Job, quality: float) -> int:
    """Epochs of this very fit that an earlier attempt finished."""
    if job.checkpoint is None or not job.checkpoint.exists():
        return 0
    fold, before, epochs = job.checkpoint.read_text().split()
    return int(epochs) if (int(fold), float(before)) == (_fold(job), quality) else 0


def _failure(job: Job, custom: Any) -> Result | None:
    fault = custom.get("custom_fault")
    if fault == "raise":
        raise ValueError("a fault of the trial's own")
    if fault == "nan" or (fault == "nan_in_fold_1" and _fold(job) == 1):
        return Result(job.id, "failed", failure="non_finite", message="loss is nan")
    if fault in OF_THE_MACHINE and not (job.prefix_cache / "mended").exists():
        return Result(job.id, "failed", failure=fault, message=f"the words of {fault}")
    if custom.get("custom_size") == "large":
        return Result(job.id, "failed", failure="device_memory", message="out of memory")
    if fault == "die" and not (job.prefix_cache / "died").exists():
        Path(job.prefix_cache / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "die_always":
        os.kill(os.getpid(), signal.SIGKILL)
    return None


def _die_of(job: Job, fault: str, epoch: int) -> None:
    """Die in the second epoch of the second fold: ``die_in_fold_N`` means in the first N attempts."""
    if not fault.startswith("die_in_fold_") or (_fold(job), epoch) != (1, 1):
        return
    deaths = job.prefix_cache / "deaths"
    with deaths.open("a") as stream:
        stream.write("x")
    if len(deaths.read_text()) <= int(fault.rpartition("_")[2]):
        os.kill(os.getpid(), signal.SIGKILL)
