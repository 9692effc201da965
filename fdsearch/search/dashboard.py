"""optuna-dashboard on loopback beside a study, on a copy: what is deleted there is not deleted here."""

from __future__ import annotations

import sqlite3
import tempfile
import threading
from pathlib import Path

_REFRESH_S = 5.0


def serve(database: Path, port: int) -> None:
    """Serve the dashboard of a study database until interrupted.

    optuna-dashboard has no authentication and can delete studies and finish trials, so it gets a copy that is
    refreshed every 5 seconds, and listens on 127.0.0.1 only.
    """
    import optuna
    from optuna_dashboard import run_server

    with tempfile.TemporaryDirectory(prefix="fdsearch-dashboard-") as folder:
        copy = Path(folder) / "study.db"
        copy_database(database, copy)
        ended = threading.Event()
        refresher = threading.Thread(target=_refresh, args=(database, copy, ended), daemon=True)
        refresher.start()
        try:
            run_server(optuna.storages.RDBStorage(f"sqlite:///{copy}"), host="127.0.0.1", port=port)
        finally:
            ended.set()
            refresher.join()


def copy_database(source: Path, target: Path) -> None:
    """Copy a live SQLite database through its backup interface."""
    reader = sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=60)
    writer = sqlite3.connect(target, timeout=60)
    try:
        reader.backup(writer)
    finally:
        writer.close()
        reader.close()


def _refresh(source: Path, target: Path, ended: threading.Event) -> None:
    while not ended.wait(_REFRESH_S):
        copy_database(source, target)
