"""Runs jobs in worker processes that live across jobs; a worker's death is a failed result, never the caller's.

Used by the search, event by event, and by the selection through `run_all`. Each running job is a `Conversation`.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType
from typing import Self

from fdsearch.execution import slots
from fdsearch.execution.conversation import Conversation
from fdsearch.execution.events import TRAINER, Event, Finished, OnReport, OnResult, Reported, distinct, is_over
from fdsearch.execution.failures import MEMORY_FAILURES
from fdsearch.execution.process import WorkerProcess
from fdsearch.training.job import Job, Result

POLL = 0.5
"""Seconds between two looks at `should_stop`, and at whether the workers live."""


class Supervisor:
    """Worker processes that run jobs; a context manager, used by one thread.

    Workers are started when a job needs one. They end with the supervisor, and with this process however it ends.

    Parameters
    ----------
    n_workers : int
        Jobs that run at the same time.
    threads_per_worker : int, optional
        Limit of each worker's thread pools; by default the cores of this machine, divided.
    recycle_after : int
        Jobs after which a worker is replaced, because TensorFlow's memory grows from job to job.
    memory_limit_mb : int, optional
        A worker that holds more than this after a job is replaced (MiB, mapped files not counted); by default its part
        of 80 % of the machine's memory.
    log : Path, optional
        File to which the workers' output is appended; by default this process's stderr.
    target : str
        ``module:function`` that runs a job: ``(Job, Report) -> Result``.
    stop_grace : float
        Seconds a job has to end after `stop`, before it is killed.

    Examples
    --------
    >>> with Supervisor(n_workers=2, threads_per_worker=1) as supervisor:
    ...     supervisor.free
    2
    """

    def __init__(
        self,
        n_workers: int = 1,
        threads_per_worker: int | None = None,
        recycle_after: int = 50,
        memory_limit_mb: int | None = None,
        *,
        log: Path | None = None,
        target: str = TRAINER,
        stop_grace: float = 20.0,
    ) -> None:
        if n_workers < 1:
            raise ValueError(f"n_workers is {n_workers}; expected at least 1")
        self.n_workers = n_workers
        self._threads = slots.threads_per_worker(n_workers) if threads_per_worker is None else threads_per_worker
        self._recycle_after = recycle_after
        self._memory_limit_mb = slots.memory_limit_mb(n_workers) if memory_limit_mb is None else memory_limit_mb
        self._log = log
        self._target = target
        self._stop_grace = stop_grace
        self._idle: list[WorkerProcess] = []
        self._running: dict[str, Conversation] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def free(self) -> int:
        """Jobs that can be submitted now."""
        return self.n_workers - len(self._running)

    def submit(self, job: Job) -> None:
        """Hand a job to a free worker.

        Raises
        ------
        RuntimeError
            If no worker is free.
        ValueError
            If a job with this id is running.
        ResourceError
            If a worker is needed and the system gives no process.
        """
        if not self.free:
            raise RuntimeError(f"all {self.n_workers} workers are busy; wait for a Finished event first")
        if job.id in self._running:
            raise ValueError(f"job {job.id} is running already")
        worker = self._hire(job)
        try:
            self._running[job.id] = Conversation(job, worker)
        except BaseException:  # the job cannot be pickled, or the caller was interrupted halfway
            worker.end()
            raise

    def events(self, timeout: float) -> list[Event]:
        """Wait for news.

        Parameters
        ----------
        timeout : float
            Seconds.

        Returns
        -------
        list of Reported or Finished
            In order for each job; empty after `timeout` seconds without news, or at once if no job runs. Each
            `Reported` must be followed by `answer`: its job waits for it.
        """
        give_up = time.monotonic() + timeout
        while True:
            self._wait(give_up)
            news = [event for conversation in self._running.values() for event in conversation.hear()]
            for event in news:
                if isinstance(event, Finished):
                    self._release(self._running.pop(event.result.id).worker, event.result)
            if news or not self._running or time.monotonic() >= give_up:
                return news

    def answer(self, job_id: str, proceed: bool) -> None:
        """Let a job that reported go on, or end it; no effect if it was stopped or lost in the meantime."""
        if job_id in self._running:
            self._running[job_id].answer(proceed)

    def stop(self, job_id: str) -> None:
        """End a job at its next report; kill it if it goes on beyond the grace. No effect if it has ended."""
        if job_id in self._running:
            self._running[job_id].stop(self._stop_grace)

    def place(self, job_id: str) -> str:
        """Where a running job runs; see `Executor.place`."""
        return f"worker {self._running[job_id].worker.slot}" if job_id in self._running else ""

    def run_all(
        self,
        jobs: Iterable[Job],
        on_report: OnReport | None = None,
        on_result: OnResult | None = None,
        deadline: float | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> dict[str, Result]:
        """Run jobs to their end; see `Executor.run_all`.

        Raises
        ------
        RuntimeError
            If jobs handed to `submit` are still running.
        """
        if self._running:
            raise RuntimeError(f"jobs are running already: {', '.join(self._running)}")
        jobs = distinct(jobs)
        waiting, results = deque(jobs), dict[str, Result]()
        try:
            while waiting or self._running:
                if is_over(deadline, should_stop):
                    waiting.clear()
                    for conversation in self._running.values():
                        conversation.stop(self._stop_grace)
                while waiting and self.free:
                    self.submit(waiting.popleft())
                for event in self.events(POLL):
                    if isinstance(event, Reported):
                        self.answer(event.job_id, on_report is None or on_report(event))
                        continue
                    results[event.result.id] = event.result
                    if on_result is not None:
                        on_result(event.result)
        except BaseException:
            self.close()  # the caller is interrupted or mistaken; either way nobody waits for the rest
            raise
        return {job.id: results[job.id] for job in jobs if job.id in results}

    def close(self) -> None:
        """End all workers; what runs is lost. The supervisor can be used again."""
        for worker in [*self._idle, *(conversation.worker for conversation in self._running.values())]:
            worker.end()
        self._idle.clear()
        self._running.clear()

    def _wait(self, give_up: float) -> None:
        """Sleep until a worker speaks or dies, a grace ends, it is time to give up, or for `POLL` seconds.

        A dead worker's pipe is usually closed, which ends the sleep; but a process it started may hold it open.
        """
        running = self._running.values()
        if not running or any(conversation.worker.connection.closed for conversation in running):
            return  # nobody to wait for, or a job that was not taken, which is news
        ends = [conversation.kill_at for conversation in running if conversation.kill_at is not None]
        pause = max(0.0, min([give_up, *ends]) - time.monotonic())
        wait([conversation.worker.connection for conversation in running], min(pause, POLL))

    def _hire(self, job: Job) -> WorkerProcess:
        """Return an idle worker, if possible one that built this job's model before, else a new one."""
        for worker in [worker for worker in self._idle if not worker.alive]:
            self._idle.remove(worker)
            worker.end()
        if self._idle:
            best = max(self._idle, key=lambda worker: worker.last == job.config)
            self._idle.remove(best)
            return best
        taken = {conversation.worker.slot for conversation in self._running.values()}
        slot = next(slot for slot in range(self.n_workers) if slot not in taken)
        environment = slots.worker_environment(slot, self._threads, os.environ)
        return WorkerProcess(slot, self._target, environment, self._log)

    def _release(self, worker: WorkerProcess, result: Result) -> None:
        """Keep a worker for the next job, or end it if it is used up."""
        used_up = worker.jobs >= self._recycle_after or result.failure in MEMORY_FAILURES
        if used_up or not worker.alive or worker.memory_mb() > self._memory_limit_mb:
            worker.end()
        else:
            self._idle.append(worker)
