"""The study database and the lock of the one parent that owns it.

The lock is the kernel's (``flock``): it is free the moment its holder is dead, so nothing has to be cleaned up.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fdsearch.errors import ConflictError, Fault, StorageError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

_HEADER = b"SQLite format 3\x00"
_BUSY_TIMEOUT_S = 60


def open_storage(database: Path) -> RDBStorage:
    """Open, or create, a study database.

    Raises
    ------
    StorageError
        If the file is not a sound SQLite database or the folder cannot be written. The file is left as it is.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    _check_sound(database)
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        # The path is absolute because every process of a run must mean the same file wherever it stands.
        return optuna.storages.RDBStorage(
            f"sqlite:///{database.resolve()}", engine_kwargs={"connect_args": {"timeout": _BUSY_TIMEOUT_S}}
        )
    except (SQLAlchemyError, OSError, RuntimeError) as error:
        fault = Fault(
            str(database), str(error).splitlines()[0], "a writable study database", "check folder, rights and disk"
        )
        raise StorageError("the study database cannot be opened", [fault]) from error


def _check_sound(database: Path) -> None:
    if not database.exists() or database.stat().st_size == 0:
        return
    fix = f"restore a backup, or move it aside and start again: mv {database} {database}.damaged"
    with database.open("rb") as stream:
        if stream.read(len(_HEADER)) != _HEADER:
            raise StorageError(
                "the study database is damaged", [Fault(str(database), "another kind of file", "SQLite", fix)]
            )
    try:
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=_BUSY_TIMEOUT_S)
        try:
            verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        raise StorageError(
            "the study database is damaged", [Fault(str(database), str(error), "SQLite", fix)]
        ) from error
    if verdict != "ok":
        raise StorageError("the study database is damaged", [Fault(str(database), verdict, "a sound file", fix)])


@contextmanager
def own_study(folder: Path) -> Iterator[None]:
    """Hold a run folder's lock.

    Raises
    ------
    ConflictError
        If another process holds it; the message names that process.
    """
    path = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    except OSError as error:
        fault = Fault(
            str(path), error.strerror or str(error), "a writable folder", "check rights and disk, or use --root"
        )
        raise StorageError("the run folder cannot be written", [fault]) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 4096).decode(errors="replace") or "another process"
            fault = Fault(str(path), f"held by {holder}", "a free lock", "wait for it, or `fdsearch stop` it")
            raise ConflictError("another fdsearch is working on this study", [fault]) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({"pid": os.getpid(), "host": os.uname().nodename}).encode(), 0)
        yield
    finally:
        os.close(handle)


def holder(folder: Path) -> int | None:
    """The process id that holds a run folder's lock, or None if it is free."""
    try:
        handle = os.open(folder / "lock", os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        content = os.read(handle, 4096)
        return int(json.loads(content)["pid"]) if content else None
    finally:
        os.close(handle)
