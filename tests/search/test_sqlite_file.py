"""The SQLite file under faults: damage, journals of killed processes, other programs' locks, other versions."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from search_bench import POINTS
from search_checks import check

from fdsearch.errors import StorageError
from fdsearch.search import sqlite_file
from fdsearch.search.sqlite_file import network_warning, written_by_optuna4
from fdsearch.search.storage import open_storage

POP = """
import sys
import optuna
from fdsearch.search.storage import open_storage
optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.load_study(study_name="queue", storage=open_storage(sys.argv[1]))
study.sampler = optuna.samplers.RandomSampler(seed=0)
while True:
    number = study.ask().number
    if number >= 80:  # the queue is empty, this one is new
        break
    print(number)
"""


def test_no_two_processes_take_the_same_waiting_trial(tmp_path: Path) -> None:
    study = optuna.create_study(storage=open_storage(tmp_path / "study.db"), study_name="queue")
    for number in range(80):
        study.enqueue_trial({"x": number})
    command = [sys.executable, "-c", POP, str(tmp_path / "study.db")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    popped = [process.communicate()[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sorted(int(number) for numbers in popped for number in numbers) == list(range(80))


def test_the_journal_of_a_killed_process_is_undone_not_called_damage(tmp_path: Path) -> None:
    live, left = tmp_path / "live", tmp_path / "left"
    live.mkdir()
    left.mkdir()
    study = optuna.create_study(storage=open_storage(live / "study.db"), study_name="tiles")
    for number in range(30):
        study.enqueue_trial({"x": number}, user_attrs={"words": "before " * 60})
    with closing(sqlite3.connect(live / "study.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size=2")  # a transaction larger than that is in the file before its commit
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE trial_user_attributes SET value_json = replace(value_json, 'before', 'half-way')")
        for name in ("study.db", "study.db-journal"):  # what a kill now would leave
            shutil.copy(live / name, left / name)
    assert b"half-way" in (left / "study.db").read_bytes()
    storage = open_storage(left / "study.db")
    trials = optuna.load_study(study_name="tiles", storage=storage).trials
    assert [trial.user_attrs["words"] for trial in trials] == ["before " * 60] * 30


def test_a_file_that_was_killed_while_it_was_made_is_completed(tmp_path: Path) -> None:
    database = tmp_path / "study.db"
    sqlite_file.make(database)
    open_storage(database).engine.dispose()
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM version_info")
        connection.execute("DROP TABLE alembic_version")
        connection.execute("DROP TABLE trial_heartbeats")
    optuna.create_study(storage=open_storage(database), study_name="tiles").enqueue_trial({"x": 1})
    assert len(optuna.load_study(study_name="tiles", storage=f"sqlite:///{database}").trials) == 1


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    """Another program's connection to the database; waiting for it is cut short."""
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_S", 1)
    open_storage(tmp_path / "study.db").engine.dispose()
    with closing(sqlite3.connect(tmp_path / "study.db", isolation_level=None, check_same_thread=False)) as connection:
        yield connection


def test_a_database_held_by_another_program_is_refused_when_opened(tmp_path: Path, held: sqlite3.Connection) -> None:
    held.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageError, match="locked") as caught:
        open_storage(tmp_path / "study.db")
    assert caught.value.faults[0].where == str(tmp_path / "study.db")
    held.execute("ROLLBACK")
    open_storage(tmp_path / "study.db")


def test_a_database_taken_in_the_middle_ends_the_search_and_nothing_is_lost(
    bench: Any, held: sqlite3.Connection
) -> None:
    def take(loop: Any) -> None:
        if loop.ledger.n_finished == 1 and not held.in_transaction:
            held.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StorageError, match="locked") as caught:
        bench.search(bench.small_task(), POINTS, on_change=take)
    assert caught.value.faults[0].where == str(bench.folder / "study.db")
    held.execute("ROLLBACK")
    check(bench, bench.search(bench.small_task(), POINTS), kills=1)


