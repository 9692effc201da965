"""Ask, train fold by fold, report, prune, tell: the search itself.

The loop owns the study and never trains; jobs go to an executor whose workers report epochs and hear "go on" or
"stop". Several trials run at once where the executor has several workers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fdsearch.config import SearchSpec
from fdsearch.data.folds import Fold
from fdsearch.errors import ConfigError
from fdsearch.execution.events import Executor, Finished, Reported
from fdsearch.parameters import PARAMETERS
from fdsearch.progress import Progress
from fdsearch.search import study as names
from fdsearch.search.attempt import Attempt
from fdsearch.search.ledger import Ledger
from fdsearch.search.sampling import loses_between_folds, make_pruner, make_sampler
from fdsearch.space import SearchSpace
from fdsearch.training.job import CurveRow, JobMaker, Result, fit_seed
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    from optuna import Study

_POLL_S = 0.2


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
    """

    search: SearchSpec
    space: SearchSpace
    folds: tuple[Fold, ...]
    single_split: bool
    labels: NDArray[np.int64]
    maker: JobMaker
    trials: Path

    @property
    def horizon(self) -> int:
        """The largest number of epochs a trial of the space can have; between-fold steps come after it."""
        distribution = self.space.get("epochs")
        default = int(PARAMETERS["epochs"].default)
        if distribution is None:
            return default
        highest = int(distribution.high) if distribution.kind == "int" else max(map(int, distribution.choices))
        return max(highest, default) if distribution.when else highest


