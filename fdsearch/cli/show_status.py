"""What `status` shows: each study on a line, its workers below it; once, or again and again with ``--watch``.

Everything comes from ``status.json`` of the runs. A key that an older run did not write is left out of the line.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

from fdsearch.cli.errors import printable
from fdsearch.report.words import plain, seconds

if TYPE_CHECKING:
    from rich.console import RenderableType

Document = Mapping[str, Any]

_EVERY_S = 2.0
_COLUMNS = ("study", "state", "trials", "doing", "time left", "updated")
_RESTLESS = {"updated", "time_left_s", "seconds", "pictures_per_s"}
"""Keys that differ at each look: alone they are no change worth a line."""


def status(document: Document) -> None:
    """Print the studies under the root."""
    from fdsearch.cli.show import table

    studies = document.get("studies") or []
    if not studies:
        sys.stdout.write("no study has been run here; begin with `fdsearch demo` or `fdsearch init FOLDER`\n")
        return
    table(_COLUMNS, map(_row, studies))
    sys.stdout.writelines(f"{text}\n" for text in _details(studies))


def watch(read: Callable[[], Document], out: TextIO) -> None:
    """Show what `read` returns every 2 seconds until nothing runs any more or a person ends it with Ctrl-C.

    A terminal is drawn over again. Elsewhere a line is written for each study that changed.
    """
    with suppress(KeyboardInterrupt):  # the way out of a view, no failure
        (_draw if _can_redraw(out) else _write_changes)(_looks(read), out)


def _can_redraw(out: TextIO) -> bool:
    from rich.console import Console

    return out.isatty() and not Console(file=out).is_dumb_terminal


def _looks(read: Callable[[], Document]) -> Iterator[list[Document]]:
    while True:
        studies = list(read().get("studies") or [])
        yield studies
        if all(study.get("state") != "running" for study in studies):
            return
        time.sleep(_EVERY_S)


def _draw(looks: Iterator[list[Document]], out: TextIO) -> None:
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(file=out, highlight=False), auto_refresh=False, redirect_stderr=False) as live:
        for studies in looks:
            live.update(_page(studies), refresh=True)


def _page(studies: list[Document]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from fdsearch.cli.show import grid

    return Group(grid(_COLUMNS, map(_row, studies)), *(Text(text) for text in _details(studies)))


def _write_changes(looks: Iterator[list[Document]], out: TextIO) -> None:
    seen: dict[Any, Any] = {}
    for studies in looks:
        for study in studies:
            name, calm = study.get("study"), _calm(study)
            if seen.get(name) != calm:
                seen[name] = calm
                cells = [_cell(cell) for cell in _row(study)]
                left = [f"time left {cells[4]}"] if cells[4] else []
                workers = [" ".join(worker) for worker in _workers(study)]
                parts = [*cells[:4], *left, *workers, _failures(study)]
                out.write(", ".join(part for part in parts if part) + "\n")
        out.flush()


def _calm(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _calm(item) for key, item in value.items() if key not in _RESTLESS}
    return [_calm(item) for item in value] if isinstance(value, list) else value


def _row(study: Document) -> tuple[Any, ...]:
    finished = sum(study.get(key) or 0 for key in ("n_complete", "n_pruned"))
    trials = f"{finished} of {study['n_trials']}" if "n_trials" in study else ""
    task = study.get("task") or {}
    stage = study.get("stage") if study.get("state") == "running" else ""
    doing = f"{task['name']} {task['done']}/{task['total']}" if task else stage
    state = "stopping" if study.get("stopping") else study.get("state")
    return (study.get("study"), state, trials, doing, _left(study.get("time_left_s")), study.get("updated"))


def _details(studies: list[Document]) -> list[str]:
    """Workers in columns, then failures; with the study's name where there are several."""
    lines = []
    for study in studies:
        name = f"{_cell(study.get('study'))}: " if len(studies) > 1 else ""
        workers = _workers(study)
        widths = [max(map(len, column)) for column in zip(*workers, strict=True)]
        for worker in workers:
            cells = (cell.ljust(width) for cell, width in zip(worker, widths, strict=True) if width)
            lines.append((name + "  ".join(cells)).rstrip())
        if failures := _failures(study):
            lines.append(name + failures)
    return lines


def _workers(study: Document) -> list[tuple[str, ...]]:
    return [_worker(running) for running in study.get("running") or ()]


def _worker(running: Document) -> tuple[str, ...]:
    fold, n_folds = running.get("fold"), running.get("n_folds")
    epoch, n_epochs, speed = running.get("epoch"), running.get("n_epochs"), running.get("pictures_per_s")
    folds = "" if fold is None else f"fold {fold + 1}" + (f"/{n_folds}" if n_folds else "")
    # A probe has no epochs; a run of an older version did not say how many there are.
    epochs = "" if epoch is None or n_epochs == 0 else f"epoch {epoch}" + (f"/{n_epochs}" if n_epochs else "")
    return (
        f"worker {_cell(running['worker'])}" if running.get("worker") is not None else "",
        f"trial {_cell(running.get('trial'))}",
        folds,
        _cell(running.get("phase")),
        epochs,
        "" if speed is None else f"{speed:.0f} pictures/s",
    )


def _failures(study: Document) -> str:
    failures = study.get("failures") or {}
    counts = sorted(failures.items(), key=lambda item: (-item[1], item[0]))
    return "failures: " + ", ".join(f"{_cell(count)} {_cell(name)}" for name, count in counts) if counts else ""


def _left(left: float | None) -> str:
    """Time left, no finer than it is known.

    Examples
    --------
    >>> _left(31.4), _left(754), _left(None)
    ('under a minute', '12 min 34 s', '')
    """
    if left is None:
        return ""
    return "under a minute" if left < 60 else seconds(left)


def _cell(value: object) -> str:
    return printable(plain(value))
