"""Finished trials as plain records, for selection, report and the commands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
            latency_ms=trial.user_attrs.get(names.LATENCY),
            feasible=is_feasible(trial),
        )
        for trial in study.get_trials(deepcopy=False)
        if trial.state.name in FINISHED and names.LESSON_OF not in trial.user_attrs
    ]


def best(records: list[TrialRecord], k: int) -> list[TrialRecord]:
    """The k best complete trials with different parameters, best first; equal values in order of their numbers.

    Trials that do not hold the study's bounds are left out.
    """
    chosen: list[TrialRecord] = []
    answers = [record for record in records if record.value is not None and record.feasible]
    for record in sorted(answers, key=lambda record: (-(record.value or 0.0), record.number)):
        if all(record.params != other.params for other in chosen):
            chosen.append(record)
    return chosen[:k]


def table(study: Study) -> list[dict[str, Any]]:
    """One plain row per trial: number, state, value, params, seconds, recipe, failure, latency_ms, feasible."""
    return [
        {
            "number": trial.number,
            "state": trial.state.name,
            "value": trial.value if trial.state.name == "COMPLETE" else None,
            "params": dict(trial.params),
            "seconds": trial.user_attrs.get(names.SECONDS),
            "recipe": trial.user_attrs.get(names.RECIPE),
            "failure": trial.user_attrs.get(names.FAILURE),
            "latency_ms": trial.user_attrs.get(names.LATENCY),
            "feasible": is_feasible(trial),
        }
        for trial in study.get_trials(deepcopy=False)
        if names.LESSON_OF not in trial.user_attrs
    ]


def pareto(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The front of score against latency: trials than which none is both better and faster, fastest first.

    Parameters
    ----------
    rows : iterable of mapping
        As `table` gives them; complete trials whose latency was measured are looked at, feasible or not.

    Returns
    -------
    list of dict
        ``trial, value, latency_ms, feasible``.

    Examples
    --------
    >>> rows = [(0, 0.5, 9.0), (1, 0.7, 20.0), (2, 0.6, 20.0), (3, 0.5, 30.0), (4, 0.4, None)]
    >>> keys = ("number", "value", "latency_ms")
    >>> [point["trial"] for point in pareto({**dict(zip(keys, row)), "feasible": True} for row in rows)]
    [0, 1]
    """
    measured = [row for row in rows if row["value"] is not None and row.get("latency_ms") is not None]
    front: list[dict[str, Any]] = []
    for row in sorted(measured, key=lambda row: (row["latency_ms"], -row["value"], row["number"])):
        if not front or row["value"] > front[-1]["value"]:
            kept = {name: row[name] for name in ("value", "latency_ms", "feasible")}
            front.append({"trial": row["number"], **kept})
    return front


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether a trial holds the study's bounds, as far as they were looked at."""
    return all(value <= 0 for value in trial.constraints.values())


def _original(trial: FrozenTrial) -> int:
    return int(trial.user_attrs.get(names.COPY_OF, trial.number))
