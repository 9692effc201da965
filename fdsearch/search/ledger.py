"""The trials of a study as its parents know them: what is running, what has ended and how, and what is told about it.

The loop asks and tells through here. What this parent does is counted as it does it, because reading a large study
takes longer than anything else between two trials; what other parents of a shared study do is read every few seconds.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fdsearch.errors import Fault, ResourceError
from fdsearch.search import grid, retries, telling
from fdsearch.search import study as names
from fdsearch.search.history import FINISHED
from fdsearch.search.leases import PARENT, Leases, Parent
from fdsearch.search.scores import Scores
from fdsearch.search.server import alone
from fdsearch.search.spool import Entry, Spool
from fdsearch.training.job import LOST

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

READ_S = 2.0
"""How old this parent's knowledge of the others may be."""
_NEAR_THE_END = 200
"""More trials than all parents together can take in that time; with fewer left they take them one after the other."""
_MIN_FAILURES = 5


class Ledger:
    """The trials of one study.

    Parameters
    ----------
    study : optuna.Study
    spool : Spool
    me : Parent
        The calling process.
    shared : bool
        Other parents may work on the study too. Otherwise the caller holds the lock of its run folder.
    scores : Scores
        Filled here.
    of_grid : bool
        New trials are points of a grid, which may have none left.
    say : callable
        Told what a person should know.
    """

    def __init__(
        self,
        study: Study,
        spool: Spool,
        me: Parent,
        *,
        shared: bool,
        scores: Scores,
        of_grid: bool,
        say: Callable[[str], None],
    ) -> None:
        self._study, self._spool, self._me, self._say = study, spool, me, say
        self._leases = Leases(study, me) if shared else None
        self.scores = scores
        self._of_grid = of_grid
        self._exhausted: bool | None = None  # None: to be found out, since something has changed
        self._states: dict[int, str] = {}
        self._mine: set[int] = set()
        self._queued = 0  # retries that were queued since the study was read
        self._read_at = -math.inf
        self.counts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()

    @property
    def n_finished(self) -> int:
        """Trials that count: complete and pruned ones."""
        return self.counts["COMPLETE"] + self.counts["PRUNED"]

    @property
    def n_waiting(self) -> int:
        """Trials in the queue."""
        return self.counts["WAITING"] + self._queued

    @property
    def n_taken(self) -> int:
        """Trials that count or may come to."""
        return self.n_finished + self.counts["RUNNING"]

    def may_take(self, n_trials: int) -> bool:
        """Whether there is a trial to take, be it queued or new."""
        if self.n_taken >= n_trials or self.n_waiting or not self._of_grid:
            return self.n_taken < n_trials
        if self._exhausted is None:
            self._exhausted = grid.is_exhausted(self._study)
        return not self._exhausted

    def open(self) -> None:
        """Tell what an ended parent left, give up what it was running, and count what there is."""
        if self._leases is not None:
            self._leases.beat()
        for entry in list(self._spool.left(self._study.study_name)):
            told = self._send(entry)
            how = "had ended before the interruption" if told else "had been given up: its result was dropped"
            self._say(f"trial {entry.number} {how} ({entry.state.lower()})")
        self.read()

    def close(self) -> None:
        """Say good-bye to the other parents."""
        if self._leases is not None:
            self._leases.end()

    def tick(self) -> None:
        """Do what is due: renew the lease, and look at the other parents."""
        if self._leases is not None:
            self._leases.beat()
            if time.monotonic() - self._read_at >= READ_S:
                self.read()

    def read(self) -> None:
        """Read the study anew, and give up the trials of parents that have ended."""
        if self._leases is not None:
            self._leases.look()
        self._queued = 0
        for trial in self._study.get_trials(deepcopy=False):
            # Ended trials never change, and a large study has thousands of them.
            if self._states.get(trial.number) in FINISHED or names.LESSON_OF in trial.user_attrs:
                continue
            if trial.state.name == "RUNNING" and self._is_orphan(trial):
                self._reap(trial)
                continue
            self._note(trial.number, trial.state.name)
            if trial.state.name == "COMPLETE":
                self.scores.read(trial)
            if trial.state.name == "FAIL":
                self.failures[str(trial.user_attrs.get(names.FAILURE))] += 1
        self._read_at = time.monotonic()

    def _is_orphan(self, trial: FrozenTrial) -> bool:
        if trial.number in self._mine:
            return False
        owner = trial.user_attrs.get(PARENT) or f"nobody yet, trial {trial.number}"
        # A trial of ours that we do not train: an earlier search of this very process was broken off.
        return self._leases is None or owner == self._me.id or self._leases.is_dead(owner)

    def _reap(self, trial: FrozenTrial) -> None:
        queued = retries.give_up(self._study, trial, "lost", "its parent process ended", again=True)
        state = telling.find(self._study, trial.number).state.name
        if state != "FAIL":  # its parent was quicker; the next reading tells
            return
        self._note(trial.number, "FAIL")
        self.failures["lost"] += 1
        self._queued += queued is retries.Queued.NOW
        self._say(f"trial {trial.number} was left by a parent that ended" + ("; queued again" if queued else ""))

    def ask(self, n_trials: int) -> Trial | None:
        """Take the next trial; None if others took the last one, or it is a retry that is needless by now."""
        if self._leases is None or (n_trials - self.n_taken > _NEAR_THE_END and not self._of_grid):
            return self._take()
        with alone(self._study._storage, f"take {self._study.study_name}"):
            self.read()
            return self._take() if self.may_take(n_trials) else None

    def _take(self) -> Trial | None:
        from optuna.exceptions import UpdateFinishedTrialError

        trial = telling.ask(self._study, queued=self.n_waiting > 0)
        self._mine.add(trial.number)
        if self._leases is not None:
            try:
                trial.set_user_attr(PARENT, self._me.id)
            except UpdateFinishedTrialError:  # we stood still between the two calls, and it was given up
                return None
        if names.RETRY_OF in trial.user_attrs and trial.number not in self._states:
            self._queued = max(0, self._queued - 1)
        self._note(trial.number, "RUNNING")
        if names.RETRY_OF in trial.user_attrs and retries.is_duplicate(self._study, trial.number):
            self._end(trial.number, retries.DUPLICATE, "another attempt at the same trial came first", again=False)
            return None
        return trial

    def complete(
        self, number: int, value: float, params: Mapping[str, Any], path: Sequence[float], attributes: dict[str, Any]
    ) -> bool:
        """End a trial with its score; return whether it has ended so.

        Parameters
        ----------
        number : int
        value : float
        params : mapping
        path : sequence of float
            Pooled score after each fold; empty for a copy.
        attributes : dict
            User attributes that are set with it.
        """
        if not math.isfinite(value):  # Optuna would take an infinity for a result
            self.failed(number, "non_finite", f"the score is {value}")
            return False
        told = self._tell(number, "COMPLETE", value, attributes)
        if told:
            self.scores.add(number, params, value, path)
        return told

    def pruned(self, number: int, attributes: dict[str, Any]) -> bool:
        """End a trial without a score; return whether it has ended so."""
        return self._tell(number, "PRUNED", None, attributes)

    def interrupted(self, number: int, why: str) -> None:
        """End a trial that could not go on for no fault of anybody's, and queue it again."""
        self._end(number, retries.INTERRUPTED, f"{why}; queued again", again=True, counts=False)

    def give_back(self, why: str) -> None:
        """Queue again what this parent still runs, as far as that can be done: the next start finds the rest."""
        for number in sorted(self._mine):
            with contextlib.suppress(Exception):  # the error that ends the search is the one to be read
                self.interrupted(number, why)

    def failed(self, number: int, failure: str, message: str) -> bool:
        """End a trial with its failure; return whether it was lost with its process and is queued again."""
        queued = self._end(number, failure, message, again=failure in LOST)
        if failure == "device_memory":
            retries.teach_device_memory(self._study, telling.find(self._study, number))
        return queued

    def check_failures(self, n_trials: int) -> None:
        """End the search after more than max(5, n_trials) failures of the trials' own.

        A trial that was lost with its process in every attempt counts as one of them.

        Raises
        ------
        ResourceError
            With a table of the failures by class.
        """
        limit = max(_MIN_FAILURES, n_trials)
        if sum(self.failures.values()) <= limit:
            return
        own = retries.own_failures(self._study)
        if own.total() > limit:
            fix = "see log.txt in the run folder"
            faults = [Fault(failure, f"{count} trials", "none", fix) for failure, count in own.most_common()]
            raise ResourceError(f"{own.total()} trials failed of their own, more than {limit}: the search ends", faults)

    def _tell(self, number: int, state: str, value: float | None, attributes: dict[str, Any]) -> bool:
        """End one of our trials; what is told stands on disk until the database has it."""
        entry = Entry(self._study.study_name, number, self._me.id, state, value, attributes)
        self._spool.keep(entry)
        told = self._send(entry)
        self._mine.discard(number)
        if told:
            self._note(number, state)
        else:
            self.read()
            self._say(f"the result of trial {number} was dropped: somebody else had ended the trial")
        return told

    def _send(self, entry: Entry) -> bool:
        """Tell an entry to the database and forget it; False if the trial is not running, or not its sender's."""
        told = telling.tell(self._study, entry, shared=self._leases is not None, certain=entry.number in self._mine)
        self._spool.forget(entry)
        return told

    def _end(self, number: int, failure: str, message: str, *, again: bool, counts: bool = True) -> bool:
        """Fail one of our trials; False too where it is no longer ours to end."""
        trial = telling.find(self._study, number)
        self._mine.discard(number)
        if trial.state.is_finished() or (self._leases is not None and not telling.is_of(trial, self._me.id)):
            self.read()
            return False
        self._note(number, "FAIL")
        self.failures[failure] += 1
        queued = retries.give_up(self._study, trial, failure, message, again=again, counts=counts)
        self._queued += queued is retries.Queued.NOW
        return bool(queued)

    def _note(self, number: int, state: str) -> None:
        self._exhausted = None
        before = self._states.get(number)
        if before is not None:
            self.counts[before] -= 1
        self._states[number] = state
        self.counts[state] += 1
