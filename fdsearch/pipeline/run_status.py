"""What ``status``, ``stop`` and ``logs`` read and write: plain files in the run folder, nothing heavy imported."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fdsearch.errors import ConflictError, Fault
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
    check : callable
        Called with every step of a task; raises where a person asked to stop.
    """

    def __init__(self, folder: Path, study: str, inner: Progress, check: Callable[[], None] = lambda: None) -> None:
        self._check = check
        self._folder = folder
        self._inner = inner
        self._written = 0.0
        self._before = _content(folder / _STATUS)
        own = {"study": study, "state": "running", "pid": os.getpid(), "started": _now()}
        self._state: dict[str, Any] = {**_figures(self._before), **own}

    def say(self, text: str) -> None:
        self.note(text)
        self._inner.say(text)

    def note(self, text: str) -> None:
        """Write to the log alone."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "log.txt").open("a", encoding="utf-8") as stream:
            stream.write(f"{_now()} {text}\n")

    def track(self, task: str, done: int, total: int) -> None:
        self._check()
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
    """Send SIGTERM to the process that works on a study, or on each; it saves and ends within seconds.

    Raises
    ------
    ConflictError
        If it runs on another machine, or in another container.
    """
    from fdsearch.search.leases import this_parent
    from fdsearch.search.ownership import holder

    found = status(root, study)
    faults = []
    for entry in found["studies"]:
        parent = holder(Workspace(root).run(entry["study"]))
        entry["stopping"] = parent is not None and parent.is_near(this_parent())
        if parent is not None and entry["stopping"]:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(parent.pid, signal.SIGTERM)
        elif parent is not None:  # here its number is another process's, or nobody's
            fix = "give the command there"
            faults.append(Fault(entry["study"], f"a run on {parent.host}, or in its container", "one of here", fix))
    if faults:
        raise ConflictError("a run of another machine cannot be stopped from here", faults)
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


def _figures(before: bytes | None) -> dict[str, Any]:
    """What an earlier command had to say that is still so: how many trials there are."""
    try:
        state = json.loads(before or b"{}")
        return {name: value for name, value in state.items() if name.startswith("n_") or name == "failures"}
    except (ValueError, AttributeError):  # torn by a kill
        return {}


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
