"""Working on a run folder: its lock, log, workers and signals, together and undone together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fdsearch.config import StudySpec
from fdsearch.errors import Interrupted
from fdsearch.execution.events import Executor
from fdsearch.execution.machine import open_executor
from fdsearch.pipeline.interruption import Interruption, interruptible
from fdsearch.pipeline.means import Means
from fdsearch.pipeline.run_status import RunLog
from fdsearch.progress import Progress
from fdsearch.search.storage import own_study
from fdsearch.workspace import Workspace


@dataclass(frozen=True)
class Running:
    """What a command that trains holds while it does."""

    log: RunLog
    executor: Executor
    interruption: Interruption
    means: Means


@contextmanager
def running(spec: StudySpec, root: Path, *, fresh: bool, means: Means, progress: Progress) -> Iterator[Running]:
    """Own a study's run folder for the time of a block; the status says at last how it ended.

    Raises
    ------
    ConflictError
        If another process owns it.
    Interrupted
        If a signal ended the block.
    """
    folder = Workspace(root.resolve()).run(spec.name)
    if fresh:
        move_aside(folder)
    with own_study(folder), interruptible() as interruption:
        log = RunLog(folder, spec.name, progress)
        try:
            with open_executor(means.machine, folder / "workers.txt") as executor:
                yield Running(log, executor, interruption, means)
        except Interrupted:
            log.end("interrupted")
            raise
        except BaseException as error:
            log.note(f"ended: {error}")  # the terminal gets it from whoever catches it
            log.end("failed")
            raise
        log.end("finished")


def move_aside(folder: Path) -> None:
    """Rename a run folder that nobody works on."""
    if folder.is_dir():
        with own_study(folder):
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
            folder.rename(folder.with_name(f"{folder.name}.before-{stamp}"))
