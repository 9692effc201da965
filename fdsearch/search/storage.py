"""Where studies are kept: one SQLite file in the run folder, or a PostgreSQL server that several machines share.

There is no third storage: journals tear on a kill, and Optuna's proxy speaks without encryption.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fdsearch.errors import ConfigError, Fault, FdsearchError, StorageError
from fdsearch.search import server, sqlite_file
from fdsearch.search.patience import lost_connection

if TYPE_CHECKING:
    from optuna.storages import RDBStorage


def is_shared(location: str | Path) -> bool:
    """Whether several parents may work on the studies there.

    Raises
    ------
    ConfigError
        If it is the URL of something else than PostgreSQL.
    """
    text = str(location)
    if "://" in text and not server.is_address(text):
        scheme = text.partition("://")[0]
        fix = "postgresql+psycopg://USER@HOST/NAME, or no --storage for a SQLite file in the run folder"
        raise ConfigError("this storage is unknown", [Fault("--storage", f"{scheme}://", "PostgreSQL", fix)])
    return "://" in text


def open_storage(location: str | Path, *, upgrade: bool = False) -> RDBStorage:
    """Open, or create, a study database.

    Parameters
    ----------
    location : str or Path
        A SQLite file, or the URL of a PostgreSQL database.
    upgrade : bool
        Upgrade a file of Optuna 4, after a copy, instead of refusing it.

    Raises
    ------
    StorageError
        If the file is not a sound SQLite database or cannot be written, or the server cannot be reached. A file is
        left as it is.
    ResourceError
        If the PostgreSQL driver is not installed, or the disk is full.
    """
    shared = is_shared(location)
    with storage_errors(location):
        return server.open_server(str(location)) if shared else _open_file(Path(location), upgrade)


def _open_file(database: Path, upgrade: bool) -> RDBStorage:
    from optuna.storages import RDBStorage

    sqlite_file.check_sound(database)
    _check_version(database, upgrade)
    sqlite_file.make(database)
    # The path is absolute because every process of a run must mean the same file wherever it stands.
    storage = RDBStorage(
        f"sqlite:///{database.resolve()}",
        engine_kwargs={"connect_args": {"timeout": sqlite_file.BUSY_TIMEOUT_S}},
        skip_compatibility_check=upgrade,
    )
    if upgrade:
        storage.upgrade()
    storage.engine.dispose()  # connections from before the next line begin their transactions in the old way
    sqlite_file.begin_immediately(storage.engine)
    sqlite_file.refuse_at_once(storage.engine)
    return storage


def _check_version(database: Path, upgrade: bool) -> None:
    import optuna

    version = sqlite_file.written_by_optuna4(database)
    if version is None:
        return
    if upgrade:
        sqlite_file.upgrade_times(database, to=optuna.__version__)
        return
    fix = "give the command again with --upgrade-storage (a copy is kept), or start anew with --fresh"
    fault = Fault(str(database), f"a database of Optuna {version}", "one of Optuna 5", fix)
    raise StorageError("the study database is of an older Optuna", [fault])


@contextmanager
def storage_errors(location: str | Path) -> Iterator[None]:
    """Say in our words what a database refused.

    Raises
    ------
    ResourceError
        If its disk is full.
    StorageError
        If it is locked, unreachable, damaged or cannot be written.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except FdsearchError:
        raise
    except (StorageInternalError, SQLAlchemyError, OSError, RuntimeError) as error:
        if not isinstance(error, (StorageInternalError, SQLAlchemyError)) and not _is_opening(error):
            raise
        raise _in_our_words(str(location), error) from error


def _is_opening(error: BaseException) -> bool:
    """Whether an error that may mean anything is Optuna's about the version of a database."""
    return "optuna" in str(error) and "version" in str(error)


def _in_our_words(location: str, error: BaseException) -> FdsearchError:
    where = server.without_password(location) if "://" in location else location
    where = where.removeprefix("sqlite:///")
    reason = error.__cause__ or error
    words = str(getattr(reason, "orig", None) or reason).strip().splitlines()[0]
    if "database or disk is full" in words or "No space left" in words:
        return sqlite_file.full(where, words)
    if "database is locked" in words:
        return sqlite_file.locked(where)
    if "://" in where and lost_connection(error):
        fix = "start the server or mend the network; finished results are kept and told by the same command"
        return StorageError("the database server does not answer", [Fault(where, words, "a PostgreSQL server", fix)])
    fault = Fault(where, words, "a writable study database", "check place, rights and disk")
    return StorageError("the study database cannot be used", [fault])
