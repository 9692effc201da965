"""Train the best trials again, all on the same new folds with the same new seeds, repeat by repeat.

A repeat is run for all candidates or for none, so that every comparison is paired and complete. The folds come from
`fdsearch.data.partition.repeat_folds`, the jobs go to an executor of `fdsearch.execution`; what the predictions are
worth is said by `scores`, `comparison` and `decision`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from fdsearch.data.folds import Fold
from fdsearch.errors import Fault, ResourceError
from fdsearch.execution.events import OnResult
from fdsearch.progress import Progress, Silent
from fdsearch.selection.candidate import Candidate, out_of_fold
from fdsearch.training.job import Job, JobMaker, Result, job_digest
from fdsearch.trial import TrialConfig

_ATTEMPTS = 3
"""A fit that is lost with its process is tried this often."""


class RunAll(Protocol):
    """The executor's method, or a wrapper that stores results by job id to continue after a kill."""

    def __call__(
        self, jobs: Sequence[Job], *, on_result: OnResult, deadline: float | None, attempts: int
    ) -> Mapping[str, Result]: ...


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """The candidates on common folds.

    Parameters
    ----------
    candidates : tuple of Candidate
        Those that were trained in every repeat, in the order given.
    n_repeats : int
        Repeats that were finished, 1 or more.
    failures : mapping of str to str
        Candidates that fell out, with their failure.
    notes : tuple of str
        What a person should know: repeats that were not run, candidates that fell out.
    """

    candidates: tuple[Candidate, ...]
    n_repeats: int
    failures: Mapping[str, str]
    notes: tuple[str, ...]

    def __getitem__(self, name: str) -> Candidate:
        """The candidate of that name; KeyError where it fell out."""
        return {candidate.name: candidate for candidate in self.candidates}[name]


def cross_validate(
    candidates: Sequence[tuple[str, TrialConfig]],
    repeats: Sequence[Sequence[Fold]],
    maker: JobMaker,
    run_all: RunAll,
    *,
    single_split: bool = False,
    random_state: int = 0,
    deadline: float | None = None,
    models: Path | None = None,
    progress: Progress | None = None,
) -> CrossValidation:
    """Cross-validate all candidates on the same folds, repeat by repeat.

    Parameters
    ----------
    candidates : sequence of (str, TrialConfig)
        With distinct names.
    repeats : sequence of sequence of Fold
        The folds of each repeat, rows of the dataset.
    maker : JobMaker
    run_all : RunAll
        Job ids are ``NAME-rREPEAT-fFOLD``, the same in every call; a lost job is tried again under its id.
    single_split : bool
        Early stopping watches the one fold's validation part instead of an inner part of the training rows.
    random_state : int
        The seed of a fit follows from this, the repeat and the fold, so that candidates differ in nothing else.
    deadline : float, optional
        `time.monotonic()` seconds. The first repeat is always run; a further one only where the longest repeat so far
        would fit, and it is dropped where it does not finish.
    models : Path, optional
        Folder for the models of the first repeat's folds, each named by all that decides it; without it none is saved.
    progress : Progress, optional

    Returns
    -------
    CrossValidation

    Raises
    ------
    ValueError
        If two candidates have one name.
    ResourceError
        If no candidate got through all repeats that were run.
    """
    run = _Run(maker, run_all, single_split, random_state, models, progress or Silent())
    if len({name for name, _ in candidates}) < len(candidates):
        raise ValueError("candidates must have distinct names")
    alive, failures, notes = dict(candidates), dict[str, str](), list[str]()
    finished: list[dict[str, tuple[Result, ...]]] = []
    first_jobs: dict[str, list[Job]] = {}
    longest = 0.0
    for index, folds in enumerate(repeats):
        started = time.monotonic()
        left = math.inf if deadline is None or index == 0 else deadline - started
        if longest > left:
            notes.append(
                f"repeat {index + 1} was not run: it takes about {longest:.0f} s, {max(0.0, left):.0f} s are left"
            )
            break
        jobs = run.jobs(index, alive, folds)
        first_jobs = first_jobs or jobs
        results = run.repeat(index, jobs, deadline if index else None)
        fallen = _failures(results)
        if finished and len(fallen) == len(alive):
            notes.append(f"repeat {index + 1} does not count: every candidate failed in it")
            break
        alive = {name: config for name, config in alive.items() if name not in fallen}
        failures |= fallen
        notes += [f"candidate {name} fell out in repeat {index + 1}: {why}" for name, why in fallen.items()]
        if not alive or not all(_complete(results[name], folds) for name in alive):
            notes.append(f"repeat {index + 1} does not count: it was not finished")
            break
        finished.append(results)
        longest = max(longest, time.monotonic() - started)
    if not finished or not alive:
        raise _none_left(failures)
    records = []
    for name, config in alive.items():
        fits = tuple(repeat[name] for repeat in finished)
        logits = out_of_fold(fits, repeats[: len(finished)], len(maker.labels), maker.n_classes)
        records.append(Candidate(name, config, logits, fits, tuple(first_jobs[name])))
    return CrossValidation(tuple(records), len(finished), failures, tuple(notes))


