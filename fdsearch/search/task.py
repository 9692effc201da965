"""What a search searches, over which folds: made once by the pipeline, read by the loop."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.config import SearchSpec
from fdsearch.data.folds import Fold
from fdsearch.parameters import PARAMETERS
from fdsearch.search import study as names
from fdsearch.search.attempt import CHECKPOINTS, Attempt
from fdsearch.space import SearchSpace
from fdsearch.training.job import Job, JobMaker
from fdsearch.training.latency import Architecture, known
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    from optuna import Study, Trial


@dataclass(frozen=True)
class SearchTask:
    """What is searched, over which folds.

    Parameters
    ----------
    search : SearchSpec
    space : SearchSpace
        The resolved space.
    folds : tuple of Fold
        Rows of the dataset; the same for every trial.
    single_split : bool
        The one fold's validation part may stop the training early.
    labels : ndarray of int64, shape (n,)
    maker : JobMaker
    trials : Path
        Folder of the trials' folders.
    spool : Path
        Folder of results that are not in the database yet.
    latencies : Path or None
        Folder of measured latencies; needed where the search bounds them.
    """

    search: SearchSpec
    space: SearchSpace
    folds: tuple[Fold, ...]
    single_split: bool
    labels: NDArray[np.int64]
    maker: JobMaker
    trials: Path
    spool: Path
    latencies: Path | None = None

    @property
    def horizon(self) -> int:
        """The largest number of epochs a trial of the space can have; between-fold steps come after it."""
        distribution = self.space.get("epochs")
        default = int(PARAMETERS["epochs"].default)
        if distribution is None:
            return default
        highest = int(distribution.high) if distribution.kind == "int" else max(map(int, distribution.choices))
        return max(highest, default) if distribution.when else highest

    def folder(self, number: int) -> Path:
        """Where a trial's files go."""
        return self.trials / f"{number:04d}"

    def attempt(self, trial: Trial, config: TrialConfig) -> Attempt:
        """Begin a trial; a retry goes on where its predecessor stopped, as far as that one's files are here."""
        attributes = trial.user_attrs
        attempt = Attempt(
            trial=trial,
            config=config,
            folder=self.folder(trial.number),
            folds=self.folds,
            labels=self.labels,
            n_classes=self.maker.n_classes,
            enqueued=names.RECIPE in attributes,
            retried=int(attributes.get(names.ATTEMPT, 1)) > 1,
        )
        shutil.rmtree(attempt.folder, ignore_errors=True)  # of a trial that a restored backup does not know
        if earlier := [self.folder(int(number)) for number in attributes.get(names.CONTINUES, [])]:
            attempt.take_over(earlier)
        return attempt

    def sweep(self, study: Study) -> None:
        """Remove the checkpoints of trials that nobody continues: a kill came between a trial's end and the removal."""
        from optuna.trial import TrialState

        # One that runs may be this machine's from before a restart, which the leases tell only after a minute.
        open_trials = study.get_trials(deepcopy=False, states=(TrialState.WAITING, TrialState.RUNNING))
        numbers = {n for trial in open_trials for n in (trial.number, *trial.user_attrs.get(names.CONTINUES, []))}
        continued = {self.folder(int(number)) for number in numbers}
        for checkpoint in [*self.trials.glob(f"*/{CHECKPOINTS}"), *self.trials.glob(f"*/.{CHECKPOINTS}.*.tmp")]:
            if checkpoint.parent not in continued or checkpoint.suffix == ".tmp":
                checkpoint.unlink()

    def fold_job(self, attempt: Attempt, fold: int) -> Job:
        """The job of one fold of a trial."""
        job = self.maker.fold_job(
            attempt.job_id_of(fold),
            attempt.config,
            attempt.folds,
            fold,
            random_state=self.search.random_state,
            repeat=0,
            single_split=self.single_split,
            checkpoint=attempt.checkpoint_of(fold),
        )
        return replace(job, latencies=self.latencies) if self.search.max_latency_ms is not None else job

    def cost(self, config: TrialConfig) -> dict[str, Any]:
        """User attributes that say what a trial's model costs and by how much that is too much; empty without a bound.

        A model whose measurement is lost counts as twice as slow as allowed: nobody can say that it holds the bound.
        """
        bound = self.search.max_latency_ms
        if bound is None or self.latencies is None:
            return {}
        found = known(self.latencies, Architecture(config, self.maker.n_classes, self.maker.plugins))
        if found is None:
            return {names.OVER_LATENCY: bound}
        return {names.LATENCY: found.latency_ms, names.OVER_LATENCY: found.latency_ms - bound}
