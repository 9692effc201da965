"""Reports and the dashboard of a run, from what its folder holds."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from fdsearch.errors import ConfigError, Fault
from fdsearch.files import write_atomic, write_json
from fdsearch.pipeline.names import run_name
from fdsearch.workspace import Workspace

_TABLES = "tables.json"


def write_tables(folder: Path, tables: dict[str, Any]) -> None:
    """Keep a run's tables and write its report."""
    write_json(folder / _TABLES, tables)
    _render(folder, tables)


def write_report(study: str, root: Path) -> Path:
    """Write the report of a finished run again, or a first one of a search that is not finished.

    Returns
    -------
    Path
        ``ROOT/runs/NAME/report.html``, absolute.
    """
    folder = Workspace(root.resolve()).run(run_name(study, root))
    if (folder / _TABLES).is_file():
        tables = json.loads((folder / _TABLES).read_text(encoding="utf-8"))
    else:
        from fdsearch.search.history import table

        tables = {"study": folder.name, "trials": table(load_study(folder.name, root))}
    return _render(folder, tables)


def dashboard(study: str, root: Path, port: int) -> None:
    """Serve optuna-dashboard for a run on 127.0.0.1 until interrupted."""
    from fdsearch.search.dashboard import serve

    serve(_database(run_name(study, root), root), port)


def free_port(port: int) -> int:
    """The port itself, or a free one for 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
        return int(probe.getsockname()[1])


def load_study(name: str, root: Path) -> Any:
    """The Optuna study of a run, on its latest data.

    Returns
    -------
    optuna.Study
    """
    import optuna

    from fdsearch.search.study import NAME

    storage = f"sqlite:///{_database(name, root)}"
    found = [s for s in optuna.get_all_study_summaries(storage) if s.user_attrs.get(NAME) == name]
    if not found:
        raise ConfigError("the run holds no study yet", [Fault(name, "an empty database", "a search", "run it first")])
    return optuna.load_study(study_name=found[-1].study_name, storage=storage)


def _database(name: str, root: Path) -> Path:
    database = Workspace(root.resolve()).run(name) / "study.db"
    if not database.is_file():
        raise ConfigError("the run holds no study yet", [Fault(str(database), "nothing", "a search", "run it first")])
    return database


def _render(folder: Path, tables: dict[str, Any]) -> Path:
    from fdsearch.report.html import render

    path = folder / "report.html"
    write_atomic(path, render(tables).encode())
    return path