def saving(job: Job, models: Path) -> Job:
    """The job with a place for its model in a folder.

    The name holds the digest of all that decides the fit: a file that an earlier state of the data left is never taken
    for this fit's.
    """
    return replace(job, save_to=models / f"{job.id}-{job_digest(job)[:12]}.keras")


@dataclass(frozen=True)
class _Run:
    """Runs one repeat of all candidates."""

    maker: JobMaker
    run_all: RunAll
    single_split: bool
    random_state: int
    models: Path | None
    progress: Progress

    def jobs(self, index: int, alive: Mapping[str, TrialConfig], folds: Sequence[Fold]) -> dict[str, list[Job]]:
        """The fits of every candidate on every fold of a repeat, by name."""
        jobs: dict[str, list[Job]] = {name: [] for name in alive}
        for name, config in alive.items():
            for number in range(len(folds)):
                job = self.maker.fold_job(
                    f"{name}-r{index}-f{number}",
                    config,
                    folds,
                    number,
                    random_state=self.random_state,
                    repeat=index,
                    single_split=self.single_split,
                )
                jobs[name].append(saving(job, self.models) if self.models is not None and index == 0 else job)
        return jobs

    def repeat(
        self, index: int, jobs: Mapping[str, Sequence[Job]], deadline: float | None
    ) -> dict[str, tuple[Result, ...]]:
        """Train every candidate on every fold; the results by name, fewer than folds where time ran out."""
        every = [job for of_one in jobs.values() for job in of_one]
        results = self._run(f"repeat {index + 1}", every, deadline)
        return {name: tuple(results[job.id] for job in of_one if job.id in results) for name, of_one in jobs.items()}

    def _run(self, task: str, jobs: Sequence[Job], deadline: float | None) -> Mapping[str, Result]:
        done: set[str] = set()

        def count(result: Result) -> None:
            done.add(result.id)
            self.progress.track(task, len(done), len(jobs))

        return self.run_all(jobs, on_result=count, deadline=deadline, attempts=_ATTEMPTS)


def _failures(results: Mapping[str, Sequence[Result]]) -> dict[str, str]:
    """The first failure of each candidate that has one."""
    found: dict[str, str] = {}
    for name, fits in results.items():
        for result in fits:
            if result.status == "failed" and name not in found:
                found[name] = f"{result.id} failed ({result.failure}): {result.last_words}"
    return found


def _complete(results: Sequence[Result], folds: Sequence[Fold]) -> bool:
    return len(results) == len(folds) and all(result.status == "done" for result in results)


def _none_left(failures: Mapping[str, str]) -> ResourceError:
    if not failures:
        return ResourceError("cross-validation was stopped before its first repeat was finished")
    fix = "see the run's log; a smaller image_size or batch_size needs less memory"
    faults = [Fault(f"candidate {name}", why, "a finished fit", fix) for name, why in failures.items()]
    return ResourceError("no candidate could be cross-validated", faults)
