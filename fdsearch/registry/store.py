"""The registry of models: versions that appear whole or not at all, and aliases that only a log entry moves.

A version is visible once its ``registered`` event is in the log, and the event is written after the folder was synced
and renamed into place; so a kill at any moment leaves the versions that were there before, and at most debris that the
next `Registry.register` sweeps. `pipeline` and `cli` call this; `serving` resolves references through it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fdsearch.config import NAME_PATTERN
from fdsearch.errors import ConfigError, ConflictError, Fault, IntegrityError, did_you_mean
from fdsearch.files import sync_folder
from fdsearch.registry.disk import disk_errors, exclusive
from fdsearch.registry.draft import METRICS, Draft, numbers, place, sweep
from fdsearch.registry.events import Event, EventLog, check_texts
from fdsearch.registry.manifest import MANIFEST
from fdsearch.registry.references import check_name, parse_reference
from fdsearch.registry.state import ModelState
from fdsearch.registry.verification import LOCK, VERSIONS, Tally, check_model, check_root
from fdsearch.registry.version import ModelVersion


class Registry:
    """All models under one folder.

    Parameters
    ----------
    root : Path
        ``ROOT/registry``; it need not exist before the first `register`.

    Examples
    --------
    >>> Registry(Path("no/such/folder")).models()
    []
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def register(self, name: str, draft: Draft, actor: str) -> ModelVersion:
        """Add a version; a new name starts a model.

        Parameters
        ----------
        name : str
        draft : Draft
        actor : str
            Who registers; goes into the log.

        Raises
        ------
        ConfigError
            If the name or the actor is unusable.
        IntegrityError
            If the draft is incomplete, or the model's log is damaged.
        ConflictError
            If another process held the model for a minute.
        ResourceError, StorageError
            If the disk is full, or cannot be written.
        """
        folder = self._folder(name)
        check_texts(by=actor)
        versions = folder / VERSIONS
        with disk_errors(folder):
            if faults := draft.faults():
                raise IntegrityError("the draft cannot become a version", faults)
            self.root.mkdir(parents=True, exist_ok=True)
            folder.mkdir(exist_ok=True, mode=0o750)
            versions.mkdir(exist_ok=True, mode=0o750)
            sync_folder(self.root)
            with exclusive(folder / LOCK):
                log = EventLog(folder)
                registered = ModelState.after(log.read()).manifests
                sweep(versions, registered)
                number = 1 + max([*registered, *numbers(versions)], default=0)
                digest = place(draft, versions, name, number)
                log.append("registered", number, by=actor, why="new version", details={"manifest": digest})
        return self.version(name, number)

    def record_evaluated(
        self, name: str, version: int, gates: Sequence[Mapping[str, Any]], *, by: str = "fdsearch"
    ) -> None:
        """Log how a version did against its gates (the result of `gates.evaluate`); errors as in `promote`."""
        holding = sum(bool(gate["holds"]) for gate in gates)
        why = f"{holding} of {len(gates)} gates hold"
        self._append(name, version, "evaluated", by, why, {"gates": [dict(gate) for gate in gates]})

    def set_challenger(self, name: str, version: int, *, by: str, reason: str) -> None:
        """Point ``challenger`` at a version; errors as in `promote`."""
        self._append(name, version, "challenger", by, reason)

    def promote(
        self, name: str, version: int, *, by: str, reason: str, expected_generation: int | None = None
    ) -> dict[str, Any]:
        """Make a version champion, after comparing every byte of it with its manifest.

        Parameters
        ----------
        expected_generation : int, optional
            The generation the decision was based on, from `models` or `show`; another one by now is a conflict.

        Returns
        -------
        dict
            ``name``, ``version``, ``previous`` (version or None), ``generation``.

        Raises
        ------
        ConfigError
            If the version is unknown, or `by` or `reason` is empty.
        ConflictError
            If the generation is another one by now, or another process held the model for a minute.
        IntegrityError
            If the log or the version's files are not as they were written.
        """
        before = self._append(name, version, "promoted", by, reason, expected_generation=expected_generation)
        return {"name": name, "version": version, "previous": before.champion, "generation": before.generation + 1}

    def models(self) -> list[dict[str, Any]]:
        """Every model as JSON: ``name``, ``versions`` (numbers), ``champion``, ``challenger``, ``generation``."""
        table = []
        for name in self._names():
            state = self._state(name)
            if state.manifests:
                row = {key: getattr(state, key) for key in ("champion", "challenger", "generation")}
                table.append({"name": name, "versions": sorted(state.manifests), **row})
        return table

    def events(self, name: str) -> tuple[Event, ...]:
        """Everything that happened to a model, oldest first; errors as in `resolve`."""
        self._state(name)
        return EventLog(self._folder(name)).read()

    def show(self, reference: str) -> dict[str, Any]:
        """Describe a version as JSON values: manifest, path, aliases, gates, metrics, and its events.

        Arguments and errors as in `resolve`; of a folder outside the registry no events are known.
        """
        version = self.resolve(reference)
        registered = version.path.is_relative_to(self.root.resolve())
        events = self.events(version.name) if registered else ()
        return {
            **version.manifest.model_dump(mode="json", exclude={"format"}),
            "path": str(version.path),
            "aliases": list(version.aliases),
            "gates": list(version.gates),
            "generation": ModelState.after(events).generation if registered else None,
            "metrics": version.read_json(METRICS),
            "events": [event.body() for event in events if event.version == version.version],
        }

    def resolve(self, reference: str | Path) -> ModelVersion:
        """Find the version that a reference names.

        Parameters
        ----------
        reference : str or Path
            ``NAME`` (its champion), ``NAME@champion``, ``NAME@challenger``, ``NAME:VERSION``, or a version's folder. A
            model's name wins over a folder of the same name; write ``./NAME`` for the folder.

        Raises
        ------
        ConfigError
            If there is no such model, version, alias or folder.
        IntegrityError
            If its log or manifest is not as it was written.
        """
        if isinstance(reference, Path) or (reference not in self._names() and _is_version_folder(reference)):
            return ModelVersion.open(Path(reference))
        wanted = parse_reference(reference)
        if wanted.version is not None:
            return self.version(wanted.name, wanted.version)
        state = self._state(wanted.name)
        number = state.champion if wanted.alias == "champion" else state.challenger
        if number is None:
            known = ", ".join(f"{wanted.name}:{each}" for each in sorted(state.manifests)) or "none"
            fix = f"name a version (known: {known}), or set the alias with `fdsearch registry promote`"
            fault = Fault("MODEL", repr(reference), f"a model that has a {wanted.alias}", fix)
            raise ConfigError(f"{wanted.name} has no {wanted.alias}", [fault])
        return self.version(wanted.name, number)

    def version(self, name: str, version: int) -> ModelVersion:
        """Return one version of a model; errors as in `resolve`."""
        state = self._state(name)
        _check_known(name, version, state)
        path = self._folder(name) / VERSIONS / f"{version:04d}"
        gates = tuple(state.gates.get(version, ()))
        return ModelVersion.open(path, state.manifests[version], aliases=state.aliases(version), gates=gates)

    def verify(self, name: str | None = None) -> dict[str, Any]:
        """Compare every byte of one model, or of the whole registry, with manifests and logs.

        Returns
        -------
        dict
            Numbers of ``models``, ``versions``, ``files``, ``bytes``; of the whole registry, ``openings`` of holdouts;
            ``unfinished``: what killed writers left.

        Raises
        ------
        IntegrityError
            Listing all that is changed, missing, or was not written by fdsearch.
        """
        tally = Tally()
        if name is None:
            check_root(self.root, tally)
        else:
            check_model(self._existing(name), tally)
        if tally.faults:
            raise IntegrityError("the registry is not as it was written", tally.faults)
        return {key: value for key, value in asdict(tally).items() if key != "faults"}

    def _append(
        self,
        name: str,
        version: int,
        kind: str,
        by: str,
        reason: str,
        details: Mapping[str, Any] | None = None,
        expected_generation: int | None = None,
    ) -> ModelState:
        """Log an event about a known version under the lock; return the state before it."""
        check_texts(by=by, reason=reason)
        folder = self._existing(name)
        with disk_errors(folder), exclusive(folder / LOCK):
            log = EventLog(folder)
            state = ModelState.after(log.read())
            _check_known(name, version, state)
            _check_generation(name, state, expected_generation)
            if kind == "promoted":
                details = {"generation": state.generation + 1}
                if faults := self.version(name, version).faults():
                    raise IntegrityError("a version with changed files cannot become champion", faults)
            log.append(kind, version, by=by, why=reason, details=details)
        return state

    def _names(self) -> list[str]:
        if not self.root.is_dir():
            return []
        return sorted(
            each.name for each in self.root.iterdir() if each.is_dir() and re.fullmatch(NAME_PATTERN, each.name)
        )

    def _folder(self, name: str) -> Path:
        return self.root / check_name(name)

    def _existing(self, name: str) -> Path:
        folder = self._folder(name)
        if not folder.is_dir():
            names = self._names()
            fix = did_you_mean(name, names) if names else "the registry is empty: `fdsearch run` fills it"
            raise ConfigError("this names no model", [Fault("MODEL", repr(name), "the name of a model", fix)])
        return folder

    def _state(self, name: str) -> ModelState:
        return ModelState.after(EventLog(self._existing(name)).read())


def _is_version_folder(reference: str) -> bool:
    try:
        return (Path(reference) / MANIFEST).is_file()
    except OSError:  # longer than a path can be
        return False


def _check_known(name: str, version: int, state: ModelState) -> None:
    if version not in state.manifests:
        fix = f"known: {', '.join(map(str, sorted(state.manifests))) or 'none'}"
        fault = Fault("MODEL", f"version {version} of {name}", "a version that is registered", fix)
        raise ConfigError("this names no version", [fault])


def _check_generation(name: str, state: ModelState, expected: int | None) -> None:
    if expected is not None and expected != state.generation:
        got = f"generation {state.generation} (champion: version {state.champion})"
        fix = f"look at the champion with `fdsearch registry show {name}`, then decide again"
        raise ConflictError("the champion changed meanwhile", [Fault(name, got, f"generation {expected}", fix)])
