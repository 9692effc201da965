"""What ``status``, ``stop`` and ``logs`` read and write: plain files in the run folder, nothing heavy imported."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fdsearch.files import write_atomic, write_json
from fdsearch.pipeline.names import run_name
from fdsearch.progress import Progress
from fdsearch.workspace import Workspace

_EVERY_S = 2.0
_STATUS = "status.json"


class RunLog:
    """A `Progress` that also keeps ``status.json`` (at most every 2 s) and ``log.txt`` of a run.

    Parameters
    ----------
    folder : Path
        The run folder.
    study : str
    inner : Progress
        Who is told too.
    """

    def __init__(self, folder: Path, study: str, inner: Progress) -> None:
        self._folder = folder
        self._inner = inner
        self._written = 0.0
        self._before = _content(folder / _STATUS)
        self._state: dict[str, Any] = {"study": study, "state": "running", "pid": os.getpid(), "started": _now()}

    def say(self, text: str) -> None:
        self.note(text)
        self._inner.say(text)

    def note(self, text: str) -> None:
        """Write to the log alone."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "log.txt").open("a", encoding="utf-8") as stream:
            stream.write(f"{_now()} {text}\n")

    def track(self, task: str, done: int, total: int) -> None:
        self.update(task={"name": task, "done": done, "total": total})
        self._inner.track(task, done, total)

    @property
    def due(self) -> bool:
        """Whether the last writing is 2 s old; what is costly to find out is asked for only then."""
        return time.monotonic() - self._written >= _EVERY_S

    def update(self, *, now: bool = False, **values: Any) -> None:
        """Change fields of the status; written if it is due, or `now`."""
        self._state.update(values)
        if now or self.due:
            self._written = time.monotonic()
            write_json(self._folder / _STATUS, {**self._state, "updated": _now()}, durable=False)

    def refused(self, why: str) -> None:
        """Note that nothing was begun: the status of the run before stays."""
        self.note(f"refused: {why}")
        if self._before is None:
            (self._folder / _STATUS).unlink(missing_ok=True)
        else:
            write_atomic(self._folder / _STATUS, self._before, durable=False)

    def end(self, state: str) -> None:
        """Write the last state: finished, interrupted or failed."""
        self.update(now=True, state=state, running=[], task=None, time_left_s=None)


def status(root: Path, study: str | None = None) -> dict[str, Any]:
    """Where the runs under a root stand, one entry each, from their ``status.json`` alone.

    A run whose process is gone without a word reads ``lost``; the same command continues it.
    """
    runs = Workspace(root).runs
    names = [run_name(study, root)] if study else sorted(path.name for path in runs.glob("*/"))
    return {"studies": [_read(runs / name, name) for name in names]}


def stop(root: Path, study: str | None = None) -> dict[str, Any]:
    """Send SIGTERM to the process that works on a study, or on each; it saves and ends within seconds."""
    from fdsearch.search.ownership import holder

    found = status(root, study)
    for entry in found["studies"]:
        pid = holder(Workspace(root).run(entry["study"]))
        entry["stopping"] = pid is not None
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
    return found


def logs(root: Path, study: str) -> Path:
    """The log file of a run."""
    return Workspace(root).run(run_name(study, root)) / "log.txt"


def _read(folder: Path, name: str) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((folder / _STATUS).read_text())
    except (OSError, ValueError):  # never written, or torn by a kill: it is rewritten by the next run
        return {"study": name, "state": "unknown"}
    from fdsearch.search.ownership import holder

    if state.get("state") == "running" and holder(folder) is None:
        state["state"] = "lost"
    return state


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