class SearchLoop:
    """Runs the trials of a study until enough are finished, time is up, or a person stops it.

    Parameters
    ----------
    study : optuna.Study
    task : SearchTask
    executor : Executor
    progress : Progress
    deadline : float or None
        `time.monotonic` value after which running trials are stopped and count as pruned.
    should_stop : callable
        True once a person has asked to stop; running trials are queued again.
    on_change : callable
        Called with the loop after every event, for the status file.
    """

    def __init__(
        self,
        study: Study,
        task: SearchTask,
        executor: Executor,
        progress: Progress,
        *,
        deadline: float | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        on_change: Callable[[SearchLoop], None] = lambda loop: None,
    ) -> None:
        self.study = study
        self.ledger = Ledger(study)
        self.task = task
        self.executor = executor
        self.progress = progress
        self.deadline = deadline
        self.should_stop = should_stop
        self.on_change = on_change
        self.running: dict[str, Attempt] = {}
        self._stopping = False
        self._exhausted = False
        study.pruner = make_pruner(task.search, task.horizon + len(task.folds))

    def run(self) -> None:
        """Run to the end.

        Raises
        ------
        ResourceError
            If more trials fail of their own than max(5, n_trials).
        """
        while True:
            self._check_time()
            while self.executor.free and self._may_start():
                self._start()
            self.on_change(self)
            if not self.running:
                return
            for event in self.executor.events(_POLL_S):
                if isinstance(event, Reported):
                    self._reported(event)
                elif isinstance(event, Finished):
                    self._finished(event.result)

    def _may_start(self) -> bool:
        if self._stopping or self._exhausted:
            return False
        counts = self.ledger.counts()
        return counts["COMPLETE"] + counts["PRUNED"] + len(self.running) < self.task.search.n_trials

    def _check_time(self) -> None:
        over = self.deadline is not None and time.monotonic() > self.deadline
        if (over or self.should_stop()) and not self._stopping:
            self._stopping = True
            for job_id in self.running:
                self.executor.stop(job_id)

    def _start(self) -> None:
        number = len(self.study.get_trials(deepcopy=False))
        self.study.sampler = make_sampler(self.task.search, number)
        trial = self.study.ask()
        try:
            config = TrialConfig.from_params(self.task.space.sample(trial))
        except (ConfigError, ValueError) as error:
            self.ledger.failed(trial.number, "configuration", str(error))
            self.ledger.check_failures(self.task.search.n_trials)
            return
        trial.set_user_attr(names.CONFIG, json.dumps(config.to_json()))
        twin = self.ledger.finished_twin(trial.params)
        if twin is not None:
            trial.set_user_attr(names.COPY_OF, twin[0])
            self._complete(trial.number, twin[1])
            self.progress.say(f"trial {trial.number} repeats trial {twin[0]}: {twin[1]:.4f}")
            return
        attempt = Attempt(
            trial=trial,
            config=config,
            folder=self.task.trials / f"{trial.number:04d}",
            folds=self.task.folds,
            labels=self.task.labels,
            n_classes=self.task.maker.n_classes,
            enqueued=names.RECIPE in trial.user_attrs,
        )
        self._submit(attempt)

    def _submit(self, attempt: Attempt) -> None:
        job = self.task.maker.fold_job(
            attempt.job_id,
            attempt.config,
            attempt.folds[attempt.fold],
            seed=fit_seed(self.task.search.random_state, 0, attempt.fold),
            single_split=self.task.single_split,
        )
        self.running[job.id] = attempt
        self.executor.submit(job)

    def _reported(self, event: Reported) -> None:
        attempt = self.running[event.job_id]
        attempt.log_epoch(event.row)
        self.executor.answer(event.job_id, not self._stopping and not self._prunes(attempt, event.row))

    def _prunes(self, attempt: Attempt, row: CurveRow) -> bool:
        if attempt.fold > 0 or row.get("val_macro_f1") is None:
            return False
        attempt.trial.report(float(row["val_macro_f1"]), step=int(row["epoch"]))
        return not attempt.enqueued and attempt.trial.should_prune()

    def _finished(self, result: Result) -> None:
        attempt = self.running.pop(result.id)
        if result.failure == "timeout" and self._stopping:  # it did not end within the grace of our own stop
            self._stopped(attempt)
        elif result.status == "failed":
            self._failed(attempt, result)
        elif result.status == "stopped":
            self._stopped(attempt)
        else:
            attempt.finish_fold(result)
            self._fold_done(attempt)

    def _fold_done(self, attempt: Attempt) -> None:
        score = attempt.pooled_score()
        step = self.task.horizon + attempt.fold - 1
        attempt.trial.report(score, step=step)
        if attempt.finished:
            self.ledger.record(attempt)
            self._complete(attempt.trial.number, score)
            self.progress.say(f"trial {attempt.trial.number}: macro F1 {score:.4f} {_describe(attempt)}")
        elif self._stopping:
            self._stopped(attempt)
        elif not attempt.enqueued and loses_between_folds(
            self.task.search, attempt.fold, score, self.ledger.values_at(step)
        ):
            self._prune(attempt, f"after fold {attempt.fold} of {len(attempt.folds)} at {score:.4f}")
        else:
            self._submit(attempt)

    def _stopped(self, attempt: Attempt) -> None:
        if not self._stopping:
            self._prune(attempt, f"in epoch {attempt.epoch + 1} of its first fold")
        elif self.should_stop():
            self.ledger.interrupted(attempt.trial.number)
        else:
            self._prune(attempt, "because the search's time is up")

    def _failed(self, attempt: Attempt, result: Result) -> None:
        number, failure = attempt.trial.number, result.failure or "exception"
        self.ledger.record(attempt)
        if self.ledger.failed(number, failure, result.message):
            self.progress.say(f"trial {number} was lost with its process ({failure}); queued again")
            return
        self.progress.say(f"trial {number} failed ({failure}): {result.last_words}")
        self.ledger.check_failures(self.task.search.n_trials)

    def _prune(self, attempt: Attempt, why: str) -> None:
        self.ledger.record(attempt)
        self._exhausted = not self.ledger.pruned(attempt.trial.number) or self._exhausted
        self.progress.say(f"trial {attempt.trial.number} pruned {why} {_describe(attempt)}")

    def _complete(self, number: int, value: float) -> None:
        self._exhausted = not self.ledger.complete(number, value) or self._exhausted


def _describe(attempt: Attempt) -> str:
    config = attempt.config
    phases = "+".join(phase.name for phase in config.phases)
    return f"({config.backbone} {config.image_size} px, {phases}, {attempt.attributes()['seconds']:.0f} s)"
