"""Parent processes of a drill, seen from outside: start, kill, find their workers and what they left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from drills.targets import PAUSE

MARK = "FDSEARCH_DRILL"
"""Environment variable that every process of one drill run carries."""
END_S = 10.0
"""Seconds after which a worker whose parent is gone counts as an orphan."""
TESTS = Path(__file__).resolve().parents[1]


class Parents:
    """The parents of one run; a context manager that leaves no process behind.

    Parameters
    ----------
    folder : Path
    storage : str
        SQLite file or PostgreSQL URL.
    n_parents, n_workers, n_trials : int
    pause : float
        Seconds that each fit takes.
    """

    def __init__(
        self, folder: Path, storage: str, *, n_parents: int, n_workers: int, n_trials: int, pause: float
    ) -> None:
        self.shared = folder / "shared"
        self.shared.mkdir(parents=True)
        self._folder = folder
        self._options = ["--storage", storage, "--workers", str(n_workers), "--trials", str(n_trials)]
        self._environment = {**os.environ, "PYTHONPATH": str(TESTS), MARK: str(folder), PAUSE: str(pause)}
        self._left: list[tuple[psutil.Process, float]] = []
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * n_parents
        self.orphans = 0
        self.faults: list[str] = []

    def __enter__(self) -> Parents:
        for number in range(len(self._processes)):
            self._start(number)
        return self

    def __exit__(self, *_: Any) -> None:
        for process in self._processes:
            if process is not None:
                process.kill()
                process.wait()
        for process in marked(str(self._folder)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def run_on(self) -> bool:
        """Start again what was killed; False once every parent has ended well, or one has ended badly."""
        self._count_orphans()
        for number, process in enumerate(self._processes):
            if process is None or process.poll() is None:
                continue
            if process.returncode == -signal.SIGKILL:
                self._start(number)
            else:
                self._processes[number] = None
                if process.returncode != 0:
                    log = self._log(number).read_text(errors="replace")[-3000:]
                    self.faults.append(f"parent {number} ended with {process.returncode}: {log}")
        return not self.faults and any(process is not None for process in self._processes)

    def victims(self) -> list[psutil.Process]:
        """The living parents and their workers."""
        parents = [psutil.Process(process.pid) for process in self._processes if process and process.poll() is None]
        return [process for parent in parents for process in (parent, *_workers(parent))]

    def kill(self, victim: psutil.Process) -> bool | None:
        """SIGKILL a process and tell whether it is a parent, whose workers must then end; None if it had ended."""
        try:
            left = [(worker, time.monotonic() + END_S) for worker in _workers(victim)]
            victim.kill()
        except psutil.NoSuchProcess:
            return None
        self._left += left
        return victim.pid in [process.pid for process in self._processes if process is not None]

    def left_behind(self) -> int:
        """Orphans seen during the run, and processes of it that are alive `END_S` after its end."""
        give_up = time.monotonic() + END_S
        while (living := len(list(marked(str(self._folder))))) and time.monotonic() < give_up:
            time.sleep(0.1)
        return self.orphans + living

    def _start(self, number: int) -> None:
        folder = self._folder / f"parent-{number}"
        folder.mkdir(exist_ok=True)
        # The kernel ends the parents with the drill, whatever ends that.
        bound = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "drills.parent"]
        paths = ["--folder", str(folder), "--shared", str(self.shared)]
        with self._log(number).open("ab") as log:
            self._processes[number] = subprocess.Popen(
                [*bound, *paths, *self._options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
            )

    def _log(self, number: int) -> Path:
        return self._folder / f"parent-{number}.txt"

    def _count_orphans(self) -> None:
        now = time.monotonic()
        overdue = [process for process, end in self._left if now > end and _lives(process)]
        self.orphans += len(overdue)
        self._left = [(process, end) for process, end in self._left if now <= end and _lives(process)]


def marked(mark: str) -> Iterator[psutil.Process]:
    """The living processes that carry a mark in their environment."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark and _lives(process):
                yield process


def _workers(parent: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process for process in parent.children() if "fdsearch.execution.worker" in process.cmdline()]
    return []


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
