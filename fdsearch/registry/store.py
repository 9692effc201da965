"""The registry of models: versions that appear whole or not at all, and aliases that only a log entry moves.

A version is visible once its ``registered`` event is in the log, and the event is written after the folder was synced
and renamed into place; so a kill at any moment leaves the versions that were there before, and at most debris that the
next `Registry.register` sweeps. `pipeline` and `cli` call this; `serving` resolves references through it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fdsearch.errors import ConfigError, Fault, IntegrityError, did_you_mean
from fdsearch.registry import decisions
from fdsearch.registry.disk import disk_errors
from fdsearch.registry.draft import METRICS, Draft, numbers, place, sweep
from fdsearch.registry.events import Event, check_texts
from fdsearch.registry.heads import heads
from fdsearch.registry.holdouts import OPENINGS, HoldoutLog
from fdsearch.registry.manifest import MANIFEST
from fdsearch.registry.model import Model
from fdsearch.registry.references import check_name, parse_reference
from fdsearch.registry.signature import configured
from fdsearch.registry.state import ModelState
from fdsearch.registry.verification import verify
from fdsearch.registry.version import ModelVersion
from fdsearch.spelling import NAME_PATTERN


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
        model = self._model(name)
        check_texts(by=actor)
        with disk_errors(model.folder):
            if faults := draft.faults():
                raise IntegrityError("the draft cannot become a version", faults)
            model.make()
            with model.change() as state:
                model.begin()
                sweep(model.versions, state.manifests, state.collected)
                number = 1 + max([*state.manifests, *state.collected, *numbers(model.versions)], default=0)
                digest = place(draft, model.versions, name, number)
                model.log.append("registered", number, by=actor, why="new version", details={"manifest": digest})
        return self.version(name, number)

    def record_evaluated(
        self, name: str, version: int, gates: Sequence[Mapping[str, Any]], *, by: str = "fdsearch"
    ) -> None:
        """Log how a version did against its gates (the result of `gates.evaluate`); errors as in `promote`."""
        holding = sum(bool(gate["holds"]) for gate in gates)
        why = f"{holding} of {len(gates)} gates hold"
        details = {"gates": [dict(gate) for gate in gates]}
        decisions.note(self._existing(name), version, "evaluated", by=by, reason=why, details=details)

    def set_challenger(self, name: str, version: int, *, by: str, reason: str) -> None:
        """Point ``challenger`` at a version; errors as in `promote`."""
        decisions.note(self._existing(name), version, "challenger", by=by, reason=reason)

    def promote(
        self,
        name: str,
        version: int,
        *,
        by: str,
        reason: str,
        expected_generation: int | None = None,
        gates: Sequence[Mapping[str, Any]] = (),
        force: bool = False,
    ) -> dict[str, Any]:
        """Make a version champion, after comparing every byte of it with its manifest.

        Parameters
        ----------
        by, reason : str
            Who decides, and why; the log keeps both.
        expected_generation : int, optional
            The generation the decision was based on, from `models` or `show`; another one by now is a conflict.
        gates : sequence of mapping
            How the version was judged for this promotion (`fdsearch.pipeline.promotion`); the log keeps them.
        force : bool
            Promote although a gate does not hold; the log names those.

        Returns
        -------
        dict
            ``name``, ``version``, ``previous`` (version or None), ``generation``.

        Raises
        ------
        ConfigError
            If the version is unknown, `by` or `reason` is empty, or a gate does not hold without `force`.
        ConflictError
            If the generation is another one by now, or another process held the model for a minute.
        IntegrityError
            If the log or the version's files are not as they were written.
        """
        return decisions.promote(
            self._existing(name),
            version,
            by=by,
            reason=reason,
            expected_generation=expected_generation,
            gates=gates,
            force=force,
        )

    def rollback(self, name: str, *, by: str, reason: str, expected_generation: int | None = None) -> dict[str, Any]:
        """Make the champion before this one champion again; called again, the one before that.

        Parameters, errors and result as in `promote`, without gates: it was champion before.
        """
        return decisions.roll_back(self._existing(name), by=by, reason=reason, expected_generation=expected_generation)

    def models(self) -> list[dict[str, Any]]:
        """Every model as JSON: ``name``, ``versions`` (numbers), ``champion``, ``challenger``, ``generation``."""
        table = []
        for name in self._names():
            state = self.state(name)
            if state.manifests:
                row = {key: getattr(state, key) for key in ("champion", "challenger", "generation")}
                table.append({"name": name, "versions": sorted(state.manifests), **row})
        return table

    def state(self, name: str) -> ModelState:
        """What the events of a model amount to; errors as in `resolve`."""
        return self._existing(name).state()

    def events(self, name: str) -> tuple[Event, ...]:
        """Everything that happened to a model, oldest first; errors as in `resolve`."""
        events = self._existing(name).log.read()
        ModelState.after(events)  # refuses what could not have happened
        return events

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
        state = self.state(wanted.name)
        number = state.champion if wanted.alias == "champion" else state.challenger
        if number is None:
            known = ", ".join(f"{wanted.name}:{each}" for each in sorted(state.manifests)) or "none"
            fix = f"name a version (known: {known}), or set the alias with `fdsearch registry promote`"
            fault = Fault("MODEL", repr(reference), f"a model that has a {wanted.alias}", fix)
            raise ConfigError(f"{wanted.name} has no {wanted.alias}", [fault])
        return self._model(wanted.name).open(number, state)

    def version(self, name: str, version: int) -> ModelVersion:
        """Return one version of a model; errors as in `resolve`."""
        model = self._existing(name)
        return model.open(version, model.state())

    def heads(self, name: str | None = None) -> list[dict[str, Any]]:
        """The ``log``, ``seq`` and ``hash`` that the log of one model, or each log, ends with: to be kept elsewhere."""
        names = self._names() if name is None else [name]
        chains = {each: self._existing(each).log.chain for each in names}
        if name is None:
            chains[OPENINGS] = HoldoutLog(self.root).chain
        return heads(chains)

    def verify(
        self, name: str | None = None, *, noted: Sequence[str] = (), public_key: Path | None = None
    ) -> dict[str, Any]:
        """Compare every byte of one model, or of the whole registry, with manifests and logs, and follow every link.

        Parameters
        ----------
        name : str, optional
        noted : sequence of str
            Hashes from `heads`, kept elsewhere: each must be that of an entry that is still there.
        public_key : Path, optional
            Checks signatures (`fdsearch.registry.signature`); default ``$FDSEARCH_PUBLIC_KEY``, else none is checked.

        Returns
        -------
        dict
            Numbers of ``models``, ``versions``, ``files``, ``bytes``, ``links`` and ``signatures`` that are right; of
            the whole registry, ``openings`` of holdouts; ``unchecked``: the links that could not be followed, and why;
            ``unfinished``: what killed writers left; ``heads``: ``hash, log, seq, later`` of each of `noted`.

        Raises
        ------
        ConfigError
            If there is no such model, or one of `noted` or the key is none.
        IntegrityError
            Listing all that is changed, missing, or was not written by fdsearch.
        """
        only = None if name is None else self._existing(name)
        return verify(self.root, only, noted=noted, key=configured(public_key))

    def _names(self) -> list[str]:
        if not self.root.is_dir():
            return []
        return sorted(
            each.name for each in self.root.iterdir() if each.is_dir() and re.fullmatch(NAME_PATTERN, each.name)
        )

    def _model(self, name: str) -> Model:
        return Model(self.root / check_name(name))

    def _existing(self, name: str) -> Model:
        model = self._model(name)
        if not model.folder.is_dir():
            names = self._names()
            fix = did_you_mean(name, names) if names else "the registry is empty: `fdsearch run` fills it"
            raise ConfigError("this names no model", [Fault("MODEL", repr(name), "the name of a model", fix)])
        return model


def _is_version_folder(reference: str) -> bool:
    try:
        return (Path(reference) / MANIFEST).is_file()
    except OSError:  # longer than a path can be
        return False
