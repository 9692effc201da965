"""A server that is away: what is waited for, what is not, and what a person is told."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import optuna
import pytest
import sqlalchemy.exc
from postgres_server import PostgresServer

from fdsearch.errors import ConfigError, FdsearchError, StorageError
from fdsearch.search import patience, server
from fdsearch.search.patience import Patience, lost_connection
from fdsearch.search.server import alone, without_password
from fdsearch.search.storage import open_storage, storage_errors

SECRET = "s3cret-w0rd"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds for everything."""
    monkeypatch.setattr(patience, "PATIENCE_S", 2.0)
    monkeypatch.setattr(patience, "OPENING_S", 0.5)


@pytest.fixture
def guarded_url(postgres: PostgresServer) -> Iterator[str]:
    """A database whose server asks this user, and nobody else, for a password."""
    import psycopg

    url = postgres.new_database().replace("fdsearch@", f"guarded:{SECRET}@")
    rules = postgres.folder / "data" / "pg_hba.conf"
    before = rules.read_text()
    with psycopg.connect(postgres.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE guarded SUPERUSER LOGIN PASSWORD '{SECRET}'")
        rules.write_text(f"host all guarded 127.0.0.1/32 scram-sha-256\n{before}")
        connection.execute("SELECT pg_reload_conf()")
        yield url
        rules.write_text(before)
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("DROP OWNED BY guarded")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'guarded'")
        connection.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")
        connection.execute("DROP ROLE guarded")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def refused(url: str) -> FdsearchError:
    with pytest.raises(FdsearchError) as caught:
        open_storage(url)
    return caught.value


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_calls_outlive_a_restart(
    postgres: PostgresServer, postgres_url: str, mode: Literal["fast", "immediate"]
) -> None:
    storage = open_storage(postgres_url)
    study = optuna.create_study(storage=storage)
    trial = study.ask()

    def go_on() -> None:
        trial.suggest_float("x", 0.0, 1.0)
        trial.report(0.5, step=0)
        study.tell(trial, 0.5)

    postgres.stop(mode)
    with ThreadPoolExecutor(1) as pool:
        going_on = pool.submit(go_on)
        time.sleep(0.5)
        assert not going_on.done()
        postgres.start()
        going_on.result()
    with alone(storage, "anything"):
        assert [t.value for t in study.get_trials()] == [0.5]
    storage.engine.dispose()


def test_a_reading_that_breaks_in_the_middle_is_made_again(postgres_url: str) -> None:
    """Optuna goes on in the broken transaction, and SQLAlchemy then complains about something else."""
    from sqlalchemy import event, text

    storage = open_storage(postgres_url)
    study = optuna.create_study(storage=storage)
    study.add_trial(optuna.trial.create_trial(value=1.0))
    cut = []

    @event.listens_for(storage.engine, "before_cursor_execute")
    def cut_once(connection, cursor, statement, *rest) -> None:  # type: ignore[no-untyped-def]
        if "FROM trials" in statement and not cut:
            cut.append(statement)
            with storage.engine.connect() as other:
                other.execute(
                    text("SELECT pg_terminate_backend(:pid)"),
                    {"pid": connection.connection.driver_connection.info.backend_pid},
                )

    assert [t.value for t in study.get_trials()] == [1.0]
    assert len(cut) == 1
    storage.engine.dispose()


def test_a_lock_that_broke_with_its_connection_harms_nobody(postgres: PostgresServer, postgres_url: str) -> None:
    storage = open_storage(postgres_url)
    with alone(storage, "task"):
        postgres.restart("immediate")
    with alone(storage, "task"), alone(storage, "another task"):
        pass
    storage.engine.dispose()


STANDS_STILL = """
import os, signal, sys
import optuna
from optuna.storages._rdb import models
from fdsearch.search import server
from fdsearch.search.storage import open_storage
server.IDLE_TRANSACTION_S = 1.0
storage = open_storage(sys.argv[1])
study = optuna.load_study(study_name="s", storage=storage)
call, stopped = models.StudyModel.find_or_raise_by_id, []
def stop_after(study_id, session, for_update=False):
    found = call(study_id, session, for_update)
    if for_update and not stopped:  # in the middle of a new trial, with the study's row locked
        stopped.append(1)
        os.kill(os.getpid(), signal.SIGSTOP)
    return found
models.StudyModel.find_or_raise_by_id = stop_after
print(study.ask().number, flush=True)
"""


def test_a_parent_that_stands_still_within_a_call_does_not_stop_the_others_and_lives_on(postgres_url: str) -> None:
    storage = open_storage(postgres_url)
    study = optuna.create_study(storage=storage, study_name="s")
    with subprocess.Popen(
        [sys.executable, "-c", STANDS_STILL, postgres_url], stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            os.waitid(os.P_PID, other.pid, os.WSTOPPED)
            assert study.ask().number == 0
            other.send_signal(signal.SIGCONT)
            assert other.communicate(timeout=60)[0] == "1\n"
            assert other.returncode == 0
        finally:
            other.kill()
    assert [trial.number for trial in study.get_trials()] == [0, 1]
    storage.engine.dispose()


def test_patience_ends_and_says_so(impatient: None, postgres: PostgresServer, postgres_url: str) -> None:
    storage = open_storage(postgres_url)
    study = optuna.create_study(storage=storage)
    postgres.stop("fast")
    try:
        with pytest.raises(StorageError) as caught, storage_errors(postgres_url):
            study.ask()
        assert caught.value.message == "the database server does not answer"
        assert caught.value.exit_code == 4
        began = time.monotonic()
        with pytest.raises(optuna.exceptions.StorageInternalError):
            study.set_user_attr("last words", 1)
        assert time.monotonic() - began < 2.0  # whoever was given up is not waited for again
    finally:
        postgres.start()
    study.set_user_attr("last words", 2)
    storage.engine.dispose()


def test_what_waiting_does_not_mend_is_not_waited_for() -> None:
    calls = []

    @Patience(60.0)
    def call() -> None:
        calls.append(1)
        raise ValueError("a fault of our own")

    with pytest.raises(ValueError, match="our own"):
        call()
    assert len(calls) == 1
    assert not lost_connection(ValueError("server closed the connection unexpectedly"))


def test_a_wrong_port_is_told_soon_and_without_the_password() -> None:
    url = f"postgresql+psycopg://ann:{SECRET}@127.0.0.1:{free_port()}/tiles"
    error = refused(url)
    assert isinstance(error, StorageError)
    assert error.message == "the database server does not answer"
    assert error.faults[0].where == url.replace(f":{SECRET}", "")
    assert SECRET not in repr(error.to_json())


def test_an_unknown_database_is_told_at_once(postgres: PostgresServer) -> None:
    error = refused(postgres.url.rpartition("/")[0] + "/no_such_database")
    assert isinstance(error, StorageError)
    assert "no_such_database" in error.faults[0].got
    assert "does not exist" in error.faults[0].got


def test_a_wrong_password_is_told_at_once_and_not_shown(guarded_url: str) -> None:
    storage = open_storage(guarded_url)
    storage.engine.dispose()
    error = refused(guarded_url.replace(SECRET, f"wrong-{SECRET}"))
    assert isinstance(error, StorageError)
    assert "password authentication failed" in error.faults[0].got
    assert SECRET not in repr(error.to_json())


@pytest.mark.parametrize(
    "url",
    [
        *(
            f"mysql://ann:{SECRET}@db/tiles",
            "sqlite:///tiles.db",
            "redis://db",
            f"postgresql+asyncpg://a:{SECRET}@db/t",
        ),
        *(f"postgresql://ann:{SECRET}@db:port/tiles", f"postgresql://ann:{SECRET}@db:54 32/tiles"),
    ],
)
def test_other_databases_and_unreadable_urls_are_refused(url: str) -> None:
    error = refused(url)
    assert isinstance(error, ConfigError)
    assert error.exit_code == 2
    assert error.faults[0].where == "--storage"
    assert SECRET not in repr(error.to_json())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgres://ann:{SECRET}@db/tiles", "postgresql+psycopg://ann@db/tiles"),
        (f"postgresql://ann:{SECRET}@db:6543/tiles", "postgresql+psycopg://ann@db:6543/tiles"),
        ("postgresql+psycopg://db/tiles", "postgresql+psycopg://db/tiles"),
        (f"postgresql://db/tiles?user=ann&password={SECRET}", "postgresql+psycopg://db/tiles?user=ann"),
        (f"postgresql://ann:%40{SECRET}%7B%25@db/tiles", "postgresql+psycopg://ann@db/tiles"),
    ],
)
def test_a_url_is_written_down_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_passwords_may_hold_any_character(guarded_url: str, postgres: PostgresServer) -> None:
    import psycopg

    with psycopg.connect(postgres.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("ALTER ROLE guarded PASSWORD 'a{b}%:@/c'")
    for written in ("a{b}%25:%40%2Fc", "a%7Bb%7D%25%3A%40%2Fc"):
        storage = open_storage(guarded_url.replace(SECRET, written))
        assert optuna.create_study(storage=storage).trials == []
        storage.engine.dispose()


def test_a_missing_driver_names_the_extra() -> None:
    code = """
import sys
sys.modules["psycopg"] = None
from fdsearch.errors import ResourceError
from fdsearch.search.storage import open_storage
try:
    open_storage("postgresql://db/tiles")
except ResourceError as error:
    print(error.exit_code, error)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "7 PostgreSQL needs a driver: pip install 'fdsearch[postgres]'\n"


OPEN = """
import sys, time
from pathlib import Path
import optuna
from fdsearch.search.server import alone
from fdsearch.search.storage import open_storage
from fdsearch.search.study import enqueue_first, open_study
from fdsearch.space_reader import parse_space
optuna.logging.set_verbosity(optuna.logging.WARNING)
space = parse_space({"custom_x": {"type": "float", "low": 0.0, "high": 1.0}})
Path(sys.argv[2]).touch()
while len(list(Path(sys.argv[2]).parent.glob("ready-*"))) < 4:
    time.sleep(0.001)
storage = open_storage(sys.argv[1])
with alone(storage, "tiles"):
    study = open_study(storage, "tiles", "0" * 64, {"a": 1})
    enqueue_first(study, space, [(f"point-{i}", {"custom_x": i / 10}) for i in range(5)])
print(study._study_id)
"""


def test_four_parents_open_an_empty_database_at_the_same_moment(postgres_url: str, tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, postgres_url, str(tmp_path / f"ready-{number}")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(4)
    ]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert said == [said[0]] * 4, said
    assert [process.returncode for process in processes] == [0] * 4
    storage = open_storage(postgres_url)
    [summary] = optuna.get_all_study_summaries(storage)
    study = optuna.load_study(study_name=summary.study_name, storage=storage)
    points = [trial.system_attrs["fixed_params"]["custom_x"] for trial in study.trials]
    assert points == [i / 10 for i in range(5)]
    storage.engine.dispose()


def test_the_server_frees_what_an_idle_parent_holds(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_TRANSACTION_S", 0.5)
    idle, other = open_storage(postgres_url), open_storage(postgres_url)
    with alone(idle, "task"), alone(other, "task"):
        pass
    for storage in (idle, other):
        storage.engine.dispose()


def test_a_person_who_asks_to_stop_need_not_wait_for_the_server() -> None:
    calls: list[float] = []

    def call() -> None:
        calls.append(time.monotonic())
        raise sqlalchemy.exc.OperationalError("", {}, ConnectionRefusedError("connection refused"))

    patient = Patience(3600.0)
    patient.should_stop = lambda: len(calls) == 2
    with pytest.raises(sqlalchemy.exc.OperationalError):
        patient(call)()
    assert len(calls) == 2
