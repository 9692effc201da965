"""A copy of a study's database for the dashboard, with notes in it: whatever happens to it never reaches the study.

`dashboard` serves the copy. Whole tables are copied, because ids must stay the same from one refresh to the next;
`optuna.copy_study` gives new ones and takes 10 ms a trial.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdsearch.search.study import NAME

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

Note = Callable[[str, "FrozenTrial"], str]
"""Makes the note of a finished trial, in Markdown, from the name of its Optuna study and the trial."""

NOTES_PER_REFRESH = 50
BUSY_TIMEOUT_S = 60

_FINISHED = """
SELECT study_name, study_id, trial_id, number, datetime_complete FROM trials JOIN studies USING (study_id)
WHERE state IN ('COMPLETE', 'PRUNED', 'FAIL') ORDER BY trial_id DESC
"""
# optuna_dashboard.save_note needs 2 transactions and a reading of all notes for each trial, at each refresh.
_ADD_NOTE = "INSERT OR IGNORE INTO study_system_attributes (study_id, key, value_json) VALUES (?, ?, ?)"


@dataclass
class Mirror:
    """The served copy of a study and how it is refreshed.

    Parameters
    ----------
    location : str or Path
        The study's SQLite file, or the URL of its PostgreSQL database.
    name : str
        The study's name; from a server, nothing else is copied.
    folder : Path
        A folder of its own for the copies.
    note : callable
        See `Note`. Called once for each finished trial.
    study_note : str
        The note of the study itself.
    """

    location: str | Path
    name: str
    folder: Path
    note: Note
    study_note: str
    _notes: dict[tuple[Any, ...], str] = field(default_factory=dict)
    _reader: RDBStorage | None = None

    @property
    def database(self) -> Path:
        """The SQLite file that is served."""
        return self.folder / "study.db"

    def refresh(self) -> None:
        """Make the served copy equal to the study again, with the notes of up to 50 more trials, newest first.

        The file stays the same file: SQLite's backup writes its pages under its lock, so a page that is being read is
        answered from the old state or from the new one.
        """
        fresh = self.folder / "fresh.db"
        if "://" in str(self.location):
            copy_server(str(self.location), self.name, fresh)
        else:
            copy_file(Path(self.location), fresh)
        self._add_notes(fresh)
        copy_file(fresh, self.database)

    def _add_notes(self, database: Path) -> None:
        with closing(sqlite3.connect(database)) as connection:
            finished = connection.execute(_FINISHED).fetchall()
            studies = connection.execute("SELECT study_id FROM studies").fetchall()
        new = (row for row in finished if row not in self._notes)
        for row in islice(new, NOTES_PER_REFRESH):
            self._notes[row] = self.note(row[0], self._trial(database, row[2]))
        rows = [row for (study_id,) in studies for row in _note_rows(study_id, "dashboard:", self.study_note)]
        for row in finished:
            if row in self._notes:
                rows += _note_rows(row[1], f"dashboard:{row[2]}:", self._notes[row])
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.executemany(_ADD_NOTE, rows)

    def _trial(self, database: Path, trial_id: int) -> FrozenTrial:
        from optuna.storages import RDBStorage

        if self._reader is None:
            self._reader = RDBStorage(f"sqlite:///{database}", skip_compatibility_check=True, skip_table_creation=True)
        return self._reader.get_trial(trial_id)


def copy_file(source: Path, target: Path) -> None:
    """Copy a live SQLite database through its backup interface; `target` is made, or overwritten in one transaction."""
    reader = sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)
    writer = sqlite3.connect(target, timeout=BUSY_TIMEOUT_S)
    with closing(reader), closing(writer):
        reader.backup(writer)


def copy_server(url: str, name: str, target: Path) -> None:
    """Copy the Optuna studies of one study from a server's database into a new SQLite file, ids included."""
    import optuna
    from sqlalchemy import MetaData, create_engine

    from fdsearch.search.storage import open_storage

    target.unlink(missing_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    source, local = open_storage(url).engine, create_engine(f"sqlite:///{target}")
    optuna.storages.RDBStorage(f"sqlite:///{target}").engine.dispose()
    tables = MetaData()
    tables.reflect(local)
    try:
        # One snapshot: a trial and its values are read as of the same moment.
        snapshot = source.execution_options(isolation_level="REPEATABLE READ")
        with snapshot.connect() as reader, local.begin() as writer:
            for table, query in _queries(tables, name):
                rows = [dict(row) for row in reader.execute(query).mappings()]
                if rows:
                    writer.execute(table.insert(), rows)
    finally:
        local.dispose()
        source.dispose()


def _queries(tables: Any, name: str) -> Iterable[tuple[Any, Any]]:
    """Each table of a study with the selection of its rows, parents first."""
    from sqlalchemy import select

    attributes, trials = tables.tables["study_user_attributes"], tables.tables["trials"]
    stored = json.dumps(name)
    studies = select(attributes.c.study_id).where(attributes.c.key == NAME, attributes.c.value_json == stored)
    trial_ids = select(trials.c.trial_id).where(trials.c.study_id.in_(studies))
    for table in tables.sorted_tables:
        if "trial_id" in table.c and table is not trials:
            yield table, select(table).where(table.c.trial_id.in_(trial_ids))
        elif "study_id" in table.c:
            yield table, select(table).where(table.c.study_id.in_(studies))


def _note_rows(study_id: int, prefix: str, note: str) -> list[tuple[int, str, str]]:
    # The format of optuna_dashboard.save_note: a version, and the text in parts, of which SQLite needs only one.
    return [(study_id, f"{prefix}note_ver", "1"), (study_id, f"{prefix}note_str:0", json.dumps(note))]
