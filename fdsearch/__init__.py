"""fdsearch finds, proves and ships the best image classifier for an inspection line.

The same job as on the command line: ``fdsearch.run(spec)``, ``fdsearch.load_study(name)``, ``fdsearch.Predictor``.
Names are looked up when used, so that ``import fdsearch`` brings neither TensorFlow nor Optuna along.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna

    from fdsearch.config import StudySpec

__version__ = "0.1.0"

_NAMES = {
    "Predictor": "fdsearch.serving.predictor",
    "builder": "fdsearch.models.builders",
    "loss": "fdsearch.models.losses",
}


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'fdsearch' has no attribute {name!r}")
    return getattr(import_module(_NAMES[name]), name)


def run(spec: StudySpec | str | Path, root: Path | None = None, **options: Any) -> dict[str, Any]:
    """Run a study: a spec, a YAML file or a name; options and result as in `fdsearch.pipeline.run`.

    Parameters
    ----------
    spec : StudySpec, str or Path
    root : Path, optional
        Default ``$FDSEARCH_ROOT``, else ``.fdsearch``.
    """
    from fdsearch import pipeline

    place = _root(root)
    found = pipeline.resolve_study(str(spec), place) if isinstance(spec, (str, Path)) else spec
    document: dict[str, Any] = pipeline.run(found, place, **options)
    return document


def load_study(name: str, root: Path | None = None) -> optuna.Study:
    """Open the Optuna study of a run, on its latest data; errors as of the commands."""
    from fdsearch import pipeline

    study: optuna.Study = pipeline.load_study(name, _root(root))
    return study


def _root(root: Path | None) -> Path:
    return root or Path(os.environ.get("FDSEARCH_ROOT") or ".fdsearch")
