"""One parent process of a drill: searches over the trivial fit until the study is finished.

Drills start it as ``python -m drills.parent``, kill it, and start it again with the same arguments.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from drills.searching import make_task, open_drill_study, search, workers

from fdsearch.registry.draft import Draft
from fdsearch.registry.store import Registry
from fdsearch.search.ownership import own_study

LINES_PER_VERSION = 10


class Registering:
    """A `Progress` that prints, and registers a model now and then: a kill may come in the middle of that, too."""

    def __init__(self, folder: Path, shared: Path) -> None:
        self._folder, self._registry = folder, Registry(shared / "registry")
        self._lines = 0

    def say(self, text: str) -> None:
        print(text, flush=True)
        self._lines += 1
        if self._lines % LINES_PER_VERSION == 0:
            self._registry.register("drill", _write_draft(self._folder / "draft"), "drill")

    def track(self, task: str, done: int, total: int) -> None:
        return


def _write_draft(folder: Path) -> Draft:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.keras").write_bytes(b"weights" * 10_000)
    (folder / "contract.json").write_text('{"format": 1}')
    (folder / "card.md").write_text("# Model card\n")
    (folder / "metrics.json").write_text('{"headline": {"value": 0.8, "ci": [0.7, 0.9]}}')
    np.savez(folder / "oof.npz", logits=np.zeros((3, 2), np.float32))
    return Draft(folder, {"study": "drill", "trial": 0, "digests": {}, "seeds": [0]})


def main() -> int:
    """Search to the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="this parent's own")
    parser.add_argument("--shared", type=Path, required=True, help="what all workers write into")
    parser.add_argument("--storage", required=True, help="SQLite file or PostgreSQL URL")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--trials", type=int, required=True, help="points to enqueue, all of which are searched")
    arguments = parser.parse_args()
    with own_study(arguments.folder), workers(arguments.folder, arguments.workers, "fit_with_caches") as executor:
        task = make_task(arguments.folder, arguments.shared, arguments.trials)
        study = open_drill_study(arguments.storage, task, arguments.trials)
        progress = Registering(arguments.folder, arguments.shared)
        search(arguments.storage, study, task, executor, progress)
    return 0


if __name__ == "__main__":
    sys.exit(main())
