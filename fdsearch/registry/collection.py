"""What nothing needs any more: which versions of a model those are, and removing them (``registry gc``).

The event that takes a version out of the registry is durable before its folder is touched: a kill in between leaves a
folder that no reader sees and that the next writer sweeps.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from fdsearch.errors import ConflictError, Fault, IntegrityError
from fdsearch.files import sync_folder
from fdsearch.registry.draft import numbers, sweep
from fdsearch.registry.events import check_texts
from fdsearch.registry.model import Model
from fdsearch.registry.state import ModelState

REFITTED = "refitted_from"
"""The key of a lineage that names the version whose recipe was fitted again (``name``, ``version``, ``manifest``)."""


def needed(model: Model, state: ModelState) -> dict[int, str]:
    """Say of each version that has to stay why it has to.

    Aliases stay, the champions that a roll back would return to, and the versions that any of these were refitted from,
    as far back as that goes.

    Raises
    ------
    IntegrityError
        If the manifest of one of them is not as it was registered.
    """
    found = dict.fromkeys(state.former, "a champion before, which a roll back returns to")
    for alias in ("challenger", "champion"):
        number = getattr(state, alias)
        if number is not None:
            found[number] = f"the {alias}"
    waiting = list(found)
    while waiting:
        child = waiting.pop()
        parent = _parent(model, child, state)
        if parent is not None and parent not in found:
            found[parent] = f"version {child} was refitted from it"
            waiting.append(parent)
    return found


def _parent(model: Model, number: int, state: ModelState) -> int | None:
    """The version of this very model that a version was refitted from."""
    origin = model.open(number, state).manifest.lineage.get(REFITTED)
    if not isinstance(origin, Mapping) or origin.get("name") != model.name:
        return None
    parent = origin.get("version")
    same = isinstance(parent, int) and state.manifests.get(parent) == origin.get("manifest")
    return parent if same else None


def collect(
    model: Model, only: Sequence[int] | None = None, *, by: str, reason: str, dry_run: bool = False
) -> dict[str, Any]:
    """Remove the versions of a model that nothing needs.

    Parameters
    ----------
    model : Model
    only : sequence of int, optional
        Remove these and no others; default: every version that is not `needed`. A number that is `unregistered` has to
        be named: the folder may be all that is left after somebody put an old log back.
    by, reason : str
        Who removes, and why; the log keeps both. Not asked of a dry run.
    dry_run : bool
        Only say what would be removed.

    Returns
    -------
    dict
        ``name``, ``kept`` (rows of ``version`` and ``why``), ``collected`` (rows of ``version`` and ``bytes``) and
        ``unregistered`` (rows of ``version`` and ``removed``).

    Raises
    ------
    ConfigError
        If one of `only` is unknown, or `by` or `reason` is empty.
    ConflictError
        If one of `only` is needed, or another process held the model for a minute. Nothing is removed then.
    IntegrityError
        If the log, or a version that stays, is not as it was written: until that is mended, nothing is removed.
    ResourceError, StorageError
        If the disk is full, or cannot be written.
    """
    if not dry_run:
        check_texts(by=by, reason=reason)
    with model.change() as state:
        orphans, reasons = unregistered(model, state), needed(model, state)
        for number in set(only or ()) - set(orphans):
            model.check_known(number, state)
        _refuse_needed(model, reasons, only or ())
        going = sorted(set(state.manifests) - set(reasons) if only is None else set(only) - set(orphans))
        named = [number for number in orphans if number in (only or ())]
        document = _document(model, state, reasons, going)
        document["unregistered"] = [{"version": number, "removed": number in named} for number in orphans]
        if dry_run:
            return document
        _check_whole(model, state, reasons)
        sweep(model.versions, state.manifests, state.collected)
        for number in going:
            details = {"manifest": state.manifests[number]}
            model.log.append("collected", number, by=by, why=reason, details=details)
            _remove(model, number)
        for number in named:
            _remove(model, number)
    return document


def unregistered(model: Model, state: ModelState) -> list[int]:
    """The numbers of whole folders that no event knows: what a writer leaves that was killed right before its event."""
    known = {*state.manifests, *state.collected}
    return [number for number in numbers(model.versions) if number not in known and model.holds(number)]


def _remove(model: Model, number: int) -> None:
    shutil.rmtree(model.place(number))
    sync_folder(model.versions)


def _refuse_needed(model: Model, reasons: dict[int, str], only: Sequence[int]) -> None:
    fix = f"promote another version first, or roll back; `fdsearch registry log {model.name}` tells what happened"
    faults = [
        Fault(f"{model.name}:{number:04d}", reasons[number], "a version that nothing needs", fix)
        for number in only
        if number in reasons
    ]
    if faults:
        raise ConflictError("a version that is needed is not removed", faults)


def _check_whole(model: Model, state: ModelState, reasons: dict[int, str]) -> None:
    """What goes may be all that can stand in for a version that is damaged."""
    faults = [fault for number in sorted(reasons) for fault in model.open(number, state).faults()]
    if faults:
        raise IntegrityError("a version that stays is damaged, so nothing is removed", faults)


def _document(model: Model, state: ModelState, reasons: dict[int, str], going: Sequence[int]) -> dict[str, Any]:
    others = {number: "not asked for" for number in state.manifests if number not in going}
    return {
        "name": model.name,
        "kept": [{"version": number, "why": why} for number, why in sorted({**others, **reasons}.items())],
        "collected": [{"version": number, "bytes": _size(model, state, number)} for number in going],
    }


def _size(model: Model, state: ModelState, number: int) -> int:
    """Bytes of a version's files; what cannot be read counts nothing, and may go all the same."""
    try:
        return sum(seal.size for seal in model.open(number, state).manifest.files.values())
    except IntegrityError:
        return 0