def test_a_lock_that_goes_away_in_time_is_not_noticed(
    bench: Any, held: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT_S", 60)
    released = []

    def take(loop: Any) -> None:
        if loop.ledger.n_finished == 1 and not released:
            held.execute("BEGIN EXCLUSIVE")
            released.append(threading.Timer(1.0, held.execute, ["ROLLBACK"]))
            released[0].start()

    study = bench.search(bench.small_task(), POINTS, on_change=take)
    released[0].join()
    check(bench, study, kills=0)


def in_tokyo(utc: str | None) -> str | None:
    return None if utc is None else (datetime.fromisoformat(utc) + timedelta(hours=9)).strftime("%Y-%m-%d %H:%M:%S.%f")


@pytest.fixture
def old_file(bench: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, list[optuna.trial.FrozenTrial]]]:
    """A finished study as Optuna 4.9 would have written it in Tokyo, and its trials as they are.

    Files of 4.9.0 and 5.0.0 were compared statement by statement and row by row: tables, schema version (12) and
    revision are the same; only the library's version and the times' zone differ.
    """
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    study = bench.search(bench.small_task(), POINTS)
    study.enqueue_trial({"custom_quality": 0.1})  # no times yet
    trials = study.get_trials()
    study._storage._backend.engine.dispose()
    with closing(sqlite3.connect(bench.folder / "study.db")) as connection, connection:
        assert connection.execute("SELECT schema_version FROM version_info").fetchone() == (12,)
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("v3.2.0.a",)
        connection.execute("UPDATE version_info SET library_version = '4.9.0'")
        times = connection.execute("SELECT datetime_start, datetime_complete, trial_id FROM trials").fetchall()
        local = [(*(in_tokyo(text) for text in row[:2]), row[2]) for row in times]
        connection.executemany("UPDATE trials SET datetime_start = ?, datetime_complete = ? WHERE trial_id = ?", local)
    yield bench.folder / "study.db", trials
    monkeypatch.undo()
    time.tzset()


def content(database: Path) -> list[optuna.trial.FrozenTrial]:
    """What Optuna, without fdsearch, reads."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{database}")
    [summary] = optuna.get_all_study_summaries(storage)
    trials = optuna.load_study(study_name=summary.study_name, storage=storage).trials
    storage.engine.dispose()
    return trials


def test_a_database_of_optuna_4_is_upgraded_when_asked_and_not_touched_before(old_file: Any) -> None:
    database, trials = old_file
    before = database.read_bytes()
    with pytest.raises(StorageError, match="older Optuna") as caught:
        open_storage(database)
    assert "--upgrade-storage" in caught.value.faults[0].fix
    assert database.read_bytes() == before
    assert [path.name for path in database.parent.glob("study.db*")] == ["study.db"]

    open_storage(database, upgrade=True).engine.dispose()
    assert content(database) == trials
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT library_version FROM version_info").fetchone() == (optuna.__version__,)
    copy = database.with_name("study.db.optuna-4.9.0")
    assert written_by_optuna4(copy) == "4.9.0"
    assert copy.stat().st_mode & 0o777 == 0o640
    assert content(copy) != content(database), "the copy has the old times"

    kept = copy.read_bytes()
    open_storage(database, upgrade=True).engine.dispose()  # asked once more
    assert content(database) == trials
    assert copy.read_bytes() == kept


@pytest.mark.parametrize("broken", ["times", "schema"])
def test_an_upgrade_that_breaks_off_is_repeated_without_shifting_the_times_twice(
    old_file: Any, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    database, trials = old_file

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if broken == "times":
            patch.setattr(sqlite_file, "_to_utc", fail)
        else:
            patch.setattr(optuna.storages.RDBStorage, "upgrade", fail)
        with pytest.raises(KeyboardInterrupt):
            open_storage(database, upgrade=True)
    open_storage(database, upgrade=True).engine.dispose()
    assert content(database) == trials
    assert all(written_by_optuna4(path) == "4.9.0" for path in database.parent.glob("study.db.optuna-*"))


@pytest.mark.parametrize(
    ("mounts", "warned"),
    [
        ("/dev/sda1 / ext4 rw 0 0\n", None),
        ("/dev/sda1 / ext4 rw 0 0\nbox:/home /home nfs4 rw 0 0\n", "nfs4 at /home"),
        ("box:/ / nfs rw 0 0\n/dev/sda1 /home ext4 rw 0 0\n", None),
        ("/dev/sda1 / ext4 rw 0 0\n//nas/x /home/user cifs rw 0 0\n", "cifs at /home/user"),
        ("/dev/sda1 / ext4 rw 0 0\nh:/x /home/us nfs rw 0 0\n", None),
        (
            "/dev/sda1 / ext4 rw 0 0\nu@h:/ /home/user/my\\040runs fuse.sshfs rw 0 0\n",
            "fuse.sshfs at /home/user/my runs",
        ),
        ("torn line\n", None),
        ("", None),
    ],
)
def test_network_disks_are_warned_of(tmp_path: Path, mounts: str, warned: str | None) -> None:
    table = tmp_path / "mounts"
    table.write_text(mounts)
    warning = network_warning(Path("/home/user/my runs/tiles/study.db"), table)
    assert (warning is None) == (warned is None)
    assert (warned or "") in (warning or "")


def test_no_table_of_mounts_is_no_warning(tmp_path: Path) -> None:
    assert network_warning(tmp_path / "study.db", tmp_path / "absent") is None
