"""The one line in which pictures wait for the model: bounded, and answered in batches of whatever has come together.

No timer holds a picture back: while the model runs, the next batch gathers by itself, and a single client waits for
nobody. `service` submits; `following` decides which model answers, and a batch never mixes two.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fdsearch.serving.formats import LITERT, LITERT_FLOAT16
from fdsearch.serving.predictor import Predictor
from fdsearch.serving.runtimes import Answer

BATCH = 16
"""Most pictures that are run at once, where running several at once is faster than one after the other."""

Ran = Callable[[int, float, float], None]
"""Is told of each batch: how many pictures, how long the first of them waited, how long they ran, seconds."""


class Full(Exception):
    """There are as many requests as may be answered or wait at the same time."""


class Closed(Exception):
    """Nothing is run any more."""


class Admission:
    """Counts requests from their arrival to their answer, so that memory and waiting are bounded together.

    Used from one thread, that of the event loop.

    Parameters
    ----------
    most : int
        Requests at the same time.

    Examples
    --------
    >>> door = Admission(1)
    >>> with door.enter():
    ...     door.inside
    1
    >>> door.inside
    0
    """

    def __init__(self, most: int) -> None:
        self.most, self.inside = most, 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Be counted; raises `Full` where there is no room."""
        if self.inside >= self.most:
            raise Full
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1


def batch_of(predictor: Predictor) -> int:
    """Most pictures at once: LiteRT runs them one after the other, so there each is answered as soon as it is ready."""
    return 1 if predictor.runtime.format in (LITERT, LITERT_FLOAT16) else BATCH


@dataclass(frozen=True)
class _Job:
    """Pictures of one request, (n, size, size, 1), and who waits for the answer."""

    predictor: Predictor
    pictures: NDArray[np.uint8]
    answer: Future[Answer] = field(default_factory=Future)
    since: float = field(default_factory=time.perf_counter)


class Batcher:
    """Runs the model in a thread of its own.

    Parameters
    ----------
    ran : callable
        Is told of each batch, in that thread.
    """

    def __init__(self, ran: Ran) -> None:
        self._ran = ran
        self._urgent: deque[_Job] = deque()
        self._patient: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def submit(self, predictor: Predictor, pictures: NDArray[np.uint8], *, patient: bool = False) -> Future[Answer]:
        """Queue the pictures of one request.

        Parameters
        ----------
        predictor : Predictor
            Answers for all of them, whoever is champion by then.
        pictures : ndarray of uint8, shape (n, size, size, 1)
            As `Predictor.decode` returns them; n is at least 1.
        patient : bool
            Let every request that is not patient go first.

        Returns
        -------
        Future of Answer
            Fails with `Closed`, or with what the model raised; cancelling it takes the pictures out of the line.
        """
        job = _Job(predictor, pictures)
        with self._changed:
            if self._closed:
                job.answer.set_exception(Closed())
            else:
                (self._patient if patient else self._urgent).append(job)
                self._changed.notify()
        return job.answer

    @property
    def alive(self) -> bool:
        """Whether the model's thread answers."""
        return self._thread.is_alive() and not self._closed

    def close(self) -> None:
        """End the thread after the batch that runs; what still waits fails with `Closed`."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        for job in (*self._urgent, *self._patient):
            if job.answer.set_running_or_notify_cancel():
                job.answer.set_exception(Closed())

    def _work(self) -> None:
        while jobs := self._next():
            self._run([job for job in jobs if job.answer.set_running_or_notify_cancel()])
            del jobs  # an idle thread must not keep a model that was replaced

    def _next(self) -> list[_Job]:
        """The jobs of the next batch, all of one model; none when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._urgent or self._patient)
            if self._closed:
                return []
            if not self._urgent:
                return [self._patient.popleft()]
            jobs = [self._urgent.popleft()]
            room = batch_of(jobs[0].predictor) - len(jobs[0].pictures)
            while self._urgent and self._urgent[0].predictor is jobs[0].predictor:
                room -= len(self._urgent[0].pictures)
                if room < 0:
                    break
                jobs.append(self._urgent.popleft())
            return jobs

    def _run(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        started = time.perf_counter()
        pictures = np.concatenate([job.pictures for job in jobs])
        try:
            answer = _in_batches(jobs[0].predictor, pictures)
        except Exception as error:  # out of memory, broken weights: theirs alone, the next batch is run
            for job in jobs:
                job.answer.set_exception(error)
            return
        self._ran(len(pictures), started - jobs[0].since, time.perf_counter() - started)
        first = 0
        for job in jobs:
            rows = slice(first, first + len(job.pictures))
            job.answer.set_result(answer.of(rows))
            first = rows.stop


def _in_batches(predictor: Predictor, pictures: NDArray[np.uint8]) -> Answer:
    """Run the model; a request of many pictures is run in several batches."""
    size = batch_of(predictor)
    parts = [predictor.run(pictures[first : first + size]) for first in range(0, len(pictures), size)]
    return Answer.joined(parts)
