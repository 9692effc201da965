"""The Optuna study of one question on one state of the data: opening, identity, first points.

Its name is ``NAME@DIGEST``: new data opens a new study whose first trials are the old best ones, a changed definition
under the same name is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fdsearch.errors import ConfigError, Fault
from fdsearch.space import SearchSpace, Value
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import RDBStorage

DEFINITION = "fdsearch:definition"
NAME = "fdsearch:name"
CONFIG = "fdsearch:config"
RECIPE = "fdsearch:recipe"
RETRY_OF = "fdsearch:retry_of"
ATTEMPT = "fdsearch:attempt"
FAILURE = "fdsearch:failure"
MESSAGE = "fdsearch:message"
EPOCHS = "fdsearch:epochs"
SECONDS = "fdsearch:seconds"
COPY_OF = "fdsearch:copy_of"
DRAWN = "fdsearch:drawn"
"""On failed trials whose parameters are all there, though they make no configuration."""
CONTINUES = "fdsearch:continues"
"""Numbers of the earlier attempts, latest first: a retry takes over the finished folds and the checkpoint of one."""
LESSON_OF = "fdsearch:lesson_of"
"""On rows that are no trials: they tell the sampler that a trial's parameters cannot be trained."""
_LATER = ("$.search.opening",)
"""Keys that older definitions lack: a study from before them goes on as it began."""
ENQUEUED = "fdsearch:enqueued"
LATENCY = "fdsearch:latency_ms"
OVER_LATENCY = "fdsearch:latency_over_ms"
"""Measured less allowed; what is above zero is told to samplers as a violated constraint."""
DEEPER = "fdsearch:deeper"
"""Of a study: how many of its best probes are still to be trained deeper."""


def study_name(name: str, data_identity: str) -> str:
    """Name of the Optuna study."""
    return f"{name}@{data_identity[:12]}"


def open_study(storage: RDBStorage, name: str, data_identity: str, definition: Mapping[str, Any]) -> Study:
    """Open or create the study of this data, after a check that its definition is the stored one.

    Raises
    ------
    ConfigError
        If the definition differs; the faults list the keys, old and new.
    """
    import optuna

    check_resumable(storage, name, definition)
    study = optuna.create_study(
        storage=storage, study_name=study_name(name, data_identity), direction="maximize", load_if_exists=True
    )
    study.set_user_attr(NAME, name)
    if DEFINITION not in study.user_attrs:
        study.set_user_attr(DEFINITION, json.dumps(definition, sort_keys=True))
    return study


def check_resumable(storage: RDBStorage, name: str, definition: Mapping[str, Any]) -> list[str]:
    """Names of the Optuna studies of a study so far, one for each state of its data; errors as in `open_study`."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    names = []
    for summary in optuna.get_all_study_summaries(storage):
        stored = summary.user_attrs.get(DEFINITION)
        if stored is not None and summary.user_attrs.get(NAME) == name:
            check_definition(json.loads(stored), definition)
            names.append(summary.study_name)
    return names


def check_definition(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Refuse to go on under another definition.

    Raises
    ------
    ConfigError
        With one fault per differing key.
    """
    before, after = dict(_flat(old)), dict(_flat(new))
    fix = "give the study another name, or use --fresh, which moves the old run aside"
    faults = [
        Fault(key, f"{after.get(key, 'nothing')} now", f"{before.get(key, 'nothing')}, as the study was started", fix)
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key) and not (key in _LATER and key not in before)
    ]
    if faults:
        raise ConfigError("the study's definition has changed", faults)


def _flat(value: Any, path: str = "$") -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}")
    else:
        yield path, json.dumps(value, sort_keys=True)


def has_begun(study: Study) -> bool:
    """Whether the first points of a study have been queued."""
    return bool(study.user_attrs.get(ENQUEUED))


def enqueue_first(
    study: Study, space: SearchSpace, points: Iterable[tuple[str, Mapping[str, Value]]], *, n_deeper: int = 0
) -> list[str]:
    """Queue the first points of a study that has no trial yet.

    Parameters
    ----------
    points : iterable of (name, partial parameters)
        Completed by the space's defaults; equal points are queued once.
    n_deeper : int
        So many of the best probes among them are to be trained deeper, once all have ended.

    Returns
    -------
    list of str
        One line for each point that lies outside the space and was skipped.
    """
    if has_begun(study):
        return []
    skipped = enqueue(study, space, points)
    if n_deeper:
        study.set_user_attr(DEEPER, n_deeper)
    study.set_user_attr(ENQUEUED, True)
    return skipped


def enqueue(study: Study, space: SearchSpace, points: Iterable[tuple[str, Mapping[str, Value]]]) -> list[str]:
    """Queue points, those that are in the study already left out; arguments and answer as in `enqueue_first`.

    The caller marks afterwards that it is done: a kill between two points must neither lose nor repeat one.
    """
    skipped = []
    for name, partial in points:
        try:
            params = space.complete(partial)
            TrialConfig.from_params(params)
        except ConfigError as error:
            skipped.append(f"{name} is outside the search space and was skipped: {error.faults[0]}")
            continue
        drawn = {key: value for key, value in params.items() if _is_drawn(space, key)}
        study.enqueue_trial(drawn, user_attrs={RECIPE: name}, skip_if_exists=True)
    return skipped


def _is_drawn(space: SearchSpace, name: str) -> bool:
    distribution = space.get(name)
    return distribution is not None and distribution.kind != "fixed"


def previous_best(storage: RDBStorage, name: str, current: str, k: int) -> list[dict[str, Value]]:
    """Parameters of the best complete trials of the same question on earlier data, best first."""
    import optuna
    from optuna.trial import TrialState

    earlier = [
        summary
        for summary in optuna.get_all_study_summaries(storage)
        if summary.user_attrs.get(NAME) == name and summary.study_name != current and summary.datetime_start
    ]
    if not earlier:
        return []
    latest = max(earlier, key=lambda summary: summary.datetime_start.timestamp() if summary.datetime_start else 0.0)
    trials = optuna.load_study(study_name=latest.study_name, storage=storage).get_trials(states=(TrialState.COMPLETE,))
    feasible = [trial for trial in trials if all(value <= 0 for value in trial.constraints.values())]
    best = sorted(feasible, key=lambda trial: -float(trial.value or 0.0))[:k]
    return [dict(trial.params) for trial in best]
