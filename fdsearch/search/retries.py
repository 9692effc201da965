"""What follows a trial that did not end by itself: its failure, its place in the queue, and what its end teaches.

Every step is safe to repeat and to be killed after. With several parents two may give up the same trial: the database
lets one of them fail it, and of two equal retries the later one is dropped when it is popped.
"""

from __future__ import annotations

from collections import Counter
from enum import IntEnum
from typing import TYPE_CHECKING

from fdsearch.search import study as names
from fdsearch.training.job import LOST

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

MAX_ATTEMPTS = 4
"""One try and three retries of a trial that was lost with its process."""
INTERRUPTED = "interrupted"
DUPLICATE = "duplicate"


class Queued(IntEnum):
    """Whether a trial's parameters are queued again; true if they are."""

    NO = 0
    BEFORE = 1
    """By somebody who was killed, or by another parent a moment ago."""
    NOW = 2


def give_up(
    study: Study, trial: FrozenTrial, failure: str, message: str, *, again: bool, counts: bool = True
) -> Queued:
    """End a running trial as failed, and queue its parameters again if wanted.

    The queue comes first: a kill between the two leaves the trial running, and the next parent finds it queued already.
    """
    queued = requeue(study, trial, counts=counts) if again else Queued.NO
    mark_failed(study, trial, failure, message)
    return queued


def mark_failed(study: Study, trial: FrozenTrial, failure: str, message: str) -> None:
    """Fail a trial with its class and words; nothing happens to one that somebody else has ended meanwhile."""
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    storage = study._storage
    try:
        storage.set_trial_user_attr(trial._trial_id, names.FAILURE, failure)
        storage.set_trial_user_attr(trial._trial_id, names.MESSAGE, message[:2000])
        storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    except UpdateFinishedTrialError:
        return


def requeue(study: Study, trial: FrozenTrial, *, counts: bool = True) -> Queued:
    """Queue a lost trial's parameters again, unless it has been tried often enough.

    `counts` is False where nothing went wrong: a person stopped the run.
    """
    # A trial that was killed while it drew has only a part of its parameters; the rest stands in what was queued.
    params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    if _is_queued(study, trial):
        return Queued.BEFORE
    attempt = int(trial.user_attrs.get(names.ATTEMPT, 1)) + counts
    if not params or attempt > MAX_ATTEMPTS:
        return Queued.NO
    attributes = {names.RETRY_OF: original(trial), names.ATTEMPT: attempt}
    if names.RECIPE in trial.user_attrs:
        attributes[names.RECIPE] = trial.user_attrs[names.RECIPE]
    before = trial.user_attrs.get(names.CONTINUES, [])
    study.enqueue_trial(dict(params), user_attrs={**attributes, names.CONTINUES: [trial.number, *before]})
    return Queued.NOW


def original(trial: FrozenTrial) -> int:
    """Number of the first attempt at what a trial attempts."""
    return int(trial.user_attrs.get(names.RETRY_OF, trial.number))


def is_duplicate(study: Study, number: int) -> bool:
    """Whether a retry that was just popped is needless: its attempt was made already, or one has ended well.

    Two parents may give up one trial at the same moment, or one may while its own parent is telling its result.
    """
    trials = study.get_trials(deepcopy=False)
    trial = trials[number]
    first, attempt = original(trial), trial.user_attrs.get(names.ATTEMPT, 1)
    earlier = trial.user_attrs.get(names.CONTINUES, [])
    for other in trials:
        if other.number == number or original(other) != first:
            continue
        if other.state.name in ("COMPLETE", "PRUNED") and names.LESSON_OF not in other.user_attrs:
            return True
        same = other.user_attrs.get(names.ATTEMPT, 1) == attempt
        # One that was interrupted made no attempt. What this one continues may run still, until it is failed.
        rival = other.number not in earlier and other.user_attrs.get(names.FAILURE) not in (DUPLICATE, INTERRUPTED)
        if same and rival and other.number < number:
            return True
    return False


def _is_queued(study: Study, trial: FrozenTrial) -> bool:
    """Whether what continues a trial is in the queue: whoever put it there was killed before it failed the trial."""
    return any(numbers[:1] == [trial.number] for numbers in _continued(study))


def is_continued(study: Study, number: int) -> bool:
    """Whether a queued retry may take over a trial's files."""
    return any(number in numbers for numbers in _continued(study))


def _continued(study: Study) -> list[list[int]]:
    """What each queued trial continues, latest first."""
    from optuna.trial import TrialState

    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    return [trial.user_attrs.get(names.CONTINUES, []) for trial in waiting]


def teach_device_memory(study: Study, trial: FrozenTrial) -> None:
    """Let the sampler learn that a trial's parameters do not fit into the device's memory.

    Samplers learn nothing from failed trials and would propose the point again. So a row is added that violates a
    constraint, with the same parameters; it counts for nothing else.
    """
    from optuna.trial import TrialState, create_trial

    study.add_trial(
        create_trial(
            state=TrialState.PRUNED,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs={names.LESSON_OF: trial.number},
            constraints={"device_memory": 1.0},
        )
    )


def own_failures(study: Study) -> Counter[str]:
    """Failures by class, without those of processes and persons; a trial lost in every attempt counts as one."""
    from optuna.trial import TrialState

    failed = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    return Counter(str(trial.user_attrs.get(names.FAILURE)) for trial in failed if _is_own(trial))


def _is_own(trial: FrozenTrial) -> bool:
    failure = trial.user_attrs.get(names.FAILURE)
    if failure in LOST:
        return int(trial.user_attrs.get(names.ATTEMPT, 1)) >= MAX_ATTEMPTS
    return failure not in (INTERRUPTED, DUPLICATE)
