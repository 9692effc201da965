"""Ask, train fold by fold, report, prune, tell: the search itself.

The loop owns the study and never trains; jobs go to an executor whose workers report epochs and hear "go on" or
"stop". Several trials run at once where the executor has several workers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fdsearch.errors import ConfigError, Interrupted, ResourceError
from fdsearch.execution.events import Busy, Executor, Finished, Reported
from fdsearch.execution.failures import machine_error
from fdsearch.progress import Progress
from fdsearch.search import study as names
from fdsearch.search.ahead import FoldsAhead
from fdsearch.search.attempt import Attempt
from fdsearch.search.deepening import Deepening
from fdsearch.search.endings import Endings
from fdsearch.search.leases import this_parent
from fdsearch.search.ledger import Ledger
from fdsearch.search.pruning import loses_between_folds, make_pruner
from fdsearch.search.sampling import make_sampler
from fdsearch.search.scores import Scores
from fdsearch.search.spool import Spool
from fdsearch.search.task import SearchTask
from fdsearch.training.job import OF_THE_MACHINE, CurveRow, Result
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    from optuna import Study, Trial

_POLL_S = 0.2
_STARTS = 20
"""So many trials are begun at most before the running ones are heard again."""
_STARTING_S = 1.0


class SearchLoop:
    """Runs the trials of a study until enough are finished, time is up, or a person stops it.

    Parameters
    ----------
    study : optuna.Study
    task : SearchTask
    executor : Executor
    progress : Progress
    shared : bool
        Other parents may work on the study at the same time; otherwise the caller holds its run folder's lock.
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
        shared: bool = False,
        deadline: float | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        on_change: Callable[[SearchLoop], None] = lambda loop: None,
    ) -> None:
        self.study = study
        self.task = task
        self.executor = FoldsAhead(executor, task.fold_job)
        self.progress = progress
        self.deadline = deadline
        self.should_stop = should_stop
        self.on_change = on_change
        self.running: dict[str, Attempt] = {}
        self.pending: list[Attempt] = []  # between two folds, and others took the memory that their worker needs
        scores, of_grid = Scores(len(task.folds), task.horizon), task.search.sampler == "grid"
        self.ledger = Ledger(
            study, Spool(task.spool), this_parent(), shared=shared, scores=scores, of_grid=of_grid, say=progress.say
        )
        self._endings = Endings(study, self.ledger, task.cost, progress.say)
        self._deepening = Deepening(study, task.space, self.ledger, progress.say)
        self._stopping = False
        self._more = False
        self._error: ResourceError | None = None
        self.began = (time.monotonic(), 0)
        study.pruner = make_pruner(task.search, task.horizon + len(task.folds))
        study.sampler = make_sampler(task.search)

    def run(self) -> None:
        """Run to the end.

        Raises
        ------
        ResourceError
            If more trials fail of their own than max(5, n_trials), or the machine fails: its disk is full, for example.
        """
        self.ledger.open()
        self.task.sweep(self.study)
        self.began = (time.monotonic(), self.ledger.n_finished)
        try:
            while self._goes_on():
                for event in self.executor.events(0.0 if self._more else _POLL_S):
                    if isinstance(event, Reported):
                        self._reported(event)
                    elif isinstance(event, Finished):
                        self._finished(event.result)
            self.executor.drain()
            self.task.sweep(self.study)  # a fold begun early may have written its state after its trial's end
        except Interrupted:
            raise
        except Exception:
            self.ledger.give_back("the search ended")
            raise
        finally:
            self.ledger.close()
        if self._error is not None:
            raise self._error

    def _goes_on(self) -> bool:
        """Start what may be started; False when nothing runs and nothing is to be waited for."""
        self._check_time()
        self.ledger.tick()
        pending, self.pending = self.pending, []
        for attempt in pending:
            self._next_fold(attempt)
        if not self._stopping:
            self._deepening.look()
        self._more = not self.pending and self._start_some()
        idle = self.executor.free and not (self._stopping or self.pending or self._may_start())
        self.executor.tend([] if self._stopping else [*self.running.values(), *self.pending], fill=bool(idle))
        self.on_change(self)
        if self.running or self.pending or self._more:
            return True
        if self._stopping or self.ledger.n_finished >= self.task.search.n_trials:
            return False
        if not (self.ledger.counts["RUNNING"] or self._may_start()):  # a grid is exhausted
            return False
        # Another parent trains the last trials (they may come back), or no device has room for a worker.
        time.sleep(_POLL_S)
        return True

    def _start_some(self) -> bool:
        """Start what may be started; True if that was broken off for events and other parents.

        Copies and bad configurations take no worker, and there may be thousands.
        """
        until = time.monotonic() + _STARTING_S
        for _ in range(_STARTS):
            if not (self.executor.free and self._may_start()):
                return False
            self._start()
            self._check_time()
            self.ledger.tick()
            if time.monotonic() > until:
                break
        return True

    def _may_start(self) -> bool:
        return not self._stopping and self.ledger.may_take(self.task.search.n_trials)

    def _check_time(self) -> None:
        over = self.deadline is not None and time.monotonic() > self.deadline
        if (over or self.should_stop()) and not self._stopping:
            self._stop()

    def _stop(self) -> None:
        self._stopping = True
        for job_id in self.running:
            self.executor.stop(job_id)
        for attempt in self.pending:
            self._stopped(attempt)
        self.pending = []

    def _start(self) -> None:
        from optuna.exceptions import UpdateFinishedTrialError

        trial = self.ledger.ask(self.task.search.n_trials)
        if trial is not None:
            try:
                self._begin(trial)
            except UpdateFinishedTrialError:  # we stood still, and another parent gave it up meanwhile
                self.progress.say(f"trial {trial.number} was dropped: somebody else had ended it")
                self.ledger.read()

    def _begin(self, trial: Trial) -> None:
        params = None
        try:
            params = self.task.space.sample(trial)
            config = TrialConfig.from_params(params)
        except (ConfigError, ValueError) as error:
            if params is not None:
                trial.set_user_attr(names.DRAWN, True)
            self.ledger.failed(trial.number, "configuration", str(error))
            self.ledger.check_failures(self.task.search.n_trials)
            return
        trial.set_user_attr(names.CONFIG, json.dumps(config.to_json()))
        twin = self.ledger.scores.twin(trial.params)
        if twin is not None:
            attributes = {names.COPY_OF: twin[0], **self.task.cost(config)}
            self.ledger.complete(trial.number, twin[1], trial.params, [], attributes)
            self.progress.say(f"trial {trial.number} repeats trial {twin[0]}: {twin[1]:.4f}")
            return
        attempt = self.task.attempt(trial, config)
        for fold, score in enumerate(attempt.path):
            attempt.trial.report(score, step=self.task.horizon + fold)
        if attempt.fold:
            self.progress.say(f"trial {attempt.number} goes on after fold {attempt.fold} of its lost attempt")
        self._next_fold(attempt)

    def _next_fold(self, attempt: Attempt) -> None:
        if attempt.finished:
            self._endings.complete(attempt)
            return
        job = self.task.fold_job(attempt, attempt.fold)
        self.running[job.id] = attempt
        try:
            self.executor.submit(job)
        except Busy:
            del self.running[job.id]
            self.pending.append(attempt)

    def _reported(self, event: Reported) -> None:
        attempt = self.running[event.job_id]
        rows = attempt.log_epoch(event.row)
        goes_on = not self._stopping and self._owned(attempt, lambda: not self._prunes(attempt, rows))
        self.executor.answer(event.job_id, goes_on)

    def _owned(self, attempt: Attempt, act: Callable[[], bool]) -> bool:
        """Do something with a trial; False, once and for all, where somebody else has ended it."""
        from optuna.exceptions import UpdateFinishedTrialError

        if not attempt.disowned:
            try:
                return act()
            except UpdateFinishedTrialError:
                attempt.disowned = True
        return False

    def _prunes(self, attempt: Attempt, rows: Sequence[CurveRow]) -> bool:
        if attempt.fold > 0:
            return False
        values = [(int(row["epoch"]), row.get("val_macro_f1")) for row in rows]
        for epoch, value in values:
            if value is not None:
                attempt.trial.report(attempt.smoothed.add(float(value)), step=epoch)
        # Asking reads the trial from the database, so it is not done in vain.
        judged = self.task.search.pruner != "none" and not attempt.enqueued and values[-1][1] is not None
        return judged and attempt.trial.should_prune()

    def _finished(self, result: Result) -> None:
        attempt = self.running.pop(result.id)
        if attempt.disowned:
            self._endings.drop(attempt)
        elif result.failure == "timeout" and self._stopping:  # it did not end within the grace of our own stop
            self._stopped(attempt)
        elif result.failure in OF_THE_MACHINE:
            self._machine_failed(attempt, result)
        elif result.status == "failed":
            if self._endings.fail(attempt, result):
                self.ledger.check_failures(self.task.search.n_trials)
        elif result.status == "stopped":
            self._stopped(attempt)
        else:
            attempt.finish_fold(result)
            if not self._owned(attempt, lambda: self._fold_done(attempt)):
                self._endings.drop(attempt)

    def _fold_done(self, attempt: Attempt) -> bool:
        score = attempt.path[-1]
        attempt.trial.report(score, step=self.task.horizon + attempt.fold - 1)
        if attempt.finished or not self._stopping:
            loses = not attempt.enqueued and not attempt.finished
            if loses and loses_between_folds(self.task.search, attempt.path, self.ledger.scores.paths):
                self._endings.prune(attempt, f"after fold {attempt.fold} of {len(attempt.folds)} at {score:.4f}")
            else:
                self._next_fold(attempt)
        else:
            self._stopped(attempt)
        return True

    def _stopped(self, attempt: Attempt) -> None:
        if not self._stopping:
            self._endings.prune(attempt, f"in epoch {attempt.n_epochs} of its first fold")
        elif self.should_stop() or self._error is not None:
            why = "stopped by a person" if self._error is None else self._error.message
            self.ledger.interrupted(attempt.number, why)
        else:
            self._endings.prune(attempt, "because the search's time is up")

    def _machine_failed(self, attempt: Attempt, result: Result) -> None:
        """That is no trial's fault: nothing is lost, and nothing more is started."""
        self._error = self._error or machine_error(result)
        self.ledger.interrupted(attempt.number, self._error.message)
        self._stop()
