"""Runs jobs in worker processes that live across jobs; a worker's death is a failed result, never the caller's.

Used by the search, event by event, and by the selection through `run_all`. Each running job is a `Conversation` with a
worker of the `Pool`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType
from typing import Self

from fdsearch.execution import batch, slots
from fdsearch.execution.conversation import Conversation
from fdsearch.execution.events import TRAINER, Event, Finished, OnReport, OnResult, Say
from fdsearch.execution.gpus import chosen_gpus
from fdsearch.execution.pool import Pool, Recycling
from fdsearch.training.job import Job, Result

POLL = 0.5
"""Seconds between two looks at whether the workers live, or a GPU has memory again."""


class Supervisor:
    """Worker processes that run jobs; a context manager, used by one thread.

    Workers are started when a job needs one, or by `prepare`. They end with the supervisor, and with this process
    however it ends.

    Parameters
    ----------
    n_workers : int
        Jobs that run at the same time.
    threads_per_worker : int, optional
        Limit of each worker's thread pools; by default the cores of this machine, divided.
    recycle_after : int
        Jobs after which a worker is replaced, in case its memory is a little more with each.
    memory_limit_mb : int, optional
        A worker that holds more than this after a job is replaced (MiB, mapped files not counted); by default its part
        of 80 % of the machine's memory. So is one that grows by a tenth after its first 20 jobs.
    gpus : tuple of str, optional
        GPUs to deal to the workers in turn, see `gpus.chosen_gpus`; by default all that are visible, none if empty.
        Workers on one GPU get equal shares of its memory, and are started where and when that much is free.
    log : Path, optional
        File to which the workers' output is appended; by default this process's stderr.
    target : str
        ``module:function`` that runs a job: ``(Job, Report) -> Result``.
    stop_grace : float
        Seconds a job has to end after `stop`, before it is killed.
    silence : float
        Seconds a job may go on without a report or another sign of life, before it is killed.
    say : callable, optional
        Told, at most once a minute, which GPU's memory workers wait for; by default that goes to `log`.

    Raises
    ------
    ConfigError
        If a GPU that was named does not exist or is not visible, or workers would share a slice of one (MIG).

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
        recycle_after: int = 200,
        memory_limit_mb: int | None = None,
        *,
        gpus: tuple[str, ...] | None = None,
        log: Path | None = None,
        target: str = TRAINER,
        stop_grace: float = 20.0,
        silence: float = 1800.0,
        say: Say | None = None,
    ) -> None:
        if n_workers < 1:
            raise ValueError(f"n_workers is {n_workers}; expected at least 1")
        self.n_workers = n_workers
        self._stop_grace = stop_grace
        self._silence = silence
        self._running: dict[str, Conversation] = {}
        self._pool = Pool(
            n_workers,
            slots.deal(n_workers, chosen_gpus(gpus, os.environ)),
            slots.threads_per_worker(n_workers) if threads_per_worker is None else threads_per_worker,
            Recycling(recycle_after, slots.memory_limit_mb(n_workers) if memory_limit_mb is None else memory_limit_mb),
            target,
            log,
            say,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def free(self) -> int:
        """Jobs that can be submitted now: fewer than there are idle slots where a GPU is short of memory."""
        return self._pool.free

    def prepare(self) -> None:
        """Start the workers that train on processors before there is a job for them.

        Raises
        ------
        ResourceError
            If the system gives no process.
        """
        self._pool.prepare()

    def submit(self, job: Job) -> None:
        """Hand a job to a free worker.

        Raises
        ------
        Busy
            If no worker is free, or no GPU has memory for a new one.
        ValueError
            If a job with this id is running.
        ResourceError
            If a worker is needed and the system gives no process.
        """
        if job.id in self._running:
            raise ValueError(f"job {job.id} is running already")
        worker = self._pool.hire(job)
        try:
            self._running[job.id] = Conversation(job, worker, self._silence)
        except BaseException:  # the job cannot be pickled, or the caller was interrupted halfway
            self._pool.release(worker, None)
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
            In order for each job; empty after `timeout` seconds without news. Where no job runs it is empty at once,
            unless none can be submitted for want of a GPU's memory: then as soon as one can. Each `Reported` must be
            followed by `answer`: its job waits for it.
        """
        give_up = time.monotonic() + timeout
        while True:
            self._wait(give_up)
            news = [event for conversation in self._running.values() for event in conversation.hear()]
            for event in news:
                if isinstance(event, Finished):
                    self._pool.release(self._running.pop(event.result.id).worker, event.result)
            if news or time.monotonic() >= give_up or not (self._running or self._pool.waits_for_memory):
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
        return self._running[job_id].worker.slot.place if job_id in self._running else ""

    def run_all(
        self,
        jobs: Iterable[Job],
        on_report: OnReport | None = None,
        on_result: OnResult | None = None,
        deadline: float | None = None,
        should_stop: Callable[[], bool] | None = None,
        attempts: int = 1,
    ) -> dict[str, Result]:
        """Run jobs to their end; see `Executor.run_all`.

        Raises
        ------
        RuntimeError
            If jobs handed to `submit` are still running.
        """
        if self._running:
            raise RuntimeError(f"jobs are running already: {', '.join(self._running)}")
        return batch.run_all(self, jobs, on_report, on_result, deadline, should_stop, attempts)

    def close(self) -> None:
        """End all workers; what runs is lost. The supervisor can be used again."""
        self._pool.close()
        self._running.clear()

    def _wait(self, give_up: float) -> None:
        """Sleep until a worker speaks or dies, a grace ends, it is time to give up, or for `POLL` seconds.

        A dead worker's pipe is usually closed, which ends the sleep; but a process it started may hold it open.
        """
        running = self._running.values()
        if any(conversation.worker.connection.closed for conversation in running):
            return  # a job that was not taken, which is news
        if not running and not self._pool.waits_for_memory:
            return
        ends = [conversation.kill_at for conversation in running if conversation.kill_at is not None]
        pause = max(0.0, min([give_up, *ends]) - time.monotonic())
        # With nobody to wait for this sleeps.
        wait([conversation.worker.connection for conversation in running], min(pause, POLL))
