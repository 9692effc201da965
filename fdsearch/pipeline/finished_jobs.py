"""Results of fits on disk, so that a run that was ended in its repeats continues there instead of training again."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from fdsearch.files import digest_file, digest_json, write_atomic
from fdsearch.training.job import Job, Result


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

    def _path(self, job: Job) -> Path:
        return self._folder / f"{job_digest(job)[:40]}.npz"


def job_digest(job: Job) -> str:
    """SHA-256 over all that decides a job's result, its id and its folders left out."""
    arrays = (job.labels, job.train, job.validation, job.monitor)
    return digest_json(
        [
            job.config.to_json(),
            job.pixels_digest,
            [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in arrays],
            job.n_classes,
            job.seed,
            [digest_file(path) for path in job.plugins],
            None if job.refit is None else asdict(job.refit),
        ]
    )
