"""`demo`: generated pictures through the whole pipeline, small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fdsearch.data.synthetic import synthesize
from fdsearch.pipeline.full_run import run
from fdsearch.pipeline.studies import resolve_study
from fdsearch.progress import Progress, Silent

_SEED = 7


def demo(root: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Generate ribbon-bond pictures under the root and run the shipped demo study on them.

    Returns
    -------
    dict
        As `run`.
    """
    progress = progress or Silent()
    pictures = root.resolve() / "generated" / "demo"
    if not (pictures / "labels.csv").is_file():
        synthesize(pictures, "demo", _SEED, progress=progress)
    return run(resolve_study("demo", root, data_root=pictures.parent), root, progress=progress)
