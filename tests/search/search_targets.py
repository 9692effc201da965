"""What the workers of the search's tests run: a fit whose score is a known function of its parameters."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from fdsearch.training.job import Job, Report, Result


def fit(job: Job, report: Report) -> Result:
    """Predict right with a probability that `learning_rate` sets; leave a line per call in ``calls.txt``."""
    custom = job.config.custom
    with (job.prefix_cache / "calls.txt").open("a") as stream:
        stream.write(f"{job.id}\n")
    if custom.get("custom_fault") == "raise":
        raise ValueError("a fault of the trial's own")
    if custom.get("custom_fault") == "nan":
        return Result(job.id, "failed", failure="non_finite", message="loss is nan")
    if custom.get("custom_fault") == "die" and not (job.prefix_cache / "died").exists():
        Path(job.prefix_cache / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if custom.get("custom_fault") == "die_always":
        os.kill(os.getpid(), signal.SIGKILL)
    quality = float(custom["custom_quality"])
    rng = np.random.default_rng(job.seed)
    right = rng.random(len(job.validation)) < quality
    predicted = np.where(right, job.labels[job.validation], 1 - job.labels[job.validation])
    for epoch in range(int(custom.get("custom_epochs", 2))):
        time.sleep(float(custom.get("custom_pause", 0.0)))
        if not report(epoch, {"epoch": epoch, "val_macro_f1": quality}):
            return Result(job.id, "stopped", epochs=epoch + 1)
    return Result(job.id, "done", np.eye(2, dtype=np.float32)[predicted], epochs=2)
