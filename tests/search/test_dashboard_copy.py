"""The dashboard's copy: equal to the study whatever it is kept in, with notes, and never a way back."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from fdsearch.search import dashboard_copy
from fdsearch.search.dashboard_copy import Mirror, copy_file
from fdsearch.search.study import NAME


def fill(storage: str | RDBStorage, name: str = "tiles", n_trials: int = 6) -> optuna.Study:
    """A study with trials of every state."""
    study = optuna.create_study(storage=storage, study_name=f"{name}@0123", direction="maximize")
    study.set_user_attr(NAME, name)
    for number in range(n_trials):
        trial = study.ask()
        trial.suggest_float("learning_rate", 1e-5, 1e-2, log=True)
        trial.suggest_categorical("phases", ["probe", "head"])
        trial.report(0.5, 1)
        trial.report(float("nan"), 2)
        trial.set_user_attr("label", "<b>\U0001f600</b>")
        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        state = states[number % 3]
        study.tell(trial, 0.1 * number if state is TrialState.COMPLETE else None, state)
    study.enqueue_trial({"phases": "head"})
    study.ask()
    study.enqueue_trial({"phases": "probe"})
    return study


def mirror_of(location: str | Path, folder: Path) -> Mirror:
    folder.mkdir()
    return Mirror(location, "tiles", folder, lambda study, trial: f"{study} {trial.number}", "a copy")


def trials(study: optuna.Study, storage: str | RDBStorage) -> list[str]:
    """All that a database says of its trials, as text: NaN does not equal itself."""
    return list(map(repr, optuna.load_study(study_name=study.study_name, storage=storage).get_trials()))


def notes(database: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(database)) as connection:
        query = "SELECT key, value_json FROM study_system_attributes WHERE key LIKE 'dashboard:%note_str:0'"
        return dict(connection.execute(query).fetchall())


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_file_is_copied_with_its_trials_and_notes(tmp_path: Path, mode: str) -> None:
    folder = tmp_path / "strange #name%20?x"
    folder.mkdir()
    source = folder / "study.db"
    with closing(sqlite3.connect(source)) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}")
    study = fill(_url(source))
    mirror = mirror_of(source, tmp_path / "copy")
    mirror.refresh()
    assert trials(study, _url(mirror.database)) == trials(study, _url(source))
    found = notes(mirror.database)
    assert found["dashboard:1:note_str:0"] == '"tiles@0123 0"' and found["dashboard:note_str:0"] == '"a copy"'
    assert "dashboard:7:note_str:0" not in found, "a running trial has no note"
    assert notes(source) == {}


def _url(path: Path) -> str:
    from sqlalchemy.engine import URL

    return URL.create("sqlite", database=str(path)).render_as_string()


def test_notes_are_made_once_and_a_bounded_number_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard_copy, "NOTES_PER_REFRESH", 4)
    source, made = tmp_path / "study.db", []
    fill(_url(source))
    mirror = mirror_of(source, tmp_path / "copy")
    mirror.note = lambda study, trial: made.append(trial.number) or str(trial.number)
    for expected in ([5, 4, 3, 2], [5, 4, 3, 2, 1, 0], [5, 4, 3, 2, 1, 0]):
        mirror.refresh()
        assert made == expected
        assert len(notes(mirror.database)) == len(made) + 1


def test_a_note_of_a_person_in_the_study_is_kept(tmp_path: Path) -> None:
    from optuna_dashboard import save_note

    source = tmp_path / "study.db"
    save_note(fill(_url(source)), "mine")
    mirror = mirror_of(source, tmp_path / "copy")
    mirror.refresh()
    assert notes(mirror.database)["dashboard:note_str:0"] == '"mine"'


def test_readers_see_a_whole_study_while_it_is_refreshed(tmp_path: Path) -> None:
    source = tmp_path / "study.db"
    study = fill(_url(source))
    mirror = mirror_of(source, tmp_path / "copy")
    mirror.refresh()
    expected, failures, done = trials(study, _url(source)), [], threading.Event()

    def read() -> None:
        storage = RDBStorage(_url(mirror.database), engine_kwargs={"connect_args": {"timeout": 60}})
        while not done.is_set():
            try:
                if list(map(repr, storage.get_all_trials(1))) != expected:
                    failures.append("another state")
            except Exception as error:
                failures.append(repr(error))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(30):
        mirror.refresh()
    done.set()
    for reader in readers:
        reader.join()
    assert failures == []


def test_a_missing_study_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        copy_file(tmp_path / "none.db", tmp_path / "copy.db")
    assert not (tmp_path / "none.db").exists()


@pytest.fixture
def server(postgres_url: str) -> Iterator[RDBStorage]:
    storage = RDBStorage(postgres_url)
    yield storage
    storage.engine.dispose()


def test_a_server_gives_the_same_copy_of_this_study_alone(server: RDBStorage, tmp_path: Path) -> None:
    fill(server, "others")
    study = fill(server)
    mirror = mirror_of(server.url, tmp_path / "copy")
    for _ in range(2):
        mirror.refresh()
        local = _url(mirror.database)
        assert optuna.get_all_study_names(local) == [study.study_name]
        assert trials(study, local) == trials(study, server)
    number = study._study_id
    assert optuna.load_study(study_name=study.study_name, storage=local)._study_id == number, "pages keep their address"
    assert len(notes(mirror.database)) == 7
    optuna.delete_study(study_name=study.study_name, storage=local)
    assert study.study_name in optuna.get_all_study_names(server)
