"""What makes one SQLite file a safe study database: checks before it is opened, and how transactions begin.

`storage` opens the file; here nothing knows of trials.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdsearch.errors import Fault, ResourceError, StorageError
from fdsearch.files import disk_errors

if TYPE_CHECKING:
    from sqlalchemy import Engine

BUSY_TIMEOUT_S = 60
"""How long a statement waits for another program that holds the database."""

_HEADER = b"SQLite format 3\x00"
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "lustre", "beegfs", "glusterfs", "ceph", "fuse.sshfs"}
_TIMES = {"trials": ("datetime_start", "datetime_complete")}


def make(database: Path) -> None:
    """Create an empty file with the rights of all our files: SQLite itself would ask nobody but the umask.

    Raises
    ------
    StorageError, ResourceError
        If the folder cannot be written, or the disk is full.
    """
    with disk_errors(database, "the study database"):
        database.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(database, os.O_RDWR | os.O_CREAT, 0o640))
    if not os.access(database, os.W_OK):
        fault = Fault(str(database), "a read-only file", "a writable study database", "check its rights, or use --root")
        raise StorageError("the study database cannot be written", [fault])


def check_sound(database: Path) -> None:
    """Refuse a file that is no sound SQLite database, and leave it as it is.

    Raises
    ------
    StorageError
        With the command that moves the file aside.
    """
    if not database.exists() or database.stat().st_size == 0:
        return
    fix = f"restore a backup, or move it aside and start again: mv {database} {database}.damaged"
    with database.open("rb") as stream:
        if stream.read(len(_HEADER)) != _HEADER:
            fault = Fault(str(database), "another kind of file", "SQLite", fix)
            raise StorageError("the study database is damaged", [fault])
    try:
        with closing(_existing(database)) as connection:
            verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise locked(str(database)) from error
        raise StorageError(
            "the study database is damaged", [Fault(str(database), str(error), "SQLite", fix)]
        ) from error
    except sqlite3.DatabaseError as error:
        raise StorageError(
            "the study database is damaged", [Fault(str(database), str(error), "SQLite", fix)]
        ) from error
    if verdict != "ok":
        raise StorageError("the study database is damaged", [Fault(str(database), verdict, "a sound file", fix)])


def locked(where: str) -> StorageError:
    """What a person is told after a database was held by another program for `BUSY_TIMEOUT_S`."""
    fix = "close the program that holds it (a database browser, a backup), then give the same command again"
    fault = Fault(where, f"held by another program for {BUSY_TIMEOUT_S} s", "a free database", fix)
    return StorageError("the study database is locked", [fault])


def full(where: str, words: str) -> ResourceError:
    """What a person is told where a database has no room to grow."""
    fault = Fault(where, words, "room for the study database", "free space there; the same command then goes on")
    return ResourceError("the disk is full", [fault])


def begin_immediately(engine: Engine) -> None:
    """Let every transaction take its write lock when it begins.

    With SQLite's own default two processes may read the same waiting trial before either writes, and both run it
    (Optuna's ``SELECT ... FOR UPDATE`` means nothing to SQLite).
    """
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver shall not begin transactions of its own

    @event.listens_for(engine, "begin")
    def _begun(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def refuse_at_once(engine: Engine) -> None:
    """Say at the first attempt that the database is locked or its disk full; Optuna makes five to create a trial.

    Raises
    ------
    StorageError, ResourceError
        From whatever uses the engine.
    """
    from sqlalchemy import event

    @event.listens_for(engine, "handle_error")
    def _refused(context: Any) -> None:
        words, where = str(context.original_exception), str(engine.url.database)
        if "database is locked" in words:
            raise locked(where) from context.original_exception
        if "database or disk is full" in words:
            raise full(where, words) from context.original_exception


def network_warning(database: Path, mounts: Path = Path("/proc/self/mounts")) -> str | None:
    """A line for a person if the file lies on a network disk, whose locks SQLite cannot rely on."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return None
    table = [(Path(fields[1].replace("\\040", " ")), fields[2]) for line in lines if len(fields := line.split()) > 2]
    around = [(place, kind) for place, kind in table if database.resolve().is_relative_to(place)]
    place, kind = max(around, key=lambda entry: len(entry[0].parts), default=(Path("/"), ""))
    if kind not in _NETWORK:
        return None
    return (
        f"{database} lies on a network disk ({kind} at {place}): SQLite's locks are not reliable there and a power "
        "failure may damage it; put --root on a local disk, or use --storage with PostgreSQL"
    )


def written_by_optuna4(database: Path) -> str | None:
    """The Optuna version below 5 that made the file, or None."""
    if not database.exists() or database.stat().st_size == 0:
        return None
    try:
        with closing(_existing(database)) as connection:
            row = connection.execute("SELECT library_version FROM version_info").fetchone()
    except sqlite3.DatabaseError:  # no Optuna has written into it yet
        return None
    version = str(row[0]) if row else ""
    major = version.split(".")[0]
    return version if major.isdigit() and int(major) < 5 else None


def upgrade_times(database: Path, to: str) -> Path:
    """Bring a file of Optuna 4 to today's meaning of its times (UTC instead of local), after a copy of it.

    The schema itself is Optuna's to upgrade. The times and the version are written in one transaction, so that a kill
    cannot shift the times twice.

    Parameters
    ----------
    database : Path
    to : str
        The Optuna version it is of from now on.

    Returns
    -------
    Path
        The copy.
    """
    copy = _kept_copy(database, f"optuna-{written_by_optuna4(database)}")
    with closing(_existing(database)) as connection, connection:
        connection.execute("UPDATE version_info SET library_version = ?", (to,))
        for table, columns in _TIMES.items():
            for column in columns:
                rows = connection.execute(f"SELECT rowid, {column} FROM {table} WHERE {column} IS NOT NULL").fetchall()
                changed = [(_to_utc(text), row) for row, text in rows]
                connection.executemany(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", changed)
    return copy


def _kept_copy(database: Path, suffix: str) -> Path:
    """Copy a database beside it, whole or not at all, and over no earlier copy."""
    names = (f"{database.name}.{suffix}" + (f".{number}" if number else "") for number in itertools.count())
    copy = next(path for path in map(database.with_name, names) if not path.exists())
    torn = copy.with_name(f".{copy.name}.tmp")
    with disk_errors(copy, "a copy of the study database"):
        torn.unlink(missing_ok=True)
        make(torn)
        with closing(_existing(database)) as source, closing(sqlite3.connect(torn)) as target:
            source.backup(target)
        torn.replace(copy)
    return copy


def _to_utc(text: str) -> str:
    local = datetime.fromisoformat(text).astimezone()  # a time without a zone is taken as local
    return local.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _existing(database: Path) -> sqlite3.Connection:
    # For writing, though nothing is written: a process that was killed in a transaction leaves a journal, and a reader
    # that may not undo it is told of an unwritable database.
    return sqlite3.connect(f"{database.resolve().as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S)
