"""The public verbs: each takes a study and a root folder and returns what the command of its name prints as JSON.

Imported lazily, name by name, because most of them bring Optuna or scikit-learn along.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "audit": "looking",
    "dashboard": "reporting",
    "demo": "demonstration",
    "free_port": "reporting",
    "load_study": "reporting",
    "logs": "run_status",
    "plan": "looking",
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


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
