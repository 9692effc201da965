"""A PostgreSQL server that several parents share: its address, connections to it, and doing something alone on it.

What a parent that stands still or vanishes holds there is set free by the server: others must not wait for it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fdsearch.errors import ConfigError, Fault, ResourceError
from fdsearch.search import patience
from fdsearch.search.patience import Patience, patient_storage

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage
    from sqlalchemy.engine import URL, Connection, Engine

IDLE_TRANSACTION_S = 20.0
"""How long a client may do nothing in the middle of a transaction, which takes milliseconds."""
_SCHEME = re.compile(r"^postgres(ql)?(\+psycopg)?://")
_CONNECTION = {
    "connect_timeout": 10,
    # A server whose machine is gone says nothing at all.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "application_name": "fdsearch",
}


def is_address(location: str) -> bool:
    """Whether a location is the URL of a PostgreSQL database."""
    return _SCHEME.match(location) is not None


def without_password(location: str) -> str:
    """A URL that may be written down; the password then comes from ``~/.pgpass`` or ``PGPASSWORD``.

    Examples
    --------
    >>> without_password("postgresql://ann:secret@db/tiles?password=secret&sslmode=require")
    'postgresql+psycopg://ann@db/tiles?sslmode=require'
    """
    # SQLAlchemy's own way, `url.set(password=None)`, changes nothing.
    url = _parse(location)._replace(password=None)
    return url.difference_update_query(["password", "sslpassword"]).render_as_string()


def _parse(location: str) -> URL:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(_SCHEME.sub("postgresql+psycopg://", location))
    except (ArgumentError, ValueError):
        fix = "percent-encode special characters in USER and PASSWORD; PORT is a number"
        fault = Fault("--storage", "a URL that cannot be read", "postgresql+psycopg://USER@HOST:PORT/NAME", fix)
        raise ConfigError("the storage's URL is malformed", [fault]) from None  # the cause may quote a password


def open_server(location: str) -> RDBStorage:
    """Open a study database on a server, with its tables; its calls then wait for a server that is away."""
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise ResourceError("PostgreSQL needs a driver: pip install 'fdsearch[postgres]'") from error

    options: dict[str, Any] = {
        "pool_pre_ping": True,  # a connection that a restart of the server broke is replaced, not used
        "pool_size": 2,
        "max_overflow": 3,
        "connect_args": _CONNECTION,
    }
    storage: RDBStorage = Patience(patience.OPENING_S)(_make_storage)(_parse(location), options)
    storage.engine.dispose()  # connections from before the next line have no limit
    _limit_idle_transactions(storage.engine)
    return storage


def _make_storage(url: URL, options: dict[str, Any]) -> RDBStorage:
    from sqlalchemy import create_engine

    engine = create_engine(url, **options)
    try:
        with _held(engine, "schema", _lock):  # two parents must not create the tables at the same time
            # Rendered anew, because Optuna takes braces in a URL for a template's.
            return patient_storage()(url.render_as_string(hide_password=False), engine_kwargs=options)
    finally:
        engine.dispose()


def _limit_idle_transactions(engine: Engine) -> None:
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def limit(connection: Any, record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET idle_in_transaction_session_timeout = {round(1000 * IDLE_TRANSACTION_S)}")
        connection.commit()


def has_server(storage: RDBStorage) -> bool:
    """Whether an opened storage is on a server that several parents may use."""
    return bool(storage.engine.dialect.name != "sqlite")


@contextmanager
def alone(storage: BaseStorage, task: str) -> Iterator[None]:
    """Let no other parent do the same task on a shared database meanwhile; on a file the run folder's lock does.

    A parent that stands still, or whose connection breaks, is alone no longer.
    """
    backend: Any = getattr(storage, "_backend", storage)
    if not has_server(backend):
        yield
        return
    with _held(backend.engine, task, backend.patience(_lock)):
        yield


@contextmanager
def _held(engine: Engine, task: str, lock: Callable[[Engine, str], Connection]) -> Iterator[None]:
    """Hold an advisory lock of the server, which releases it when the transaction ends, however that ends."""
    from sqlalchemy.exc import SQLAlchemyError

    connection = lock(engine, task)
    try:
        yield
    finally:
        try:
            connection.rollback()
        except SQLAlchemyError:  # the connection broke, and the lock went with it
            connection.invalidate()
        connection.close()


def _lock(engine: Engine, task: str) -> Connection:
    from sqlalchemy import text

    key = int.from_bytes(hashlib.sha256(f"fdsearch {task}".encode()).digest()[:8], signed=True)
    connection = engine.connect()
    try:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
    except BaseException:
        connection.invalidate()
        connection.close()
        raise
    return connection
