"""Tells the end of a trial to the database, once, whatever else happened to the trial meanwhile.

Several parents may act on one trial: its own tells its result, others give it up when they believe it to be dead. The
database lets the first of them end it; here the rest find out what it became.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fdsearch.search import retries
from fdsearch.search import study as names
from fdsearch.search.leases import PARENT
from fdsearch.search.spool import Entry

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial, TrialState


def tell(study: Study, entry: Entry, *, shared: bool, certain: bool) -> bool:
    """Write an entry into the database; return whether the trial has ended as the entry says.

    Parameters
    ----------
    study : optuna.Study
    entry : Entry
    shared : bool
        Other parents may have ended the trial, or have begun another attempt at it.
    certain : bool
        The trial is known to be running.
    """
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    if shared or not certain:
        try:
            trial = find(study, entry.number)
        except KeyError:  # an older copy of the database was put in its place
            return False
        if trial.state.is_finished():
            return trial.state.name == entry.state
        if trial.state is not TrialState.RUNNING:  # it waits, in a database that was made anew
            return False
        if shared and not (is_of(trial, entry.parent) and _is_needed(study, trial)):
            return False
    try:
        for key, value in entry.attributes.items():
            study._storage.set_trial_user_attr(trial_id(study, entry.number), key, value)
        if (over := entry.attributes.get(names.OVER_LATENCY)) is not None:
            # As `Trial.set_constraint` does, of which this may be a repetition after a kill.
            study._storage.set_trial_system_attr(trial_id(study, entry.number), "constraints:latency", over)
        _end(study, entry.number, TrialState[entry.state], None if entry.value is None else [entry.value])
    except UpdateFinishedTrialError:  # by somebody else, or by us in a call whose answer was lost
        return find(study, entry.number).state.name == entry.state
    return True


def ask(study: Study, *, queued: bool) -> Trial:
    """Take a queued trial, or make a new one where none is queued.

    `Study.ask` looks for queued trials by reading every trial that has not ended; whoever keeps count need not.
    """
    import optuna

    if queued:
        return study.ask()
    study._thread_local.cached_all_trials = None  # as `Study.ask` does: samplers must see what has ended since
    return optuna.Trial(study, study._storage.create_new_trial(study._study_id))


def _end(study: Study, number: int, state: TrialState, values: list[float] | None) -> None:
    """What `Study.tell` does, without reading the trial twice, and without a score for what was pruned."""
    study._storage.set_trial_state_values(trial_id(study, number), state, values)
    study._thread_local.cached_all_trials = None


def _is_needed(study: Study, trial: FrozenTrial) -> bool:
    """End a retry without a result where the attempt that had been given up ended well after all."""
    if names.RETRY_OF not in trial.user_attrs or not retries.is_duplicate(study, trial.number):
        return True
    retries.mark_failed(study, trial, retries.DUPLICATE, "another attempt at the same trial came first")
    return False


def is_of(trial: FrozenTrial, parent: str) -> bool:
    """Whether a trial of a shared study belongs to a parent."""
    return trial.user_attrs.get(PARENT) == parent


def find(study: Study, number: int) -> FrozenTrial:
    """A trial as it is now."""
    return study._storage.get_trial(trial_id(study, number))


def trial_id(study: Study, number: int) -> int:
    """The storage's own number of a trial."""
    return study._storage.get_trial_id_from_study_id_trial_number(study._study_id, number)
