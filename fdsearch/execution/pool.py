"""The living workers of this machine and their slots: started when a job needs one, kept across jobs, recycled, ended.

`supervisor` hires a worker for each job and releases it afterwards; what the two say meanwhile is not the pool's.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fdsearch.execution.failures import MEMORY_FAILURES
from fdsearch.execution.process import WorkerProcess, end_all, opened
from fdsearch.execution.room import SETTLE_S, Room
from fdsearch.execution.slots import Slot, worker_environment
from fdsearch.training.job import Job, Result

SETTLED = 20
"""Jobs after which a worker has seen what a study's jobs take: pictures of all sizes, shallow and deep networks."""
GROWTH = 1.1
"""A worker that then holds more than this many times the most it held before is leaking."""
COMPLAINT_S = 60.0
"""Seconds between two lines about a GPU whose memory others use."""


@dataclass(frozen=True)
class Recycling:
    """When a worker is used up; besides, when its memory grows on after it has settled.

    Parameters
    ----------
    jobs : int
        After this many jobs.
    memory_mb : int
        When it holds more than this after a job, MiB, mapped files not counted.
    """

    jobs: int
    memory_mb: int


class Pool:
    """Workers in slots.

    Parameters
    ----------
    slots : sequence of Slot
    threads : int
        Limit of each worker's thread pools.
    recycling : Recycling
    target : str
        ``module:function`` that runs a job.
    log : Path or None
        File to which the workers' output is appended; None is this process's stderr.
    """

    def __init__(
        self, slots: Sequence[Slot], threads: int, recycling: Recycling, target: str, log: Path | None
    ) -> None:
        self.slots = tuple(slots)
        self._threads = threads
        self._recycling = recycling
        self._target = target
        self._log = log
        self._room = Room()
        self._idle: list[WorkerProcess] = []
        self._busy: list[WorkerProcess] = []
        self._complained = -COMPLAINT_S

    @property
    def free(self) -> int:
        """Workers that can be hired now: idle ones, and those for which a GPU has memory."""
        vacant = self._vacant()
        room = self._room.of(vacant, self._young())
        if len(room) < len(vacant):
            self._complain(next(slot for slot in vacant if slot not in room))
        return len(self._idle) + len(room)

    @property
    def waits_for_memory(self) -> bool:
        """Whether nothing can be hired though not all workers are busy."""
        return len(self._busy) < len(self.slots) and not self.free

    def hire(self, job: Job) -> WorkerProcess:
        """An idle worker, if possible one that built this job's model before, else a new one.

        Raises
        ------
        RuntimeError
            If all workers are busy.
        ResourceError
            If the system gives no process.
        """
        vacant = self._vacant()
        if self._idle:
            worker = max(self._idle, key=lambda worker: worker.last == job.config)
            self._idle.remove(worker)
        elif vacant:
            # Memory that vanished since `free` was asked is no reason to refuse the job; TensorFlow will tell.
            slot = next(iter(self._room.of(vacant, self._young())), vacant[0])
            environment = worker_environment(slot, self._threads, os.environ)
            worker = WorkerProcess(slot, self._target, environment, self._log)
        else:
            raise RuntimeError(f"all {len(self.slots)} workers are busy; wait for a Finished event first")
        self._busy.append(worker)
        return worker

    def release(self, worker: WorkerProcess, result: Result | None) -> None:
        """Keep a worker for the next job, or end it if it is used up, or did not get as far as a result."""
        self._busy.remove(worker)
        if result is None or result.failure in MEMORY_FAILURES or not worker.alive or self._used_up(worker):
            worker.end()
            self._room.forget()
        else:
            self._idle.append(worker)

    def close(self) -> None:
        """End all workers."""
        end_all([*self._idle, *self._busy])
        self._idle.clear()
        self._busy.clear()
        self._room.forget()

    def _used_up(self, worker: WorkerProcess) -> bool:
        memory = worker.memory_mb()
        if worker.jobs <= SETTLED:
            worker.settled_mb = max(worker.settled_mb, memory)
        grown = memory > GROWTH * worker.settled_mb
        return grown or memory > self._recycling.memory_mb or worker.jobs >= self._recycling.jobs

    def _vacant(self) -> list[Slot]:
        """Slots without a living worker; idle workers that died are buried on the way."""
        dead = [worker for worker in self._idle if not worker.alive]
        if dead:
            end_all(dead)
            self._idle = [worker for worker in self._idle if worker not in dead]
            self._room.forget()
        taken = {worker.slot for worker in [*self._idle, *self._busy]}
        return [slot for slot in self.slots if slot not in taken]

    def _young(self) -> list[Slot]:
        now = time.monotonic()
        return [worker.slot for worker in [*self._idle, *self._busy] if now - worker.born < SETTLE_S]

    def _complain(self, slot: Slot) -> None:
        if time.monotonic() - self._complained < COMPLAINT_S:
            return
        self._complained = time.monotonic()
        with contextlib.suppress(OSError), opened(self._log) as output:
            os.write(output, f"{self._room.shortage(slot)}\n".encode())
