"""Finished trials as plain records, for selection, report and the commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdsearch.records import TrialRecord
from fdsearch.search import study as names
from fdsearch.search.trial_files import read_oof

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

FINISHED = ("COMPLETE", "PRUNED", "FAIL")


def read_records(study: Study, trials: Path, n: int, n_classes: int) -> list[TrialRecord]:
    """Read all finished trials of a study.

    Parameters
    ----------
    study : optuna.Study
    trials : Path
        Folder of the trials' folders.
    n, n_classes : int
        Shape of the out-of-fold logits.
    """
    return [
        TrialRecord(
            number=trial.number,
            state=trial.state.name,
            # Optuna stores the last intermediate value of a pruned trial as its value; that is no score.
            value=trial.value if trial.state.name == "COMPLETE" else None,
            params=dict(trial.params),
            logits=read_oof(trials / f"{_original(trial):04d}", n, n_classes),
            epochs=tuple(trial.user_attrs.get(names.EPOCHS, ())),
            seconds=float(trial.user_attrs.get(names.SECONDS, 0.0)),
        )
        for trial in study.get_trials(deepcopy=False)
        if trial.state.name in FINISHED and names.LESSON_OF not in trial.user_attrs
    ]


def best(records: list[TrialRecord], k: int) -> list[TrialRecord]:
    """The k best complete trials with different parameters, best first; equal values in order of their numbers."""
    chosen: list[TrialRecord] = []
    for record in sorted((r for r in records if r.value is not None), key=lambda r: (-(r.value or 0.0), r.number)):
        if all(record.params != other.params for other in chosen):
            chosen.append(record)
    return chosen[:k]


def table(study: Study) -> list[dict[str, Any]]:
    """One plain row per trial: number, state, value, params, seconds, recipe, failure."""
    return [
        {
            "number": trial.number,
            "state": trial.state.name,
            "value": trial.value if trial.state.name == "COMPLETE" else None,
            "params": dict(trial.params),
            "seconds": trial.user_attrs.get(names.SECONDS),
            "recipe": trial.user_attrs.get(names.RECIPE),
            "failure": trial.user_attrs.get(names.FAILURE),
        }
        for trial in study.get_trials(deepcopy=False)
        if names.LESSON_OF not in trial.user_attrs
    ]


def _original(trial: FrozenTrial) -> int:
    return int(trial.user_attrs.get(names.COPY_OF, trial.number))
