"""What the loop writes into the Optuna study and asks of it: ends of trials, failures, equal points, earlier values."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from fdsearch.errors import Fault, ResourceError
from fdsearch.search import study as names
from fdsearch.search.attempt import Attempt
from fdsearch.search.study import mark_failed, requeue
from fdsearch.training.job import LOST

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, TrialState

INTERRUPTED = "interrupted"
_MIN_FAILURES = 5


class Ledger:
    """The trials of a study, told of and asked about by number.

    Parameters
    ----------
    study : optuna.Study
    """

    def __init__(self, study: Study) -> None:
        self._study = study

    def counts(self) -> Counter[str]:
        """Trials by state."""
        return Counter(trial.state.name for trial in self._study.get_trials(deepcopy=False))

    def finished_twin(self, params: dict[str, Any]) -> tuple[int, float] | None:
        """A complete trial with the same parameters: folds and seeds are the same, so its score would be too."""
        from optuna.trial import TrialState

        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            if trial.params == params and trial.value is not None and names.COPY_OF not in trial.user_attrs:
                return trial.number, trial.value
        return None

    def values_at(self, step: int) -> list[float]:
        """What the complete trials had reported at a step."""
        from optuna.trial import TrialState

        trials = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [trial.intermediate_values[step] for trial in trials if step in trial.intermediate_values]

    def record(self, attempt: Attempt) -> None:
        """Keep what a trial has taken so far."""
        attributes = attempt.attributes()
        attempt.trial.set_user_attr(names.EPOCHS, attributes["epochs"])
        attempt.trial.set_user_attr(names.SECONDS, attributes["seconds"])

    def complete(self, number: int, value: float) -> bool:
        """End a trial with its score; return False once a grid has no point left."""
        if not math.isfinite(value):  # Optuna would take an infinity for a result
            self.failed(number, "non_finite", f"the score is {value}")
            return True
        return self._told(number, value=value)

    def pruned(self, number: int) -> bool:
        """End a trial without a score; return False once a grid has no point left."""
        from optuna.trial import TrialState

        return self._told(number, state=TrialState.PRUNED)

    def _told(self, number: int, *, value: float | None = None, state: TrialState | None = None) -> bool:
        try:
            self._study.tell(number, value, state)
        except RuntimeError:
            from optuna.samplers import BruteForceSampler

            # It ends an exhausted grid with `Study.stop`, which ask-and-tell refuses, after the trial was stored.
            if not isinstance(self._study.sampler, BruteForceSampler):
                raise
            return False
        return True

    def interrupted(self, number: int) -> None:
        """End a trial that a person stopped, and queue it again."""
        trial = self._study.get_trials(deepcopy=False)[number]
        requeue(self._study, trial, counts=False)
        mark_failed(self._study, trial, INTERRUPTED, "stopped by a person; queued again")

    def failed(self, number: int, failure: str, message: str) -> bool:
        """End a trial with its failure; return whether it was lost with its process and is queued again."""
        trial = self._study.get_trials(deepcopy=False)[number]
        queued = failure in LOST and requeue(self._study, trial)
        mark_failed(self._study, trial, failure, message)
        return queued

    def check_failures(self, n_trials: int) -> None:
        """End the search after more than max(5, n_trials) failures of the trials' own.

        A trial that was lost with its process in every attempt counts as one of them.

        Raises
        ------
        ResourceError
            With a table of the failures by class.
        """
        from optuna.trial import TrialState

        failed = self._study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        own_trials = [trial for trial in failed if _is_own(trial)]
        classes, own = Counter(str(trial.user_attrs.get(names.FAILURE)) for trial in own_trials), len(own_trials)
        limit = max(_MIN_FAILURES, n_trials)
        if own > limit:
            faults = [
                Fault(failure, f"{count} trials", "none", "see log.txt in the run folder")
                for failure, count in classes.most_common()
            ]
            raise ResourceError(f"{own} trials failed of their own, more than {limit}: the search ends", faults)


def _is_own(trial: FrozenTrial) -> bool:
    failure = trial.user_attrs.get(names.FAILURE)
    if failure in LOST:
        return int(trial.user_attrs.get(names.ATTEMPT, 1)) >= names.MAX_ATTEMPTS
    return failure != INTERRUPTED
