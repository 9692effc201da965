"""`demo`: generated pictures through the whole pipeline, small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fdsearch.data.synthetic import synthesize
from fdsearch.pipeline.full_run import run
from fdsearch.pipeline.studies import resolve_study
from fdsearch.progress import Progress, Silent
from fdsearch.workspace import Workspace

_SEED = 7


def demo(root: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Generate ribbon-bond pictures under the root and run the shipped demo study on them.

    Returns
    -------
    dict
        As `run`.
    """
    progress = progress or Silent()
    # Nothing is done where the same pictures lie already; an interrupted generation is repeated.
    synthesize(Workspace(root.resolve()).generated / "demo", "demo", _SEED, progress=progress)
    return run(resolve_study("demo", root), root, progress=progress)
