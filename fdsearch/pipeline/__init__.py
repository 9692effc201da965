"""The public verbs: each takes a study and a root folder and returns what the command of its name prints as JSON.

Imported lazily, name by name, because most of them bring Optuna or scikit-learn along.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fdsearch.pipeline.auditing import audit
    from fdsearch.pipeline.caches import clear_caches, list_caches
    from fdsearch.pipeline.demonstration import demo
    from fdsearch.pipeline.full_run import run
    from fdsearch.pipeline.looking import plan, space_samples
    from fdsearch.pipeline.one_configuration import train
    from fdsearch.pipeline.refitting import refit
    from fdsearch.pipeline.reporting import dashboard, dashboard_address, free_port, load_study, write_report
    from fdsearch.pipeline.reproducing import reproduce
    from fdsearch.pipeline.run_status import logs, status, stop
    from fdsearch.pipeline.search_stage import search
    from fdsearch.pipeline.selection_stage import select
    from fdsearch.pipeline.studies import resolve_study

_MODULES = {
    "audit": "auditing",
    "clear_caches": "caches",
    "dashboard": "reporting",
    "dashboard_address": "reporting",
    "demo": "demonstration",
    "free_port": "reporting",
    "list_caches": "caches",
    "load_study": "reporting",
    "logs": "run_status",
    "plan": "looking",
    "refit": "refitting",
    "reproduce": "reproducing",
    "resolve_study": "studies",
    "run": "full_run",
    "search": "search_stage",
    "select": "selection_stage",
    "space_samples": "looking",
    "status": "run_status",
    "stop": "run_status",
    "train": "one_configuration",
    "write_report": "reporting",
}

__all__ = [
    "audit",
    "clear_caches",
    "dashboard",
    "dashboard_address",
    "demo",
    "free_port",
    "list_caches",
    "load_study",
    "logs",
    "plan",
    "refit",
    "reproduce",
    "resolve_study",
    "run",
    "search",
    "select",
    "space_samples",
    "status",
    "stop",
    "train",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
