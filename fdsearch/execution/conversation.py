"""What a worker and its parent say about one job, from the job itself to its result or the worker's end.

`Supervisor` holds one conversation for each running job; `worker` is the other side.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace

from fdsearch.execution.events import Alive, Event, Finished, Reported
from fdsearch.execution.failures import failed, from_exit, oom_kills, ran_out_in_used_worker
from fdsearch.execution.process import WorkerProcess
from fdsearch.training.job import CurveRow, Job, Result


class Conversation:
    """One job in one worker.

    Parameters
    ----------
    job : Job
    worker : WorkerProcess
        Idle; it is handed the job. A worker that does not take it is told by `hear`.
    silence : float
        Seconds the worker may take from one of its words to the next, signs of life included; while it waits for an
        answer it is not silent.
    """

    def __init__(self, job: Job, worker: WorkerProcess, silence: float) -> None:
        self.job = job
        self.worker = worker
        self._silence = silence
        self.kill_at: float | None = None
        self._grace = 0.0
        self._owes_answer = False
        self._rows: list[CurveRow] = []
        self._started = self._last_word = time.monotonic()
        self._oom_kills = oom_kills()
        worker.last = job.config
        try:
            worker.connection.send(job)
        except OSError:
            worker.connection.close()

    def answer(self, proceed: bool) -> None:
        """Answer a report; no effect where none waits."""
        if not self._owes_answer:
            return
        self._owes_answer = False
        self._last_word = time.monotonic()
        with contextlib.suppress(OSError):  # a dead worker is told by `hear`
            self.worker.connection.send(proceed)

    def stop(self, grace: float) -> None:
        """Say and answer no from now on, and kill the worker after `grace` seconds; a second call changes nothing."""
        if self.kill_at is None:
            self._grace = grace
            self.kill_at = time.monotonic() + grace
            self._owes_answer = True  # said unasked, it is heard where the job gives a sign of life
            self.answer(False)

    def hear(self) -> list[Event]:
        """Take all that the worker has said; a `Finished` ends the list and the conversation."""
        news: list[Event] = []
        # Looked at before the pipe is emptied, else the last words of a dying worker are missed.
        alive = self.worker.alive
        try:
            while self.worker.connection.poll():
                event: Event | Alive = self.worker.connection.recv()
                if isinstance(event, Finished):
                    news.append(Finished(self._judged(event.result)))
                    return news
                self._last_word = time.monotonic()
                if isinstance(event, Reported):
                    news.append(event)
                    self._note(event)
        except Exception:  # the pipe is closed, or what came out of it cannot be unpickled
            alive = False
        if not alive:
            news.append(self._bury(self._lost()))
        elif self.kill_at is not None and time.monotonic() >= self.kill_at:
            message = f"no end within {self._grace:g} s after the job was asked to stop; its worker was killed"
            news.append(self._bury(failed(self.job.id, "timeout", message)))
        elif not self._owes_answer and time.monotonic() - self._last_word >= self._silence:
            message = f"the worker gave no sign of life for {self._silence:g} s; it was killed"
            news.append(self._bury(failed(self.job.id, "timeout", message)))
        return news

    def _note(self, event: Reported) -> None:
        self._rows.append(event.row)
        self._owes_answer = True
        if self.kill_at is not None:
            self.answer(False)

    def _judged(self, result: Result) -> Result:
        """What the parent knows better: whether the worker was new when its GPU's memory ran out."""
        jobs, self.worker.jobs = self.worker.jobs, self.worker.jobs + 1
        self.worker.starved = result.failure == "device_memory" and jobs > 0 and self.worker.slot.gpu is not None
        return ran_out_in_used_worker(result, jobs) if self.worker.starved else result

    def _lost(self) -> Result:
        out_of_memory = oom_kills() > self._oom_kills
        return from_exit(self.job.id, self.worker.exit_code(), out_of_memory, self.worker.log)

    def _bury(self, result: Result) -> Finished:
        """End the worker; the epochs it reported stay in the result."""
        self.worker.end()
        return Finished(replace(result, curve=tuple(self._rows), seconds=time.monotonic() - self._started))
