"""The living workers of this machine and their slots: started when a job needs one, kept across jobs, recycled, ended.

`supervisor` hires a worker for each job and releases it afterwards; what the two say meanwhile is not the pool's.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fdsearch.execution.events import Busy, Say
from fdsearch.execution.process import WorkerProcess, end_all, opened
from fdsearch.execution.room import SETTLE_S, Room
from fdsearch.execution.slots import Slot, worker_environment
from fdsearch.training.job import LOST, Job, Result
from fdsearch.trial import TrialConfig

SETTLED = 20
"""Jobs after which a worker has seen what a study's jobs take: pictures of all sizes, shallow and deep networks."""
GROWTH = 1.1
"""A worker that then holds more than this many times the most it held before is leaking."""
COMPLAINT_S = 60.0
"""Seconds between two lines about a GPU whose memory others use."""
PROMISE_S = 5.0
"""Seconds between `free` and `hire` within which what the one has told holds for the other."""
_ENDS = LOST | {"device_memory"}
"""Failures after which a worker is no use."""
_ENDS_ON_GPU = _ENDS | {"exception", "no_device"}
"""The same on a GPU, where any exception may leave CUDA broken for all that follows in the process."""


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
    n_workers : int
        Workers at the same time.
    slots : sequence of Slot
        Where they may be; a worker takes any that has room, of those on the GPU with the fewest workers.
    threads : int
        Limit of each worker's thread pools.
    recycling : Recycling
    target : str
        ``module:function`` that runs a job.
    log : Path or None
        File to which the workers' output is appended; None is this process's stderr.
    say : callable or None
        Told what a worker waits for; None writes it to the log.
    """

    def __init__(
        self,
        n_workers: int,
        slots: Sequence[Slot],
        threads: int,
        recycling: Recycling,
        target: str,
        log: Path | None,
        say: Say | None = None,
    ) -> None:
        self.slots = tuple(slots)
        self._n_workers = n_workers
        self._threads = threads
        self._recycling = recycling
        self._target = target
        self._log = log
        self._say = self._note if say is None else say
        self._room = Room()
        self._idle: list[WorkerProcess] = []
        self._busy: list[WorkerProcess] = []
        self._starved: list[TrialConfig] = []
        self._complained = -COMPLAINT_S

    @property
    def free(self) -> int:
        """Workers that can be hired now: idle ones, and those for which a GPU has memory."""
        vacant = self._vacant()
        wanted = self._n_workers - len(self._idle) - len(self._busy)
        if wanted <= 0:
            return len(self._idle)
        room = self._room.of(vacant, self._young())
        if len(room) < wanted:
            self._complain([slot for slot in vacant if slot not in room])
        return len(self._idle) + min(wanted, len(room))

    @property
    def waits_for_memory(self) -> bool:
        """Whether nothing can be hired though not all workers are busy."""
        return len(self._busy) < self._n_workers and not self.free

    def prepare(self) -> None:
        """Start all workers on processors; one on a GPU would take memory that others can use until then."""
        wanted = self._n_workers - len(self._idle) - len(self._busy)
        for slot in [slot for slot in self._vacant() if slot.gpu is None][:wanted]:
            self._idle.append(self._started(slot))

    def hire(self, job: Job) -> WorkerProcess:
        """An idle worker, if possible one that built this job's model before, else a new one.

        Raises
        ------
        Busy
            If all workers are busy, or no GPU has memory for another one.
        ResourceError
            If the system gives no process.
        """
        vacant = self._vacant()
        if len(self._busy) >= self._n_workers:
            raise Busy(f"all {self._n_workers} workers are busy; wait for a Finished event first")
        if self._idle:
            worker = max(self._idle, key=lambda worker: worker.last == job.config)
            self._idle.remove(worker)
            if job.config in self._starved:  # only a new process tells whether the job itself is too large
                worker.end()
                self._room.forget()
                worker = self._started(worker.slot)
        else:
            # Believed a little longer than `free` does, so that what it has just promised is kept.
            room = self._room.of(vacant, self._young(), grace_s=PROMISE_S)
            if not room:
                raise Busy("no GPU has memory for another worker; wait until `free` tells of one")
            worker = self._started(room[0])
        if job.config in self._starved:
            self._starved.remove(job.config)
        self._busy.append(worker)
        return worker

    def _started(self, slot: Slot) -> WorkerProcess:
        return WorkerProcess(slot, self._target, worker_environment(slot, self._threads, os.environ), self._log)

    def release(self, worker: WorkerProcess, result: Result | None) -> None:
        """Keep a worker for the next job, or end it if it is used up, or did not get as far as a result."""
        self._busy.remove(worker)
        ends = _ENDS if worker.slot.gpu is None else _ENDS_ON_GPU
        if result is None or result.failure in ends or not worker.alive or self._used_up(worker):
            if worker.starved and worker.last is not None:
                self._starved.append(worker.last)
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
        """Slots without a living worker, those on the emptiest GPU first; idle workers that died are buried."""
        dead = [worker for worker in self._idle if not worker.alive]
        if dead:
            end_all(dead)
            self._idle = [worker for worker in self._idle if worker not in dead]
            self._room.forget()
        taken = {worker.slot for worker in [*self._idle, *self._busy]}
        on = Counter(slot.gpu for slot in taken)
        return sorted((slot for slot in self.slots if slot not in taken), key=lambda slot: on[slot.gpu])

    def _young(self) -> list[Slot]:
        now = time.monotonic()
        return [worker.slot for worker in [*self._idle, *self._busy] if now - worker.born < SETTLE_S]

    def _complain(self, slots: Sequence[Slot]) -> None:
        if time.monotonic() - self._complained < COMPLAINT_S:
            return
        self._complained = time.monotonic()
        self._say(self._room.shortage(slots))

    def _note(self, line: str) -> None:
        with contextlib.suppress(OSError), opened(self._log) as output:
            os.write(output, f"{line}\n".encode())
