"""A parent of a shared study as a process of its own; tests start, stop and kill it.

``python sharing.py JSON`` searches until the study is finished and writes what it says to stdout.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent


@dataclass
class Order:
    """What a parent shall do.

    Parameters
    ----------
    folder : str
        Its own.
    shared : str
        Folder of ``calls.txt``.
    url : str
    n_trials, n_workers : int
    fixed : dict
        Fixed parameters of the fit.
    constants : dict
        Constants that are changed, by ``module.NAME`` under `fdsearch.search`.
    host : str
        Name of the machine it believes to be on; default the true one.
    points : int
        So many points are queued first.
    """

    folder: str
    shared: str
    url: str
    n_trials: int
    n_workers: int = 1
    fixed: dict[str, float] = field(default_factory=dict)
    constants: dict[str, float] = field(default_factory=dict)
    host: str = ""
    points: int = 0


class Parents:
    """Starts parents; all are gone when it is left."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self._url = folder, url
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Parents:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def start(self, name: str, n_trials: int, **options: Any) -> subprocess.Popen[bytes]:
        """Start a parent; the same name goes on in the same folder."""
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        order = Order(str(folder), str(self._folder), self._url, n_trials, **options)
        with (self._folder / f"{name}.txt").open("ab") as log:
            process = subprocess.Popen(
                # The kernel ends it with the tests, whatever ends those.
                ["setpriv", "--pdeathsig", "KILL", sys.executable, str(HERE / "sharing.py"), json.dumps(vars(order))],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(HERE)},
            )
        self._processes.append(process)
        return process

    def said(self, name: str) -> str:
        """All that a parent has printed."""
        return (self._folder / f"{name}.txt").read_text()

    def calls(self) -> list[str]:
        """The fits that were begun, in order."""
        path = self._folder / "calls.txt"
        return path.read_text().split() if path.exists() else []


class Printing:
    """A `Progress` on stdout."""

    def say(self, text: str) -> None:
        print(text, flush=True)

    def track(self, task: str, done: int, total: int) -> None:
        return


def work(order: Order) -> None:
    """Be a parent."""
    from fdsearch.config import SearchSpec
    from fdsearch.data.folds import grouped_stratified_folds
    from fdsearch.execution.supervisor import Supervisor
    from fdsearch.search import loop
    from fdsearch.search.server import alone
    from fdsearch.search.storage import open_storage, storage_errors
    from fdsearch.search.study import enqueue_first, open_study
    from fdsearch.search.task import SearchTask
    from fdsearch.space_reader import parse_space
    from fdsearch.training.job import JobMaker

    for name, value in order.constants.items():
        module, _, constant = name.partition(".")
        setattr(importlib.import_module(f"fdsearch.search.{module}"), constant, value)
    if order.host:
        elsewhere = replace(loop.this_parent(), host=order.host)
        loop.this_parent = lambda: elsewhere
    folder, shared = Path(order.folder), Path(order.shared)
    labels, groups = np.arange(120) % 2, np.arange(120) // 2
    fixed = {f"custom_{name}": {"fixed": value} for name, value in order.fixed.items()}
    task = SearchTask(
        search=SearchSpec(n_trials=order.n_trials, sampler="random", pruner="none"),
        space=parse_space({"custom_quality": {"type": "float", "low": 0.0, "high": 1.0}, **fixed}),
        folds=tuple(grouped_stratified_folds(labels, groups, 3, 0)),
        single_split=False,
        labels=labels,
        maker=JobMaker(labels, groups, 2, {(224, "stretch"): folder / "none.npy"}, "digest", shared),
        trials=folder / "trials",
        spool=folder / "spool",
    )
    target = {"target": "search_targets:fit", "log": folder / "workers.txt"}
    with storage_errors(order.url), Supervisor(order.n_workers, threads_per_worker=1, **target) as executor:
        storage = open_storage(order.url)
        with alone(storage, "trivial"):
            study = open_study(storage, "trivial", "0" * 64, {"space": "trivial"})
            first = [(f"point-{i}", {"custom_quality": (i + 0.5) / order.points}) for i in range(order.points)]
            enqueue_first(study, task.space, first)
        print("opened", flush=True)
        loop.SearchLoop(study, task, executor, Printing(), shared=True).run()


def main() -> int:
    """Work, and end as the command line would."""
    from fdsearch.errors import FdsearchError

    try:
        work(Order(**json.loads(sys.argv[1])))
    except FdsearchError as error:
        print(f"{type(error).__name__}: {error}", *error.faults, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
