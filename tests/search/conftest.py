"""A study over a trivial fit: real Optuna, real SQLite, real worker processes, no pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from fdsearch.config import SearchSpec
from fdsearch.data.folds import grouped_stratified_folds
from fdsearch.execution.supervisor import Supervisor
from fdsearch.progress import Silent
from fdsearch.search.loop import SearchLoop, SearchTask
from fdsearch.search.storage import open_storage
from fdsearch.search.study import enqueue_first, open_study
from fdsearch.space_reader import parse_space
from fdsearch.training.job import JobMaker

LABELS = np.arange(120) % 2
GROUPS = np.arange(120) // 2
DEFINITION = {"space": "trivial"}


@dataclass
class Bench:
    """Makes searches in one folder, again and again, as restarts would."""

    folder: Path
    stack: ExitStack

    def task(self, search: SearchSpec, **distributions: Any) -> SearchTask:
        """A task over `custom_quality` and whatever else is named."""
        raw = {"custom_quality": {"type": "float", "low": 0.0, "high": 1.0}, **distributions}
        maker = JobMaker(LABELS, GROUPS, 2, {(224, "stretch"): self.folder / "none.npy"}, "digest", self.folder)
        folds = tuple(grouped_stratified_folds(LABELS, GROUPS, 3, 0))
        return SearchTask(search, parse_space(raw), folds, False, LABELS, maker, self.folder / "trials")

    def study(self) -> optuna.Study:
        return open_study(open_storage(self.folder / "study.db"), "trivial", "0" * 64, DEFINITION)

    def search(self, task: SearchTask, points: list[dict[str, Any]] | None = None, **options: Any) -> optuna.Study:
        """Search and return the study."""
        study = self.study()
        enqueue_first(study, task.space, [(f"point-{i}", point) for i, point in enumerate(points or [])])
        SearchLoop(study, task, self.supervisor(), Silent(), **options).run()
        return study

    def supervisor(self, n_workers: int = 1) -> Supervisor:
        target = "search_targets:fit"
        return self.stack.enter_context(
            Supervisor(n_workers, threads_per_worker=1, log=self.folder / "workers.txt", target=target)
        )

    def calls(self) -> list[str]:
        """The jobs that were run, in order."""
        return (self.folder / "calls.txt").read_text().split()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


SearchSpecMaker = Callable[..., SearchSpec]
