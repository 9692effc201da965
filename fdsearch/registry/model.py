"""One model of the registry: its folder, its log, its versions, and the lock under which all of them change.

`store` finds models by name; `decisions` moves aliases through `Model.change`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fdsearch.errors import ConfigError, Fault, IntegrityError
from fdsearch.files import sync_folder
from fdsearch.registry.disk import disk_errors, exclusive
from fdsearch.registry.draft import numbers
from fdsearch.registry.events import EventLog
from fdsearch.registry.state import ModelState
from fdsearch.registry.version import ModelVersion

VERSIONS = "versions"
LOCK = ".lock"


@dataclass(frozen=True)
class Model:
    """The folder of one model.

    Parameters
    ----------
    folder : Path
        ``ROOT/registry/NAME``.
    """

    folder: Path

    @property
    def name(self) -> str:
        """The model's name."""
        return self.folder.name

    @property
    def versions(self) -> Path:
        """Where the versions lie, each in a folder of its number."""
        return self.folder / VERSIONS

    @property
    def log(self) -> EventLog:
        """What happened to the model."""
        return EventLog(self.folder)

    def place(self, number: int) -> Path:
        """The folder of a version."""
        return self.versions / f"{number:04d}"

    def make(self) -> None:
        """Make the folders of a model that may be new.

        Raises
        ------
        ResourceError, StorageError
            If the disk is full, or cannot be written.
        """
        with disk_errors(self.folder):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(exist_ok=True, mode=0o750)
            self.versions.mkdir(exist_ok=True, mode=0o750)
            sync_folder(self.folder.parent)

    def state(self) -> ModelState:
        """What the log amounts to.

        Raises
        ------
        IntegrityError
            If the log is not as it was written, or is gone while there are versions.
        """
        log = self.log
        events = log.read()
        if not events and not log.chain.begun() and (left := [n for n in numbers(self.versions) if self.holds(n)]):
            expected = f"the log of {len(left)} versions" if len(left) > 1 else f"the log of version {left[0]}"
            fault = Fault(str(log.chain.lines), "no such file", expected, f"restore {self.folder} from a backup")
            raise IntegrityError(f"the log of {self.name} is gone", [fault])
        return ModelState.after(events)

    def begin(self) -> None:
        """Begin the log of a model that may be new, before its first version is there; under the lock."""
        self.log.chain.begin()

    def holds(self, number: int) -> bool:
        """Whether there is a folder of a version's number, with something in it."""
        place = self.place(number)
        return place.is_dir() and any(place.iterdir())

    @contextmanager
    def change(self) -> Iterator[ModelState]:
        """Hold the model's lock and give the state that a new event follows.

        Raises
        ------
        ConflictError
            If another process held the model for a minute.
        IntegrityError
            If the log is not as it was written.
        ResourceError, StorageError
            If the disk is full, or cannot be written.
        """
        with disk_errors(self.folder), exclusive(self.folder / LOCK):
            yield self.state()

    def open(self, number: int, state: ModelState) -> ModelVersion:
        """Return a version that the state holds.

        Raises
        ------
        ConfigError
            If there is no such version, or no longer.
        IntegrityError
            If its manifest is not the one that was registered.
        """
        self.check_known(number, state)
        gates = tuple(state.gates.get(number, ()))
        return ModelVersion.open(
            self.place(number), state.manifests[number], aliases=state.aliases(number), gates=gates
        )

    def check_known(self, number: int, state: ModelState) -> None:
        """Refuse a number that no version has; errors as in `open`."""
        if number in state.manifests:
            return
        known = f"known: {', '.join(map(str, sorted(state.manifests))) or 'none'}"
        fix = f"it was removed by `fdsearch registry gc`; {known}" if number in state.collected else known
        fault = Fault("MODEL", f"version {number} of {self.name}", "a version that is registered", fix)
        raise ConfigError("this names no version", [fault])
