"""Runs jobs as actors of a Ray cluster, behind the same interface as `Supervisor` on one machine.

Ray places the actors, sets processors and GPUs aside for them and notices their death; nothing is scheduled here. Each
running job is a `ray_conversation.Conversation` with one actor; `machine` opens the executor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from fdsearch.execution import batch
from fdsearch.execution.events import TRAINER, Busy, Event, Finished, OnReport, OnResult
from fdsearch.execution.ray_cluster import connect, declare, held_by, living_nodes
from fdsearch.execution.ray_conversation import Actor, Conversation
from fdsearch.training.job import Job, Result

POLL = 0.5
"""Seconds at most in one wait inside Ray, which holds this process's signals back."""
_PLACE_S = 10.0
"""Seconds a new actor has to begin before an idle one takes its job."""
_ALIVE_S = 5.0
"""Seconds an idle actor has to show that it lives."""


class RayExecutor:
    """Actors of the running Ray cluster that run jobs; a context manager, used by one thread.

    Every node must have the same Python and the same fdsearch, and must see the run folder, the pictures, the caches
    and the plugins under the same paths (a shared disk). The cluster is the one ``RAY_ADDRESS`` names, else the one
    this machine belongs to; it must be there before (``ray start --head``). Actors are started when a job needs one.
    They end with the executor, and with this process however it ends. An actor that dies, or whose node does, is a
    failed job; the next job gets a new one. The loss of the head node ends this process; started again it continues.

    Parameters
    ----------
    n_workers : int
        Jobs that run at the same time, if the cluster holds so many.
    cpus_per_worker : int, optional
        Processors that each actor declares; by default those of the nodes, divided.
    gpus_per_worker : {0, 1}, optional
        By default 1 where any node has a GPU. Workers beyond the number of GPUs then wait.
    target : str
        ``module:function`` that runs a job: ``(Job, Report) -> Result``.
    log : Path, optional
        File on the shared disk to which the workers' output is appended; by default Ray keeps it.
    stop_grace : float
        Seconds a job has to end after `stop`, before its actor is killed.

    Raises
    ------
    ResourceError
        If Ray is not installed, no cluster answers, or no node of it can hold a worker.
    """

    def __init__(
        self,
        n_workers: int = 1,
        *,
        cpus_per_worker: int | None = None,
        gpus_per_worker: int | None = None,
        target: str = TRAINER,
        log: Path | None = None,
        stop_grace: float = 20.0,
    ) -> None:
        if n_workers < 1:
            raise ValueError(f"n_workers is {n_workers}; expected at least 1")
        self.n_workers = n_workers
        self._ray = connect()
        self.share = declare(living_nodes(), n_workers, cpus_per_worker, gpus_per_worker)
        self._target = target
        self._log = log
        self._stop_grace = stop_grace
        self._idle: list[Actor] = []
        self._running: dict[str, Conversation] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def free(self) -> int:
        """Jobs that can be submitted now: no more than the nodes that live can hold.

        Where no node is left that can hold one, a single job may wait for Ray to find a place, so that the work neither
        ends early nor draws trials that cannot start.
        """
        held = sum(held_by(node, self.share) for node in living_nodes())
        return max(0, min(self.n_workers, max(1, held)) - len(self._running))

    def submit(self, job: Job) -> None:
        """Hand a job to an actor; Ray starts it when and where there is room.

        Raises
        ------
        Busy
            If `n_workers` jobs are running.
        ValueError
            If a job with this id is running.
        """
        if len(self._running) >= self.n_workers:
            raise Busy(f"all {self.n_workers} workers are busy; wait for a Finished event first")
        if job.id in self._running:
            raise ValueError(f"job {job.id} is running already")
        actor = self._hire(job)
        try:
            self._running[job.id] = Conversation(self._ray, job, actor)
        except BaseException:  # the job cannot be pickled, or the caller was interrupted halfway
            actor.end()
            raise

    def events(self, timeout: float) -> list[Event]:
        """Wait for news; see `Executor.events`. Empty at once if no job runs."""
        give_up = time.monotonic() + timeout
        while True:
            self._wait(give_up)
            news = [event for conversation in self._running.values() for event in conversation.hear()]
            for event in news:
                if isinstance(event, Finished):
                    self._release(self._running.pop(event.result.id).actor)
            self._hand_over()
            if news or not self._running or time.monotonic() >= give_up:
                return news

    def answer(self, job_id: str, proceed: bool) -> None:
        """Let a job that reported go on, or end it; no effect if it was stopped or lost in the meantime."""
        if job_id in self._running:
            self._running[job_id].answer(proceed)

    def stop(self, job_id: str) -> None:
        """End a job at its next report; kill its actor if it goes on beyond the grace. No effect if it has ended."""
        if job_id in self._running:
            self._running[job_id].stop(self._stop_grace)

    def place(self, job_id: str) -> str:
        """Address of the node a running job runs on, and its GPU; empty while it waits for a node."""
        return self._running[job_id].actor.place() if job_id in self._running else ""

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
        """End all actors; what runs is lost. The executor can be used again."""
        for actor in [*self._idle, *(conversation.actor for conversation in self._running.values())]:
            actor.end()
        self._idle.clear()
        self._running.clear()

    def _wait(self, give_up: float) -> None:
        """Sleep until an actor speaks or dies, a grace ends, it is time to give up, or for `POLL` seconds."""
        running = self._running.values()
        if not running:
            return
        ends = [conversation.kill_at for conversation in running if conversation.kill_at is not None]
        pause = min(max(0.0, min([give_up, *ends]) - time.monotonic()), POLL)
        awaited = [conversation.news for conversation in running if conversation.news is not None]
        if awaited:
            self._ray.wait(awaited, timeout=pause)
        else:
            time.sleep(pause)

    def _hire(self, job: Job) -> Actor:
        """Return a living idle actor, if possible one that built this job's model before, else a new one."""
        return self._living(job) or Actor(self._ray, self.share, self._target, self._log)

    def _living(self, job: Job) -> Actor | None:
        while self._idle:
            best = max(self._idle, key=lambda actor: actor.last == job.config)
            self._idle.remove(best)
            if best.alive(_ALIVE_S):
                return best
            best.end()
        return None

    def _hand_over(self) -> None:
        """Give a job whose actor finds no node to an idle actor, which may hold the very room that is missing."""
        for conversation in self._running.values():
            if self._idle and conversation.waits(_PLACE_S):
                actor = self._living(conversation.job)
                if actor is not None:
                    conversation.move(actor)

    def _release(self, actor: Actor) -> None:
        if actor.broken:
            actor.end()
        else:
            self._idle.append(actor)
