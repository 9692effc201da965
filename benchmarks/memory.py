"""Host memory of a long search: parent and workers, measured after each of many real, tiny trials.

    python benchmarks/memory.py [--trials 200] [--workers 1]

No two trials share a model: dropout, depth and augmentation vary, as in a search. The last line is one JSON object:
MiB at trial 20, the most after it and their ratio (1.1 is the bound fdsearch keeps), the workers used, the seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from fdsearch.data.ribbon_layout import CLASSES
from fdsearch.data.synthetic import synthesize
from fdsearch.execution.machine import Machine
from fdsearch.pipeline import search
from fdsearch.pipeline.means import Means
from fdsearch.study_reader import parse_study

REFERENCE = 20
"""The trial that later ones are compared with."""
SPACE = {
    "image_size": 64,
    "phases": {"type": "categorical", "choices": ["head", "head_tail"]},
    "unfreeze": {"type": "float", "low": 0.05, "high": 0.6, "when": {"phases": ["head_tail"]}},
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5},
    "augmentation": {"type": "float", "low": 0.0, "high": 1.0},
    "batch_size": {"type": "categorical", "choices": [8, 16, 32]},
    "epochs": 2,
}


class Watch:
    """Measures at the end of each trial; told by the search's own lines."""

    def __init__(self) -> None:
        self.totals: list[float] = []
        self.workers: set[int] = set()

    def say(self, text: str) -> None:
        if not text.startswith("trial "):
            return
        parent = psutil.Process()
        children = parent.children(recursive=True)
        self.workers |= {child.pid for child in children}
        self.totals.append(sum(memory_mb(process)[0] for process in [parent, *children]))
        print(f"{len(self.totals)}: {self.totals[-1]:.0f} MB, {len(self.workers)} workers; {text}", file=sys.stderr)

    def track(self, task: str, done: int, total: int) -> None:
        pass


def memory_mb(process: psutil.Process) -> tuple[float, float]:
    """A process's own memory, MiB, as the workers are judged by, and with mapped files, which belong to everybody."""
    try:
        memory = process.memory_info()
    except psutil.NoSuchProcess:
        return 0.0, 0.0
    return (memory.rss - memory.shared) / 2**20, memory.rss / 2**20


def measure(folder: Path, n_trials: int, n_workers: int) -> dict[str, Any]:
    """Search a generated set with `n_trials` trials of one fold."""
    synthesize(folder / "set", dict.fromkeys(CLASSES, 20), seed=1, size=64)
    raw = {
        "name": "memory",
        "data": {"manifest": str(folder / "set" / "labels.csv"), "label": "Label", "group": "part"},
        "split": {"holdout": 0.2, "validation": 0.2, "random_state": 0},
        "space": SPACE,
        "search": {"n_trials": n_trials, "sampler": "random", "pruner": "none"},
    }
    watch, started = Watch(), time.monotonic()
    search(parse_study(raw, "memory", folder), folder / "root", means=Means(Machine(n_workers)), progress=watch)
    at, highest = watch.totals[REFERENCE - 1], max(watch.totals[REFERENCE:])
    return {
        "at_trial_20_mb": round(at),
        "most_after_mb": round(highest),
        "ratio": round(highest / at, 3),
        "n_trials": len(watch.totals),
        "n_workers_used": len(watch.workers),
        "seconds": round(time.monotonic() - started),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), options.trials, options.workers)))


if __name__ == "__main__":
    main()
