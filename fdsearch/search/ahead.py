"""Folds ahead of their turn: what idle workers do when no further trial is to be started.

A trial's folds follow one another, because it may be pruned between two. At the end of a search that leaves workers
idle while the last trials go on alone, so their later folds are begun early and kept until it is their turn. A job is
the same whenever it runs; only its time is wasted where the trial is pruned first. `loop` submits through this as it
would to the executor itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from fdsearch.errors import ResourceError
from fdsearch.execution.events import Busy, Event, Executor, Finished, Reported
from fdsearch.search.attempt import Attempt
from fdsearch.training.job import LOST, CurveRow, Job

_DRAIN_POLL_S = 0.5


class Begin(Protocol):
    """Makes the job of a fold of a trial."""

    def __call__(self, attempt: Attempt, fold: int) -> Job: ...


@dataclass
class Early:
    """A fold that was begun early: what it has reported, and its end."""

    attempt: Attempt
    fold: int
    rows: list[CurveRow] = field(default_factory=list)
    finished: Finished | None = None


class FoldsAhead:
    """An executor's workers, and the folds that run on them before their turn.

    Parameters
    ----------
    executor : Executor
    begin : callable
        The job of a trial's fold.
    """

    def __init__(self, executor: Executor, begin: Begin) -> None:
        self._executor, self._begin = executor, begin
        self._early: dict[str, Early] = {}
        self._ended: set[str] = set()  # early folds that are of no use any more, until their workers say so
        self._failed: set[str] = set()
        self._too_much: set[int] = set()  # trials of which an early fold was lost with its process
        self._news: list[Event] = []
        self._replayed: list[str] = []

    @property
    def free(self) -> int:
        """Jobs that can be submitted now."""
        return self._executor.free

    @property
    def early(self) -> dict[str, Early]:
        """The folds that run before their turn, by the ids of their jobs."""
        return {job_id: early for job_id, early in self._early.items() if early.finished is None}

    def tend(self, attempts: Iterable[Attempt], *, fill: bool) -> None:
        """End the early folds of all but these trials and, if `fill`, begin more of them on idle workers."""
        running = {attempt.number: attempt for attempt in attempts}
        for job_id in [job_id for job_id, early in self._early.items() if early.attempt.number not in running]:
            if self._early.pop(job_id).finished is None:
                self._ended.add(job_id)
                self._executor.stop(job_id)
        if fill:
            for attempt, fold in _later_folds(running.values()):
                if not self._executor.free:
                    break
                self._start(attempt, fold)

    def _start(self, attempt: Attempt, fold: int) -> None:
        if attempt.retried or attempt.number in self._too_much:  # copies beside it may be what takes its memory
            return
        job = self._begin(attempt, fold)
        if job.id in self._early or job.id in self._failed or job.id in self._ended:
            return
        try:
            self._executor.submit(job)
        except (Busy, ResourceError):  # where the machine gives no process, those that run are enough
            return
        self._early[job.id] = Early(attempt, fold)

    def submit(self, job: Job) -> None:
        """Hand over a job whose turn it is; one that was begun early goes on, or has ended already."""
        early = self._early.pop(job.id, None)
        if early is None:
            self._executor.submit(job)
            return
        self._news += [Reported(job.id, int(row["epoch"]), row) for row in early.rows if early.finished is None]
        self._replayed += [job.id for _ in early.rows if early.finished is None]
        if early.finished is not None:
            self._news.append(early.finished)

    def events(self, timeout: float) -> list[Event]:
        """News of the jobs whose turn it is; see `Executor.events`."""
        news, self._news = self._news, []
        for event in self._executor.events(0.0 if news else timeout):
            job_id = event.result.id if isinstance(event, Finished) else event.job_id
            if job_id in self._ended:
                self._of_no_use(event)
            elif job_id in self._early:
                self._keep(job_id, event)
            else:
                news.append(event)
        return news

    def _of_no_use(self, event: Event) -> None:
        if isinstance(event, Finished):
            self._ended.discard(event.result.id)
        else:
            self._executor.answer(event.job_id, False)

    def _keep(self, job_id: str, event: Event) -> None:
        if isinstance(event, Reported):
            self._early[job_id].rows.append(event.row)
            self._executor.answer(job_id, True)
        elif event.result.status == "done":
            self._early[job_id].finished = event
        else:  # it will fail again when it is its turn, and then somebody is told
            early = self._early.pop(job_id)
            self._failed.add(job_id)
            if event.result.failure in LOST:
                self._too_much.add(early.attempt.number)

    def answer(self, job_id: str, proceed: bool) -> None:
        """Let a job that reported go on, or end it."""
        if job_id in self._replayed:  # that report was answered when it came
            self._replayed.remove(job_id)
            if not proceed:
                self._executor.stop(job_id)
        else:
            self._executor.answer(job_id, proceed)

    def stop(self, job_id: str) -> None:
        """End a job; see `Executor.stop`."""
        self._executor.stop(job_id)

    def place(self, job_id: str) -> str:
        """Where a job runs; see `Executor.place`."""
        return self._executor.place(job_id)

    def drain(self) -> None:
        """End what was begun early, and wait for it: the executor's next user finds all workers idle."""
        self.tend((), fill=False)
        while self._ended:
            self.events(_DRAIN_POLL_S)


def _later_folds(attempts: Iterable[Attempt]) -> Iterator[tuple[Attempt, int]]:
    """The folds whose turn will come, the next one of each trial first, of the trials with most before them."""
    ordered = sorted(attempts, key=lambda attempt: (attempt.fold, attempt.number))
    most = max((len(attempt.folds) for attempt in ordered), default=0)
    for ahead in range(1, most):
        for attempt in ordered:
            if attempt.fold + ahead < len(attempt.folds):
                yield attempt, attempt.fold + ahead
