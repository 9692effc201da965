"""Decisions that somebody signs: who is champion, and who was judged how. Each is one event under the model's lock.

`store` offers them by the model's name; `pipeline.promotion` judges the gates that are handed in here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fdsearch.errors import ConfigError, ConflictError, Fault, IntegrityError
from fdsearch.registry.events import check_texts
from fdsearch.registry.model import Model
from fdsearch.registry.state import ModelState

Gate = Mapping[str, Any]
"""A row of `fdsearch.registry.gates.evaluate`."""


def note(
    model: Model, version: int, kind: str, *, by: str, reason: str, details: Mapping[str, Any] | None = None
) -> None:
    """Log an event of a version that leaves the champion as it is; errors as in `fdsearch.registry.store.Registry`."""
    check_texts(by=by, reason=reason)
    with model.change() as state:
        model.check_known(version, state)
        model.log.append(kind, version, by=by, why=reason, details=details)


def promote(
    model: Model,
    version: int,
    *,
    by: str,
    reason: str,
    expected_generation: int | None,
    gates: Sequence[Gate],
    force: bool,
) -> dict[str, Any]:
    """Make a version champion; see `fdsearch.registry.store.Registry.promote`."""
    check_texts(by=by, reason=reason)
    failing = [str(gate["name"]) for gate in gates if not gate["holds"]]
    with model.change() as state:
        model.check_known(version, state)
        _check_generation(model.name, state, expected_generation)
        if failing and not force:
            raise _refused(model.name, version, gates)
        _check_whole(model, version, state)
        details: dict[str, Any] = {"generation": state.generation + 1}
        if gates:
            details["gates"] = [dict(gate) for gate in gates]
        if failing:
            details["forced"] = failing
        model.log.append("promoted", version, by=by, why=reason, details=details)
    return _moved(model.name, version, state)


def roll_back(model: Model, *, by: str, reason: str, expected_generation: int | None) -> dict[str, Any]:
    """Make the champion before champion again; see `fdsearch.registry.store.Registry.rollback`."""
    check_texts(by=by, reason=reason)
    with model.change() as state:
        _check_generation(model.name, state, expected_generation)
        if not state.former:
            fix = f"promote the version that shall be champion: `fdsearch registry promote {model.name}:VERSION`"
            fault = Fault(model.name, f"champion: version {state.champion}", "a champion before this one", fix)
            raise ConfigError("there is no earlier champion to go back to", [fault])
        version = state.former[-1]
        _check_whole(model, version, state)
        details = {"generation": state.generation + 1, "instead_of": state.champion}
        model.log.append("rolled back", version, by=by, why=reason, details=details)
    return _moved(model.name, version, state)


def _moved(name: str, version: int, before: ModelState) -> dict[str, Any]:
    return {"name": name, "version": version, "previous": before.champion, "generation": before.generation + 1}


def _check_whole(model: Model, version: int, state: ModelState) -> None:
    if faults := model.open(version, state).faults():
        raise IntegrityError("a version with changed files cannot become champion", faults)


def _check_generation(name: str, state: ModelState, expected: int | None) -> None:
    if expected is not None and expected != state.generation:
        got = f"generation {state.generation} (champion: version {state.champion})"
        fix = f"look at the champion with `fdsearch registry show {name}`, then decide again"
        raise ConflictError("the champion changed meanwhile", [Fault(name, got, f"generation {expected}", fix)])


def _refused(name: str, version: int, gates: Sequence[Gate]) -> ConfigError:
    fix = "promote another version, or override with --force: the log keeps the reason"
    faults = [
        Fault(f"{name}:{version}, gate {gate['name']}", str(gate["why"]), "a gate that holds", fix)
        for gate in gates
        if not gate["holds"]
    ]
    return ConfigError("a gate does not hold, so the champion stays", faults)
