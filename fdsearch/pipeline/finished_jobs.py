"""Results of fits on disk, so that a run that was ended in its repeats continues there instead of training again."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from fdsearch.files import write_atomic
from fdsearch.training.checkpoint import discard
from fdsearch.training.job import Job, Result, job_digest

REPEATS = "repeats"
"""Name of the folder in a run."""


class FinishedJobs:
    """A folder of finished results, one file per job, named by everything the result depends on.

    Parameters
    ----------
    folder : Path
        Made with the first result.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def known(self, jobs: Sequence[Job]) -> dict[str, Result]:
        """The results that are there already, by job id; a torn file counts as absent."""
        found = {job.id: self._load(job) for job in jobs}
        return {job_id: result for job_id, result in found.items() if result is not None}

    def keep(self, job: Job, result: Result) -> None:
        """Keep the result of a job that is done; of others, nothing."""
        if result.status != "done" or result.logits is None:
            return
        values = asdict(result)
        logits = values.pop("logits")
        content = io.BytesIO()
        np.savez(content, logits=logits, rest=np.frombuffer(json.dumps(values).encode(), np.uint8))
        write_atomic(self._path(job), content.getvalue(), durable=False)
        discard(self._checkpoint(job))

    def resumable(self, job: Job) -> Job:
        """The job with a place for its checkpoint, beside its result."""
        return replace(job, checkpoint=self._checkpoint(job))

    def clear(self) -> None:
        """Forget everything."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _load(self, job: Job) -> Result | None:
        try:
            with self._path(job).open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                values = json.loads(stored["rest"].tobytes())
                logits = stored["logits"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        tuples = {name: tuple(values[name]) for name in ("curve", "phase_epochs", "learning_rates", "effective_shares")}
        return Result(**{**values, **tuples, "id": job.id, "logits": logits})

    def _checkpoint(self, job: Job) -> Path:
        return self._path(job).with_suffix(".checkpoint")

    def _path(self, job: Job) -> Path:
        return self._folder / f"{job_digest(job)[:40]}.npz"
