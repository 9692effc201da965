"""Many jobs run to their end on any executor: `Executor.run_all` in terms of its other methods.

A job that was lost with its process is tried again here, so that selection and refit need not.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable

from fdsearch.execution.events import Busy, Executor, OnReport, OnResult, Reported, distinct, is_over
from fdsearch.training.job import LOST, Job, Result

POLL = 0.5
"""Seconds between two looks at `should_stop`."""


def run_all(
    executor: Executor,
    jobs: Iterable[Job],
    on_report: OnReport | None,
    on_result: OnResult | None,
    deadline: float | None,
    should_stop: Callable[[], bool] | None,
    attempts: int,
) -> dict[str, Result]:
    """Run jobs to their end on an executor that runs nothing else; see `Executor.run_all`."""
    jobs = distinct(jobs)
    batch = _Batch(jobs, attempts)
    try:
        while batch.waiting or batch.running:
            if is_over(deadline, should_stop):
                batch.waiting.clear()
                for job_id in batch.running:
                    executor.stop(job_id)
            while batch.waiting and executor.free and batch.submits(executor):
                pass
            for event in executor.events(POLL):
                if isinstance(event, Reported):
                    executor.answer(event.job_id, on_report is None or on_report(event))
                elif batch.settles(event.result) and on_result is not None:
                    on_result(event.result)
    except BaseException:
        executor.close()  # the caller is interrupted or mistaken; either way nobody waits for the rest
        raise
    return {job.id: batch.results[job.id] for job in jobs if job.id in batch.results}


class _Batch:
    """Which jobs wait, run, and are done."""

    def __init__(self, jobs: list[Job], attempts: int) -> None:
        self.waiting = deque(jobs)
        self.running: dict[str, Job] = {}
        self.results: dict[str, Result] = {}
        self._attempts = attempts
        self._tries = Counter[str]()

    def submits(self, executor: Executor) -> bool:
        """Whether the next job could be submitted; else it goes on waiting."""
        job = self.waiting[0]
        try:
            executor.submit(job)
        except Busy:  # the room that was free a moment ago is gone
            return False
        self.running[job.id] = self.waiting.popleft()
        self._tries[job.id] += 1
        return True

    def settles(self, result: Result) -> bool:
        """Whether a result is its job's last; else the job waits for another try."""
        job = self.running.pop(result.id)
        if result.failure in LOST and self._tries[job.id] < self._attempts:
            self.waiting.append(job)
            return False
        self.results[job.id] = result
        return True
