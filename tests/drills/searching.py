"""How the drills search: a real study, loop and supervisor over the trivial fit of `targets`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drills.targets import GROUPS, LABELS

from fdsearch.config import SearchSpec
from fdsearch.data.folds import grouped_stratified_folds
from fdsearch.execution.events import Executor
from fdsearch.execution.supervisor import Supervisor
from fdsearch.progress import Progress
from fdsearch.search.task import SearchTask
from fdsearch.space_reader import parse_space
from fdsearch.training.job import JobMaker

if TYPE_CHECKING:
    from optuna import Study

NAME = "drill"
IDENTITY = "0" * 64
SPACE = {
    "custom_point": {"type": "int", "low": 0, "high": 10**12},
    "custom_rate": {"type": "float", "low": 1e-5, "high": 1e-2, "log": True},
    "custom_kind": {"type": "categorical", "choices": ["a", "b", "c"]},
}
N_FOLDS = 2
POINT_STEP = 1_000_003
"""Distance of two enqueued points."""
JOBS_PER_WORKER = 1_000_000
"""Drills watch the search: replacing workers by their number of jobs costs a second each and belongs to training."""


def make_task(folder: Path, shared: Path, n_trials: int) -> SearchTask:
    """The task of `n_trials` trials; `folder` is one parent's own, `shared` what all workers write into."""
    pixels = {(224, "stretch"): folder / "none.npy"}
    return SearchTask(
        search=SearchSpec(n_trials=n_trials, sampler="random", pruner="none"),
        space=parse_space(SPACE),
        folds=tuple(grouped_stratified_folds(LABELS, GROUPS, N_FOLDS, 0)),
        single_split=False,
        labels=LABELS,
        maker=JobMaker(LABELS, GROUPS, 2, pixels, "digest", shared),
        trials=folder / "trials",
        spool=folder / "spool",
    )


def points(n: int) -> list[int]:
    """Distinct points to enqueue."""
    return [number * POINT_STEP for number in range(n)]


def open_drill_study(location: str | Path, task: SearchTask, n_points: int) -> Study:
    """Open the study and queue its points, as the pipeline does."""
    from fdsearch.search.server import alone
    from fdsearch.search.storage import open_storage
    from fdsearch.search.study import enqueue_first, open_study

    storage = open_storage(location)
    with alone(storage, NAME):
        study = open_study(storage, NAME, IDENTITY, {"space": "drill"})
        recipes = [(f"point-{point}", {"custom_point": point}) for point in points(n_points)]
        if skipped := enqueue_first(study, task.space, recipes):
            raise AssertionError(skipped)
    return study


def search(location: str | Path, study: Study, task: SearchTask, executor: Executor, progress: Progress) -> None:
    """Run the loop to its end."""
    from fdsearch.search.loop import SearchLoop
    from fdsearch.search.storage import is_shared

    SearchLoop(study, task, executor, progress, shared=is_shared(location)).run()


@contextmanager
def workers(folder: Path, n_workers: int, target: str) -> Iterator[Executor]:
    """Worker processes on the trivial fit."""
    log = folder / "workers.txt"
    options: dict[str, Any] = {"threads_per_worker": 1, "recycle_after": JOBS_PER_WORKER, "log": log}
    with Supervisor(n_workers, target=f"drills.targets:{target}", **options) as executor:
        yield executor
