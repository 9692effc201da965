"""What executors tell their callers, and what executors have in common.

The events cross the pipe between worker and parent as they are, so they hold plain values.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from fdsearch.training.job import CurveRow, Job, Result

TRAINER = "fdsearch.training.trainer:fit"
"""What a job is run by, unless a test says otherwise."""


@dataclass(frozen=True)
class Reported:
    """A job finished an epoch and waits for an answer."""

    job_id: str
    epoch: int
    row: CurveRow


@dataclass(frozen=True)
class Alive:
    """A sign of life of a job that has nothing to report yet; executors keep it to themselves."""

    job_id: str


@dataclass(frozen=True)
class Finished:
    """A job ended; its `Result` says how."""

    result: Result


class Busy(RuntimeError):
    """No worker can be hired now: try again when `Executor.free` says so."""


Event = Reported | Finished
Say = Callable[[str], None]
"""Takes a line for a person."""
OnReport = Callable[[Reported], bool]
"""Called after each epoch; False ends the job now."""
OnResult = Callable[[Result], None]


class Executor(Protocol):
    """Workers that run jobs side by side: `Supervisor` on this machine, `RayExecutor` on a cluster.

    A context manager; its workers end with the block.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def free(self) -> int:
        """Jobs that can be submitted now; less than the idle workers where others use a GPU's memory."""

    def submit(self, job: Job) -> None:
        """Hand a job to a free worker; raise `Busy` if there is none, which `free` tells before."""

    def events(self, timeout: float) -> list[Event]:
        """Wait for news; each `Reported` must be followed by `answer`: its job waits for it.

        Where no job runs, at once if one can be submitted, else when one can or after `timeout` seconds.
        """

    def answer(self, job_id: str, proceed: bool) -> None:
        """Let a job that reported go on, or end it; no effect if it has ended."""

    def stop(self, job_id: str) -> None:
        """End a job at its next report; kill it if it goes on beyond the grace. No effect if it has ended."""

    def place(self, job_id: str) -> str:
        """Where a running job runs, in a word or two for a person: ``cpu 0``, ``gpu 1``; empty if unknown."""

    def run_all(
        self,
        jobs: Iterable[Job],
        on_report: OnReport | None = None,
        on_result: OnResult | None = None,
        deadline: float | None = None,
        should_stop: Callable[[], bool] | None = None,
        attempts: int = 1,
    ) -> dict[str, Result]:
        """Run jobs to their end.

        Parameters
        ----------
        jobs : iterable of Job
            With distinct ids.
        on_report : callable, optional
            Decides after each epoch whether its job goes on; without it every job does.
        on_result : callable, optional
            Told each job's last result as it comes.
        deadline : float, optional
            `time.monotonic()` seconds. From then on no job is started, and those that run are stopped.
        should_stop : callable, optional
            Asked between events; True has the effect of a passed deadline.
        attempts : int
            Times a job is run at most while it is lost with its process (`training.job.LOST`), 1 or more.

        Returns
        -------
        dict of str to Result
            By job id, in the order of `jobs`. Jobs that were never started are absent, and so are lost ones that had
            attempts left when time was up.

        Raises
        ------
        ValueError
            If two jobs have one id.
        """

    def close(self) -> None:
        """End all workers; what runs is lost."""


def distinct(jobs: Iterable[Job]) -> list[Job]:
    """The jobs as a list; ValueError if two have one id."""
    listed = list(jobs)
    twice = [job_id for job_id, number in Counter(job.id for job in listed).items() if number > 1]
    if twice:
        raise ValueError(f"two jobs have one id: {', '.join(twice)}")
    return listed


def is_over(deadline: float | None, should_stop: Callable[[], bool] | None) -> bool:
    """Whether the time is up or the caller wants to stop."""
    return (deadline is not None and time.monotonic() >= deadline) or (should_stop is not None and should_stop())
