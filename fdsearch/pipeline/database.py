"""Where a run keeps its study: a SQLite file in its folder, or the PostgreSQL database it was started with."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fdsearch.errors import ConfigError, Fault, StorageError
from fdsearch.files import write_json

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

    from fdsearch.pipeline.means import Means

_FILE = "storage.json"
VARIABLE = "FDSEARCH_STORAGE"


def location(folder: Path, asked: str | None = None) -> str:
    """The file or URL of a run's study.

    Parameters
    ----------
    folder : Path
        The run folder.
    asked : str, optional
        The URL a person gave now; default what the run was started with, with the password of ``FDSEARCH_STORAGE``
        where that variable names the same database.

    Raises
    ------
    ConfigError
        If the run was started with another database.
    StorageError
        If it was started with a server, and the file that names it cannot be read.
    """
    from fdsearch.search.server import without_password
    from fdsearch.search.storage import is_shared

    recorded, file = _recorded(folder), folder / "study.db"
    given = os.environ.get(VARIABLE)
    if asked is None and recorded and given and is_shared(given) and without_password(given) == recorded:
        asked = given
    if asked is None:
        if recorded is None and _on_server(folder):
            raise _forgotten(folder)
        return recorded or str(file)
    if not is_shared(asked):
        fix = "postgresql+psycopg://USER@HOST/NAME, or no --storage for a SQLite file in the run folder"
        raise ConfigError("this storage is unknown", [Fault("--storage", "no URL", "PostgreSQL", fix)])
    before = recorded or (str(file) if file.is_file() else None)
    if before not in (None, without_password(asked)):
        raise _other(folder, str(before), without_password(asked))
    return asked


def open_database(folder: Path, means: Means, should_stop: Callable[[], bool]) -> RDBStorage:
    """Open the database of a run, and remember its URL (without password) in the run folder.

    `should_stop` is asked while a server is waited for.
    """
    from fdsearch.search.server import without_password
    from fdsearch.search.storage import is_shared, open_storage

    place = location(folder, means.storage)
    storage = open_storage(place, upgrade=means.upgrade_storage)
    if is_shared(place):
        storage.patience.should_stop = should_stop  # type: ignore[attr-defined]
        write_json(folder / _FILE, {"url": without_password(place)})
    return storage


def has_study(folder: Path) -> bool:
    """Whether a run has a study database."""
    return (folder / "study.db").is_file() or _on_server(folder)


def _on_server(folder: Path) -> bool:
    return (folder / _FILE).is_file()


def _recorded(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / _FILE).read_text(encoding="utf-8"))["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _forgotten(folder: Path) -> StorageError:
    fix = "give the same command with --storage URL, which writes it again"
    fault = Fault(str(folder / _FILE), "a damaged file", "the URL of the run's database", fix)
    return StorageError("the run's database is not known", [fault])


def _other(folder: Path, before: str, now: str) -> ConfigError:
    fix = "leave --storage as it was, give the study another name, or use --fresh, which moves the old run aside"
    return ConfigError("the run has its trials elsewhere", [Fault(str(folder), now, f"--storage {before}", fix)])
