"""Ask, train fold by fold, report, prune, tell: the search itself.

The loop owns the study and never trains; jobs go to an executor whose workers report epochs and hear "go on" or
"stop". Several trials run at once where the executor has several workers.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fdsearch.errors import ConfigError, Fault, FdsearchError, ResourceError
from fdsearch.execution.events import Executor, Finished, Reported
from fdsearch.progress import Progress
from fdsearch.search import study as names
from fdsearch.search.attempt import Attempt
from fdsearch.search.leases import this_parent
from fdsearch.search.ledger import Ledger
from fdsearch.search.pruning import loses_between_folds, make_pruner
from fdsearch.search.sampling import make_sampler
from fdsearch.search.spool import Spool
from fdsearch.search.task import SearchTask
from fdsearch.training.job import CurveRow, Result
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    from optuna import Study, Trial

_POLL_S = 0.2


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
        self.executor = executor
        self.progress = progress
        self.deadline = deadline
        self.should_stop = should_stop
        self.on_change = on_change
        self.running: dict[str, Attempt] = {}
        self.ledger = Ledger(
            study,
            Spool(task.spool),
            this_parent(),
            shared=shared,
            first_fold_step=task.horizon,
            say=progress.say,
        )
        self._stopping = False
        self._full: str | None = None
        self._began = (time.monotonic(), 0)
        study.pruner = make_pruner(task.search, task.horizon + len(task.folds))
        study.sampler = make_sampler(task.search)

    def run(self) -> None:
        """Run to the end.

        Raises
        ------
        ResourceError
            If more trials fail of their own than max(5, n_trials), or the disk is full.
        """
        self.ledger.open()
        self.task.sweep(self.study)
        self._began = (time.monotonic(), self.ledger.n_finished)
        try:
            while self._goes_on():
                for event in self.executor.events(_POLL_S):
                    if isinstance(event, Reported):
                        self._reported(event)
                    elif isinstance(event, Finished):
                        self._finished(event.result)
        except (ResourceError, OSError):
            self._give_back()
            raise
        finally:
            self.ledger.close()
        if self._full is not None:
            fix = "free space there; the same command then goes on where it stopped"
            raise ResourceError("the disk is full", [Fault("a worker", self._full, "room for what it writes", fix)])

    def _goes_on(self) -> bool:
        """Start what may be started; False when nothing runs and nothing is to be waited for."""
        self._check_time()
        self.ledger.tick()
        while self.executor.free and self._may_start():
            self._start()
            self._check_time()  # copies and bad configurations take no worker, and there may be thousands
        self.on_change(self)
        if self.running:
            return True
        if self._stopping or self._exhausted or self.ledger.n_finished >= self.task.search.n_trials:
            return False
        # Another parent trains the last trials (they may come back), or no device has room for a worker.
        time.sleep(_POLL_S)
        return True

    def _give_back(self) -> None:
        """The search ends for no fault of what runs; where the database is at fault too, the next start finds it."""
        from optuna.exceptions import StorageInternalError

        with contextlib.suppress(StorageInternalError, FdsearchError):
            self.ledger.give_back("the search ended")

    @property
    def left(self) -> float | None:
        """Seconds the remaining trials will take at the rate so far; None before the first one has ended."""
        began, before = self._began
        done = self.ledger.n_finished - before
        missing = max(0, self.task.search.n_trials - self.ledger.n_finished)
        return missing * (time.monotonic() - began) / done if done else None

    @property
    def _exhausted(self) -> bool:
        """Whether a grid has no point left, in the queue neither."""
        return bool(getattr(self.study.sampler, "exhausted", False)) and not self.ledger.n_waiting

    def _may_start(self) -> bool:
        return not self._stopping and not self._exhausted and self.ledger.n_taken < self.task.search.n_trials

    def _check_time(self) -> None:
        over = self.deadline is not None and time.monotonic() > self.deadline
        if (over or self.should_stop()) and not self._stopping:
            self._stop()

    def _stop(self) -> None:
        self._stopping = True
        for job_id in self.running:
            self.executor.stop(job_id)

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
        try:
            config = TrialConfig.from_params(self.task.space.sample(trial))
        except (ConfigError, ValueError) as error:
            self.ledger.failed(trial.number, "configuration", str(error))
            self.ledger.check_failures(self.task.search.n_trials)
            return
        trial.set_user_attr(names.CONFIG, json.dumps(config.to_json()))
        twin = self.ledger.twin(trial.params)
        if twin is not None:
            self.ledger.complete(trial.number, twin[1], trial.params, [], {names.COPY_OF: twin[0]})
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
            self._complete(attempt)
            return
        job = self.task.fold_job(attempt)
        self.running[job.id] = attempt
        self.executor.submit(job)

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
            self._drop(attempt)
        elif result.failure == "timeout" and self._stopping:  # it did not end within the grace of our own stop
            self._stopped(attempt)
        elif result.failure == "disk_full":
            self._disk_full(attempt, result)
        elif result.status == "failed":
            self._failed(attempt, result)
        elif result.status == "stopped":
            self._stopped(attempt)
        else:
            attempt.finish_fold(result)
            if not self._owned(attempt, lambda: self._fold_done(attempt)):
                self._drop(attempt)

    def _fold_done(self, attempt: Attempt) -> bool:
        score = attempt.path[-1]
        attempt.trial.report(score, step=self.task.horizon + attempt.fold - 1)
        if attempt.finished or not self._stopping:
            loses = not attempt.enqueued and not attempt.finished
            if loses and loses_between_folds(self.task.search, attempt.path, self.ledger.paths):
                self._prune(attempt, f"after fold {attempt.fold} of {len(attempt.folds)} at {score:.4f}")
            else:
                self._next_fold(attempt)
        else:
            self._stopped(attempt)
        return True

    def _stopped(self, attempt: Attempt) -> None:
        if not self._stopping:
            self._prune(attempt, f"in epoch {attempt.n_epochs} of its first fold")
        elif self.should_stop() or self._full is not None:
            why = "stopped by a person" if self._full is None else "the disk was full"
            self.ledger.interrupted(attempt.number, why)
        else:
            self._prune(attempt, "because the search's time is up")

    def _disk_full(self, attempt: Attempt, result: Result) -> None:
        """A full disk is no trial's fault: nothing is lost, and nothing more is started."""
        self._full = result.last_words
        self.ledger.interrupted(attempt.number, "the disk was full")
        self._stop()

    def _failed(self, attempt: Attempt, result: Result) -> None:
        failure = result.failure or "exception"
        if self.ledger.failed(attempt.number, failure, result.message):
            self.progress.say(f"trial {attempt.number} was lost with its process ({failure}); queued again")
            return
        attempt.end()
        self.progress.say(f"trial {attempt.number} failed ({failure}): {result.last_words}")
        self.ledger.check_failures(self.task.search.n_trials)

    def _prune(self, attempt: Attempt, why: str) -> None:
        self.ledger.pruned(attempt.number, attempt.attributes())
        attempt.end()
        self.progress.say(f"trial {attempt.number} pruned {why} ({attempt.described})")

    def _complete(self, attempt: Attempt) -> None:
        score = attempt.path[-1]
        self.ledger.complete(attempt.number, score, attempt.trial.params, attempt.path, attempt.attributes())
        attempt.end()
        self.progress.say(f"trial {attempt.number}: macro F1 {score:.4f} ({attempt.described})")

    def _drop(self, attempt: Attempt) -> None:
        self.progress.say(f"the result of trial {attempt.number} was dropped: somebody else had ended the trial")
        attempt.end()
        self.ledger.read()
