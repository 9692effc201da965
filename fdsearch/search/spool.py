"""Results on their way into the database: on disk first, so that neither a kill nor a server that is away loses one.

`ledger` writes an entry before it tells and removes it afterwards; what an ended parent left is told by the next one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fdsearch.files import disk_errors, write_json


@dataclass(frozen=True)
class Entry:
    """The end of one trial.

    Parameters
    ----------
    study : str
        Name of the Optuna study.
    number : int
    parent : str
        Who ran it; another one's trial is not told about.
    state : {"COMPLETE", "PRUNED"}
    value : float or None
    attributes : mapping
        User attributes that are set with it.
    """

    study: str
    number: int
    parent: str
    state: str
    value: float | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


class Spool:
    """A folder of entries, one file per trial.

    Parameters
    ----------
    folder : Path
        Made with the first entry.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, entry: Entry) -> None:
        """Write an entry down.

        Raises
        ------
        ResourceError, StorageError
            If the disk is full or cannot be written.
        """
        with disk_errors(self._folder, "a trial's result"):
            write_json(self._path(entry), asdict(entry), durable=False)

    def forget(self, entry: Entry) -> None:
        """Remove an entry that was told."""
        self._path(entry).unlink(missing_ok=True)

    def left(self, study: str) -> Iterator[Entry]:
        """The entries of a study that an ended parent left; a torn file counts as absent."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                entry = Entry(**json.loads(path.read_text(encoding="utf-8")))
            except (ValueError, TypeError):
                path.unlink()
                continue
            if entry.study == study:
                yield entry

    def _path(self, entry: Entry) -> Path:
        return self._folder / f"{entry.study.rpartition('@')[2]}-{entry.number:04d}.json"
