"""Reports and the dashboard of a run, from what its folder holds."""

from __future__ import annotations

import getpass
import json
import socket
from pathlib import Path
from typing import Any

from fdsearch.errors import ConfigError, ConflictError, Fault
from fdsearch.files import write_atomic, write_json
from fdsearch.pipeline.database import has_study, location
from fdsearch.pipeline.names import run_name
from fdsearch.progress import Progress, Silent
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
        from fdsearch.search.history import pareto, table

        trials = table(load_study(folder.name, root))
        tables = {"study": folder.name, "trials": trials, "pareto": pareto(trials)}
    return _render(folder, tables)


def dashboard(study: str, root: Path, port: int, progress: Progress | None = None) -> None:
    """Serve optuna-dashboard for a run on 127.0.0.1 until interrupted, on a copy with notes and pictures."""
    from fdsearch.pipeline.trial_page import TrialPages
    from fdsearch.search.dashboard import serve

    name = run_name(study, root)
    pages = TrialPages(Workspace(root.resolve()).run(name))
    serve(_location(name, root), name, port, pages.note, pages.picture, progress or Silent())


def free_port(port: int) -> int:
    """The port itself, or a free one for 0.

    Raises
    ------
    ConflictError
        If it cannot be used.
    """
    try:
        with socket.socket() as probe:
            # As the server does: a port whose last connections are still winding up is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    except OSError as error:
        fault = Fault(f"port {port}", error.strerror or str(error), "a free port", "give --port another number, or 0")
        raise ConflictError("the port cannot be used", [fault]) from error


def dashboard_address(port: int) -> dict[str, Any]:
    """Where a dashboard is found: ``url`` on this machine, and the ``ssh`` line that brings it to another desk."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in containers
        user = "USER"
    forward = f"ssh -L {port}:127.0.0.1:{port} {user}@{socket.gethostname()}"
    return {"url": f"http://127.0.0.1:{port}/dashboard", "ssh": forward}


def load_study(study: str, root: Path) -> Any:
    """The Optuna study of a run, on its latest data.

    Returns
    -------
    optuna.Study
    """
    import optuna

    from fdsearch.search.storage import open_storage
    from fdsearch.search.study import NAME

    name = run_name(study, root)
    storage = open_storage(_location(name, root))
    found = [s for s in optuna.get_all_study_summaries(storage) if s.user_attrs.get(NAME) == name]
    if not found:
        raise ConfigError("the run holds no study yet", [Fault(name, "an empty database", "a search", "run it first")])
    return optuna.load_study(study_name=found[-1].study_name, storage=storage)


def _location(name: str, root: Path) -> str:
    folder = Workspace(root.resolve()).run(name)
    if not has_study(folder):
        raise ConfigError("the run holds no study yet", [Fault(str(folder), "no database", "a search", "run it first")])
    return location(folder)


def _render(folder: Path, tables: dict[str, Any]) -> Path:
    from fdsearch.report.html import render

    path = folder / "report.html"
    write_atomic(path, render(tables).encode())
    return path
