"""Results of fits on disk, so that a run that was ended in its repeats continues there instead of training again.

`candidates`, `agreement` and `beside` train through `continued`.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from fdsearch.execution.events import OnResult, Reported
from fdsearch.execution.failures import machine_error
from fdsearch.files import write_atomic
from fdsearch.pipeline.folder import Running
from fdsearch.selection.cross_validation import RunAll
from fdsearch.training.checkpoint import discard
from fdsearch.training.job import OF_THE_MACHINE, Job, Result, job_digest

REPEATS = "repeats"
"""Name of the folder in a run."""

MODELS = "models"
"""Name of the folder of the folds' models in it."""

ROOM_PER_MODEL = 800 << 20
"""Bytes that must be free for each model of a fold before any is saved: twice the largest network of our own."""


class FinishedJobs:
    """A folder of finished results, one file per job, named by everything the result depends on.

    Parameters
    ----------
    folder : Path
        Made with the first result.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def models(self) -> Path:
        """Where the models of folds lie."""
        return self._folder / MODELS

    def models_if_room(self, n_models: int) -> Path | None:
        """`models`, or None where so many may not fit: they can be trained again, but a full disk ends the run."""
        place = next(folder for folder in (self._folder, *self._folder.parents) if folder.exists())
        return self.models if shutil.disk_usage(place).free >= n_models * ROOM_PER_MODEL else None

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


def continued(run: Running, finished: FinishedJobs) -> RunAll:
    """The executor's `run_all`, which skips what an earlier run finished and ends with `Interrupted` on a signal."""

    def run_all(
        jobs: Sequence[Job], *, on_result: OnResult, deadline: float | None, attempts: int
    ) -> Mapping[str, Result]:
        results = finished.known(jobs)
        by_id = {job.id: job for job in jobs}
        for result in results.values():
            on_result(result)

        def keep(result: Result) -> None:
            if result.failure in OF_THE_MACHINE:  # no candidate may fall out for it
                raise machine_error(result)
            finished.keep(by_id[result.id], result)
            on_result(result)

        def alive(event: Reported) -> bool:
            run.log.update()
            return True

        waiting = [finished.resumable(job) for job in jobs if job.id not in results]
        stop = run.interruption.requested
        results |= run.executor.run_all(waiting, alive, keep, deadline, stop, attempts)
        run.interruption.check()
        return results

    return run_all
