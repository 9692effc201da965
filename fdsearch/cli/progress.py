"""How far the work is: bars on a terminal, a line at each tenth in a pipe or a log file; always on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fdsearch.cli.errors import printable
from fdsearch.progress import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


@contextmanager
def open_progress() -> Iterator[Progress]:
    """Yield the progress that suits stderr; the terminal is tidy again when the block ends."""
    if not sys.stderr.isatty():
        yield LineProgress()
        return
    progress = BarProgress()
    try:
        yield progress
    finally:
        progress.close()


class LineProgress:
    """Plain lines."""

    def __init__(self) -> None:
        self._tenths: dict[str, int] = {}

    def say(self, text: str) -> None:
        """Write one line."""
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()

    def track(self, task: str, done: int, total: int) -> None:
        """Write a line when another tenth is done."""
        tenth = 10 if total <= 0 else 10 * done // total
        if self._tenths.get(task) != tenth:
            self._tenths[task] = tenth
            self.say(f"{task}: {done} of {total}")


class BarProgress:
    """Bars that move, drawn by rich from the first `track` on."""

    def __init__(self) -> None:
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}

    def say(self, text: str) -> None:
        """Write one line above the bars."""
        if self._bars is None:
            sys.stderr.write(printable(text) + "\n")
        else:
            self._bars.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def track(self, task: str, done: int, total: int) -> None:
        """Move the task's bar; a finished one is taken away."""
        bars = self._bars or self._open()
        if task not in self._tasks:
            self._tasks[task] = bars.add_task(printable(task), total=total)
        bars.update(self._tasks[task], completed=done, total=total)
        if done >= total:
            bars.remove_task(self._tasks.pop(task))

    def close(self) -> None:
        """Take the bars away."""
        if self._bars is not None:
            self._bars.stop()

    def _open(self) -> Bars:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        # stdout is the result's: rich would otherwise take it over while the bars are shown.
        self._bars = Bars(
            *columns, console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._bars.start()
        return self._bars
