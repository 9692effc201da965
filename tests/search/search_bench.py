"""A study over a trivial fit: real Optuna, real SQLite, real worker processes, no pictures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from fdsearch.config import SearchSpec
from fdsearch.data.folds import grouped_stratified_folds
from fdsearch.execution.supervisor import Supervisor
from fdsearch.progress import Silent
from fdsearch.search.leases import this_parent
from fdsearch.search.ledger import Ledger
from fdsearch.search.loop import SearchLoop
from fdsearch.search.scores import Scores
from fdsearch.search.spool import Spool
from fdsearch.search.storage import open_storage, storage_errors
from fdsearch.search.study import enqueue_first, open_study
from fdsearch.search.task import SearchTask
from fdsearch.space_reader import parse_space
from fdsearch.training.job import JobMaker

LABELS = np.arange(120) % 2
GROUPS = np.arange(120) // 2
DEFINITION = {"space": "trivial"}
PROBES = [{"phases": "probe", "pooling": pooling} for pooling in ("avg", "avg_max", "max")]
POINTS = [{"custom_quality": quality, "custom_kind": "b"} for quality in (0.5, 0.7, 0.9)]


@dataclass
class Bench:
    """Makes searches in one folder, again and again, as restarts would."""

    folder: Path
    stack: ExitStack
    location: str | None = None

    @property
    def shared(self) -> bool:
        return self.location is not None

    def task(self, search: SearchSpec, **distributions: Any) -> SearchTask:
        """A task over `custom_quality` and whatever else is named."""
        raw = {"custom_quality": {"type": "float", "low": 0.0, "high": 1.0}, **distributions}
        maker = JobMaker(LABELS, GROUPS, 2, {(224, "stretch"): self.folder / "none.npy"}, "digest", self.folder)
        folds = tuple(grouped_stratified_folds(LABELS, GROUPS, 3, 0))
        places = {name: self.folder / name for name in ("trials", "spool", "latencies")}
        return SearchTask(search, parse_space(raw), folds, False, LABELS, maker, **places)

    def small_task(self, fault: str = "none") -> SearchTask:
        """A task of as many trials as there are `POINTS`; `fault` befalls the workers."""
        search = SearchSpec(n_trials=len(POINTS), sampler="random", pruner="none")
        kinds = {"custom_kind": {"type": "categorical", "choices": ["a", "b"]}}
        return self.task(search, **kinds, custom_fault={"fixed": fault})

    def opening_task(self, n_trials: int = 8, max_latency_ms: float = 100.0) -> SearchTask:
        """A task with an opening: three poolings to probe, and a deeper preset."""
        search = SearchSpec(n_trials=n_trials, pruner="none", max_latency_ms=max_latency_ms)
        choices = {"phases": ["probe", "head_tail"], "pooling": ["avg", "avg_max", "max"]}
        kinds = {name: {"type": "categorical", "choices": values} for name, values in choices.items()}
        unfreeze = {"type": "float", "low": 0.1, "high": 0.5, "when": {"phases": ["head_tail"]}}
        return self.task(search, **kinds, unfreeze=unfreeze, custom_quality={"fixed": 0.6})

    def study(self) -> optuna.Study:
        storage = open_storage(self.location or self.folder / "study.db")
        self.stack.callback(storage.engine.dispose)
        return open_study(storage, "trivial", "0" * 64, DEFINITION)

    def search(
        self, task: SearchTask, points: list[dict[str, Any]] | None = None, n_deeper: int = 0, **options: Any
    ) -> optuna.Study:
        """Search and return the study."""
        with storage_errors(self.location or self.folder / "study.db"):
            study = self.study()
            options.setdefault("shared", self.shared)
            named = [(f"point-{i}", point) for i, point in enumerate(points or [])]
            enqueue_first(study, task.space, named, n_deeper=n_deeper)
            executor = self.supervisor(options.pop("n_workers", 1))
            SearchLoop(study, task, executor, Silent(), **options).run()
            return study

    def supervisor(self, n_workers: int = 1) -> Supervisor:
        target = "search_targets:fit"
        return self.stack.enter_context(
            Supervisor(n_workers, threads_per_worker=1, log=self.folder / "workers.txt", target=target)
        )

    def ledger(self, study: optuna.Study) -> Ledger:
        """A parent's view of the study."""
        spool = Spool(self.folder / "spool")
        options = {"shared": self.shared, "scores": Scores(3, 9), "of_grid": False, "say": lambda text: None}
        return Ledger(study, spool, this_parent(), **options)

    def has_reported(self) -> bool:
        """True once a trial of this folder has reported an epoch."""
        return any(path.stat().st_size for path in self.folder.glob("trials/*/curve.jsonl"))

    def end_of_time(self, loop: SearchLoop) -> None:
        """Let a search's time be up once something is reported; an ``on_change``."""
        if loop.deadline is None and self.has_reported():
            loop.deadline = time.monotonic()

    def calls(self) -> list[str]:
        """The jobs that were run, in order."""
        return (self.folder / "calls.txt").read_text().split()

    def die(self, point: str, nth: int = 1, fault: str = "none") -> None:
        """Let a process search until it kills itself; see ``dying.py``."""
        here = Path(__file__).parent
        command = [sys.executable, here / "dying.py", self.folder, point, str(nth), fault]
        environment = {**os.environ, "PYTHONPATH": str(here)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
