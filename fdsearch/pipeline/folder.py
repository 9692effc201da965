"""Working on a run folder: its lock, log, workers and signals, together and undone together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fdsearch.config import StudySpec
from fdsearch.errors import ConfigError, Fault, Interrupted, StorageError
from fdsearch.execution.events import Executor
from fdsearch.execution.machine import open_executor
from fdsearch.pipeline.database import location
from fdsearch.pipeline.exporter import Exporter
from fdsearch.pipeline.interruption import Interruption, interruptible
from fdsearch.pipeline.means import Means
from fdsearch.pipeline.run_status import RunLog
from fdsearch.progress import Progress
from fdsearch.search.ownership import own_study
from fdsearch.search.server import without_password
from fdsearch.search.storage import is_shared
from fdsearch.workspace import Workspace


@dataclass(frozen=True)
class Running:
    """What a command that trains holds while it does."""

    log: RunLog
    executor: Executor
    interruption: Interruption
    means: Means
    exporter: Exporter = field(default_factory=Exporter)


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
        check_movable(folder)
        move_aside(folder)
    with own_study(folder), interruptible() as interruption:
        log = RunLog(folder, spec.name, progress, interruption.check)
        try:
            with (
                open_executor(means.machine, folder / "workers.txt", say=log.say) as executor,
                closing(Exporter(folder / "exports.txt")) as exporter,
            ):
                yield Running(log, executor, interruption, means, exporter)
        except Interrupted:
            log.end("interrupted")
            raise
        except ConfigError as error:  # another question, or a fault in this one: the run stays what it was
            log.refused(str(error))
            raise
        except BaseException as error:
            log.note(f"ended: {error}")  # the terminal gets it from whoever catches it
            log.end("interrupted" if interruption.requested() else "failed")
            if isinstance(error, StorageError):  # a server that is away was waited for until a person had enough
                interruption.check()
            raise
        log.end("finished")


def check_movable(folder: Path) -> None:
    """Refuse to start anew where the trials are not in the folder: other parents may be at work on them.

    Raises
    ------
    ConfigError
    """
    place = location(folder)
    if is_shared(place):
        fault = Fault("--fresh", without_password(place), "trials in the run folder", "give the study another name")
        raise ConfigError("a study on a shared database cannot be moved aside", [fault])


def move_aside(folder: Path) -> None:
    """Rename a run folder that nobody works on."""
    if folder.is_dir():
        with own_study(folder):
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
            folder.rename(folder.with_name(f"{folder.name}.before-{stamp}"))
