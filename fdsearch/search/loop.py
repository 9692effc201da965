"""Ask, train fold by fold, report, prune, tell: the search itself.

The loop owns the study and never trains; jobs go to an executor whose workers report epochs and hear "go on" or
"stop". Several trials run at once where the executor has several workers.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fdsearch.config import SearchSpec
from fdsearch.data.folds import Fold
from fdsearch.errors import ConfigError, Fault, ResourceError
from fdsearch.execution.supervisor import Finished, Reported, Supervisor
from fdsearch.progress import Progress
from fdsearch.search import study as names
from fdsearch.search.attempt import Attempt
from fdsearch.search.sampling import loses_between_folds, make_pruner, make_sampler
from fdsearch.search.study import mark_failed, requeue
from fdsearch.space import SearchSpace
from fdsearch.training.job import CurveRow, JobMaker, Result
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    from optuna import Study

_MIN_FAILURES = 5
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
        if distribution is None:
            return TrialConfig.from_params({}).epochs or 100
        return int(distribution.high) if distribution.kind == "int" else max(int(v) for v in distribution.choices)


class SearchLoop:
    """Runs the trials of a study until enough are finished, time is up, or a person stops it.

    Parameters
    ----------
    study : optuna.Study
    task : SearchTask
    supervisor : Supervisor
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
        supervisor: Supervisor,
        progress: Progress,
        *,
        deadline: float | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        on_change: Callable[[SearchLoop], None] = lambda loop: None,
    ) -> None:
        self.study = study
        self.task = task
        self.supervisor = supervisor
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
            while self.supervisor.free and self._may_start():
                self._start()
            self.on_change(self)
            if not self.running:
                return
            for event in self.supervisor.events(_POLL_S):
                if isinstance(event, Reported):
                    self._reported(event)
                elif isinstance(event, Finished):
                    self._finished(event.result)

    def counts(self) -> Counter[str]:
        """Trials of the study by state."""
        return Counter(trial.state.name for trial in self.study.get_trials(deepcopy=False))

    def _may_start(self) -> bool:
        if self._stopping or self._exhausted:
            return False
        counts = self.counts()
        return counts["COMPLETE"] + counts["PRUNED"] + len(self.running) < self.task.search.n_trials

    def _check_time(self) -> None:
        over = self.deadline is not None and time.monotonic() > self.deadline
        if (over or self.should_stop()) and not self._stopping:
            self._stopping = True
            for job_id in self.running:
                self.supervisor.stop(job_id)

    def _start(self) -> None:
        number = len(self.study.get_trials(deepcopy=False))
        self.study.sampler = make_sampler(self.task.search, number)
        trial = self.study.ask()
        try:
            config = TrialConfig.from_params(self.task.space.sample(trial))
        except (ConfigError, ValueError) as error:
            self._fail(trial.number, "configuration", str(error))
            return
        trial.set_user_attr(names.CONFIG, json.dumps(config.to_json()))
        twin = self._finished_twin(trial.params)
        if twin is not None:
            trial.set_user_attr(names.COPY_OF, twin[0])
            self._tell(trial.number, twin[1])
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

    def _finished_twin(self, params: dict[str, object]) -> tuple[int, float] | None:
        """A complete trial with the same parameters: folds and seeds are the same, so its score would be too."""
        from optuna.trial import TrialState

        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            if trial.params == params and trial.value is not None and names.COPY_OF not in trial.user_attrs:
                return trial.number, trial.value
        return None

    def _submit(self, attempt: Attempt) -> None:
        job = self.task.maker.fold_job(
            attempt.job_id,
            attempt.config,
            attempt.folds[attempt.fold],
            seed=fold_seed(self.task.search.random_state, attempt.fold),
            single_split=self.task.single_split,
        )
        self.running[job.id] = attempt
        self.supervisor.submit(job)

    def _reported(self, event: Reported) -> None:
        attempt = self.running[event.job_id]
        attempt.log_epoch(event.row)
        self.supervisor.answer(event.job_id, not self._stopping and not self._prunes(attempt, event.row))

    def _prunes(self, attempt: Attempt, row: CurveRow) -> bool:
        if attempt.fold > 0 or row.get("val_macro_f1") is None:
            return False
        attempt.trial.report(float(row["val_macro_f1"]), step=int(row["epoch"]))
        return not attempt.enqueued and attempt.trial.should_prune()

    def _finished(self, result: Result) -> None:
        attempt = self.running.pop(result.id)
        if result.status == "failed":
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
            self._record(attempt)
            self._tell(attempt.trial.number, score)
            self.progress.say(f"trial {attempt.trial.number}: macro F1 {score:.4f} {_describe(attempt)}")
        elif self._stopping:
            self._stopped(attempt)
        elif not attempt.enqueued and loses_between_folds(self.task.search, score, self._others(step)):
            self._prune(attempt, f"after fold {attempt.fold} of {len(attempt.folds)} at {score:.4f}")
        else:
            self._submit(attempt)

    def _others(self, step: int) -> list[float]:
        from optuna.trial import TrialState

        trials = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [trial.intermediate_values[step] for trial in trials if step in trial.intermediate_values]

    def _stopped(self, attempt: Attempt) -> None:
        if not self._stopping:
            self._prune(attempt, f"in epoch {attempt.epoch + 1} of its first fold")
        elif self.should_stop():
            frozen = self.study.get_trials(deepcopy=False)[attempt.trial.number]
            mark_failed(self.study, frozen, "interrupted", "stopped by a person; queued again")
            requeue(self.study, frozen, counts=False)
        else:
            self._prune(attempt, "because the search's time is up")

    def _failed(self, attempt: Attempt, result: Result) -> None:
        number, failure = attempt.trial.number, result.failure or "exception"
        self._record(attempt)
        self._fail(number, failure, result.message)
        if failure in names.LOST and requeue(self.study, self.study.get_trials(deepcopy=False)[number]):
            self.progress.say(f"trial {number} was lost with its process ({failure}); queued again")
            return
        last = result.message.strip().splitlines()[-1:] or [failure]
        self.progress.say(f"trial {number} failed ({failure}): {last[0]}")
        self._check_failures()

    def _check_failures(self) -> None:
        from optuna.trial import TrialState

        failed = self.study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        classes = Counter(str(trial.user_attrs.get(names.FAILURE)) for trial in failed)
        own = sum(count for failure, count in classes.items() if failure not in (*names.LOST, "interrupted"))
        limit = max(_MIN_FAILURES, self.task.search.n_trials)
        if own > limit:
            faults = [
                Fault(failure, f"{count} trials", "none", "see log.txt in the run folder")
                for failure, count in classes.most_common()
            ]
            raise ResourceError(f"{own} trials failed of their own, more than {limit}: the search ends", faults)

    def _record(self, attempt: Attempt) -> None:
        attributes = attempt.attributes()
        attempt.trial.set_user_attr(names.EPOCHS, attributes["epochs"])
        attempt.trial.set_user_attr(names.SECONDS, attributes["seconds"])

    def _prune(self, attempt: Attempt, why: str) -> None:
        from optuna.trial import TrialState

        self._record(attempt)
        self.study.tell(attempt.trial.number, state=TrialState.PRUNED)
        self.progress.say(f"trial {attempt.trial.number} pruned {why} {_describe(attempt)}")

    def _fail(self, number: int, failure: str, message: str) -> None:
        mark_failed(self.study, self.study.get_trials(deepcopy=False)[number], failure, message)

    def _tell(self, number: int, value: float) -> None:
        if not math.isfinite(value):  # Optuna would take an infinity for a result.
            self._fail(number, "non_finite", f"the score is {value}")
            return
        try:
            self.study.tell(number, value)
        except RuntimeError:
            # BruteForceSampler ends an exhausted grid with `Study.stop`, which ask-and-tell refuses after telling.
            if self.task.search.sampler != "grid":
                raise
            self._exhausted = True


def fold_seed(random_state: int, fold: int, repeat: int = 0) -> int:
    """Seed of one fold's fit: the same for every trial, so that equal parameters give equal scores."""
    return int(np.random.SeedSequence([random_state, repeat, fold]).generate_state(1)[0] % 2**31)


def _describe(attempt: Attempt) -> str:
    config = attempt.config
    phases = "+".join(phase.name for phase in config.phases)
    return f"({config.backbone} {config.image_size} px, {phases}, {attempt.attributes()['seconds']:.0f} s)"
