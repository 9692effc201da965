"""What the driver and one actor say about one job, from the job itself to its result or the actor's end.

`ray_executor` holds one conversation for each running job; `ray_worker` is the other side. Each call of the actor
returns its next news, so one reference per job is all there is to wait for.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from fdsearch.execution.events import Event, Finished, Reported
from fdsearch.execution.failures import failed
from fdsearch.execution.ray_cluster import Share
from fdsearch.execution.ray_worker import RayWorker
from fdsearch.training.job import CurveRow, Job, Result
from fdsearch.trial import TrialConfig


class Actor:
    """The driver's handle of one `RayWorker`, which may live, wait for a node, or be dead.

    Parameters
    ----------
    ray : module
    share : Share
        What it declares.
    target : str
        ``module:function`` that runs a job.
    log : Path or None
        Where the worker's output is appended.

    Attributes
    ----------
    last : TrialConfig or None
        Configuration it trained last, whose model it may still hold.
    broken : bool
        It cannot be used again.
    """

    def __init__(self, ray: Any, share: Share, target: str, log: Path | None) -> None:
        self.last: TrialConfig | None = None
        self.broken = False
        self._ray = ray
        # The actor imports what this process would: the same fdsearch, the same plugins' neighbours.
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        options: dict[str, Any] = {
            "num_cpus": share.cpus,
            "num_gpus": share.gpus,
            "max_restarts": 0,  # to repeat what was lost is for those who gave the job
            "runtime_env": {"env_vars": {"PYTHONPATH": path}},
        }
        self.handle = ray.remote(RayWorker).options(**options).remote(target, share, log and log.absolute())
        self._place = self.handle.place.remote()

    def place(self) -> str:
        """Where it is; empty while it waits for a node, and after its death."""
        return self._answered(self._place, 0.0) or ""

    def alive(self, patience: float) -> bool:
        """Whether it answers within some seconds."""
        return self._answered(self.handle.place.remote(), patience) is not None

    def end(self) -> None:
        """Kill it, wherever it is or waits; its worker process ends with it."""
        if self._ray.is_initialized():
            self._ray.kill(self.handle)

    def _answered(self, reference: Any, patience: float) -> str | None:
        try:
            return str(self._ray.get(reference, timeout=patience))
        except self._ray.exceptions.RayError:
            return None


class Conversation:
    """One job in one actor.

    Parameters
    ----------
    ray : module
    job : Job
    actor : Actor
        Idle, or not started yet; it is handed the job.

    Attributes
    ----------
    news : ObjectRef or None
        What the actor will say next; None while it waits for an answer.
    kill_at : float or None
        `time.monotonic()` seconds at which the job's patience ends, once it was asked to stop.
    """

    def __init__(self, ray: Any, job: Job, actor: Actor) -> None:
        self.job = job
        self.actor = actor
        self.kill_at: float | None = None
        self._ray = ray
        self._grace = 0.0
        self._rows: list[CurveRow] = []
        self._started = time.monotonic()
        self.news: Any = None
        self._begin()

    def _begin(self) -> None:
        self.actor.last = self.job.config
        self._began = time.monotonic()
        self.news = self.actor.handle.start.remote(self.job)

    def waits(self, seconds: float) -> bool:
        """Whether the actor has been without a node for so long."""
        return time.monotonic() - self._began > seconds and not self.actor.place()

    def move(self, actor: Actor) -> None:
        """Give the job to an actor that lives; the one that waits is given up."""
        self.actor.end()
        self.actor = actor
        self._begin()

    def answer(self, proceed: bool) -> None:
        """Answer a report; no effect where none waits."""
        if self.news is None:
            self.news = self.actor.handle.go_on.remote(self.job.id, proceed)

    def stop(self, grace: float) -> None:
        """Answer no from now on, and kill the actor after `grace` seconds; a second call changes nothing."""
        if self.kill_at is None:
            self._grace = grace
            self.kill_at = time.monotonic() + grace
            self.answer(False)

    def hear(self) -> list[Event]:
        """Take what the actor has said; a `Finished` ends the list and the conversation."""
        if self.news is not None and self._ray.wait([self.news], timeout=0)[0]:
            return self._taken()
        if self.kill_at is not None and time.monotonic() >= self.kill_at:
            message = f"no end within {self._grace:g} s after the job was asked to stop; its actor was killed"
            return [self._bury(failed(self.job.id, "timeout", message))]
        return []

    def _taken(self) -> list[Event]:
        try:
            news: list[Event] = self._ray.get(self.news)
        except Exception as error:  # the actor or its node is gone, or what came cannot be unpickled
            return [self._bury(self._lost(error))]
        if isinstance(news[-1], Finished):
            return news
        self.news = None
        self._rows += [event.row for event in news if isinstance(event, Reported)]
        if self.kill_at is not None:
            self.answer(False)
        return news

    def _lost(self, error: Exception) -> Result:
        kinds = self._ray.exceptions
        if isinstance(error, kinds.OutOfMemoryError):
            return failed(self.job.id, "host_memory", str(error))
        # What an actor raises is a defect or a node without fdsearch's means, and would come again.
        failure = "exception" if isinstance(error, kinds.RayTaskError) else "lost"
        return failed(self.job.id, failure, str(error))

    def _bury(self, result: Result) -> Finished:
        """Give the actor up; the epochs it reported stay in the result."""
        self.actor.broken = True
        return Finished(replace(result, curve=tuple(self._rows), seconds=time.monotonic() - self._started))
