"""The parent's handle of one worker process: start it, reach it, end it.

Pools of libraries do not fit: those of concurrent.futures and loky lose every job when one process dies, and none lets
a running job ask its parent whether to go on. The process is started by `subprocess` and not by `multiprocessing`, so
that it has its own environment from its first instruction, and needs no guarded ``__main__`` in the caller's program.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fdsearch.errors import Fault, ResourceError
from fdsearch.execution.slots import Slot
from fdsearch.trial import TrialConfig

SILENCE = 60
"""Seconds a worker may take to accept a message or to complete one it began."""
END_WAIT = 10.0
"""Seconds to wait for killed processes."""


class WorkerProcess:
    """One living worker.

    Parameters
    ----------
    slot : Slot
        Which share of the machine it uses.
    target : str
        ``module:function`` that runs a job.
    environment : mapping
        All of its environment.
    log : Path or None
        Where its output is appended; None is this process's stderr.

    Attributes
    ----------
    connection : Connection
    born : float
        `time.monotonic()` of its start.
    jobs : int
        Jobs it has finished.
    settled_mb : float
        The most memory it held after one of its first jobs, MiB.
    last : TrialConfig or None
        Configuration it trained last, whose model it may still hold.
    starved : bool
        That one ran out of the GPU's memory, part of which the worker's earlier jobs may have held.
    """

    def __init__(self, slot: Slot, target: str, environment: Mapping[str, str], log: Path | None) -> None:
        self.slot = slot
        self.log = log
        self.born = time.monotonic()
        self.jobs = 0
        self.settled_mb = 0.0
        self.last: TrialConfig | None = None
        self.starved = False
        ours, theirs = Pipe(duplex=True)
        self.connection: Connection[Any, Any] = ours
        _limit_silence(ours.fileno())
        # The kernel's death signal is tied to the starting *thread*; only the main thread lives as long as the process.
        bound = "bound" if threading.current_thread() is threading.main_thread() else "free"
        module = ["-P", "-m", "fdsearch.execution.worker"]
        with theirs, opened(log) as output:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, *module, str(theirs.fileno()), target, bound],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=dict(environment),
                    pass_fds=[theirs.fileno()],
                )
            except OSError as error:
                ours.close()
                fault = Fault(sys.executable, str(error), "a new process", "free memory, or use fewer workers")
                raise ResourceError("a worker cannot be started", [fault]) from error

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def memory_mb(self) -> float:
        """Memory of its own, MiB; mapped pictures and caches are not counted, for the kernel can take them back."""
        import psutil

        try:
            memory = psutil.Process(self.pid).memory_info()
        except psutil.NoSuchProcess:
            return 0.0
        return float(memory.rss - getattr(memory, "shared", 0)) / 2**20

    def end(self) -> None:
        """Kill the process where it lives and reap it.

        Between jobs it has nothing to lose, and during one all files are written under temporary names.
        """
        end_all([self])

    def kill(self) -> None:
        """Kill the process where it lives, without waiting for its end."""
        self.connection.close()
        self._process.kill()

    def wait(self, seconds: float) -> None:
        """Reap a killed process."""
        with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in a driver: nothing more can be done
            self._process.wait(seconds)

    def exit_code(self) -> int | None:
        """How a process that broke off ended, as `subprocess` tells it: negative for a signal, None if it goes on."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        return self._process.returncode


def end_all(workers: Sequence[WorkerProcess]) -> None:
    """End workers side by side: to give back gigabytes takes the kernel a second for each."""
    for worker in workers:
        worker.kill()
    give_up = time.monotonic() + END_WAIT
    for worker in workers:
        worker.wait(max(0.0, give_up - time.monotonic()))


def _limit_silence(handle: int) -> None:
    """Let reads and writes fail after `SILENCE` seconds: a stopped process must not stop its parent as well."""
    limit = struct.pack("ll", SILENCE, 0)
    with socket.socket(fileno=os.dup(handle)) as pipe:
        pipe.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        pipe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)


@contextlib.contextmanager
def opened(log: Path | None) -> Iterator[int]:
    """The file descriptor a worker writes to. Never stdout: that belongs to the command's answer."""
    if log is None:
        yield sys.__stderr__.fileno() if sys.__stderr__ else subprocess.DEVNULL
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        yield handle
    finally:
        os.close(handle)
