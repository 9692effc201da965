"""Whether every byte under ROOT/registry is one that fdsearch wrote, and still fits what it refers to: ``verify``.

Nothing is mended here; what killed writers leave is told and left to the next writer.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fdsearch.errors import ConflictError, Fault, IntegrityError
from fdsearch.registry.draft import INCOMING, is_number
from fdsearch.registry.events import EVENTS, HEAD
from fdsearch.registry.heads import check_hashes, find
from fdsearch.registry.holdouts import NAMES as HOLDOUT_FILES
from fdsearch.registry.holdouts import OPENINGS, HoldoutLog
from fdsearch.registry.links import Links, check_links
from fdsearch.registry.model import LOCK, VERSIONS, Model
from fdsearch.registry.signature import PublicKey, signature_faults
from fdsearch.registry.state import ModelState
from fdsearch.registry.version import SIGNATURE_FILE, ModelVersion
from fdsearch.spelling import NAME_PATTERN

_ATTEMPTS = 20
_TEMPORARY = re.compile(r"\.events\.(jsonl|head)\..*\.tmp")
_TEMPORARY_HOLDOUTS = re.compile(r"\.holdouts\.(jsonl|head)\..*\.tmp")


@dataclass
class Tally:
    """What was checked, and what was found.

    `openings` are the lines of the holdouts' log, which belongs to no model: only `check_root` counts them.
    `unfinished` are paths that a killed writer left; they are invisible and no fault. `signatures` are those that the
    configured key has checked.
    """

    models: int = 0
    versions: int = 0
    files: int = 0
    bytes: int = 0
    openings: int = 0
    signatures: int = 0
    links: Links = field(default_factory=Links)
    unfinished: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count what another tally has found, too."""
        for key, value in vars(other).items():
            if isinstance(value, Links):
                self.links.add(value)
            else:
                setattr(self, key, getattr(self, key) + value)

    def to_json(self) -> dict[str, Any]:
        """Everything but the faults."""
        plain = {key: value for key, value in vars(self).items() if key not in ("links", "faults")}
        return {**plain, "links": self.links.held, "unchecked": self.links.unchecked}


def verify(
    root: Path, only: Model | None = None, *, noted: Sequence[str] = (), key: PublicKey | None = None
) -> dict[str, Any]:
    """Check a registry or one of its models; see `fdsearch.registry.store.Registry.verify`."""
    check_hashes(noted)
    tally = Tally()
    if only is None:
        check_root(root, tally, key)
    else:
        check_model(only.folder, tally, key)
    _refuse(tally.faults)
    models = _models(root) if only is None else [only]
    chains = {model.name: model.log.chain for model in models}
    if only is None:
        chains[OPENINGS] = HoldoutLog(root).chain
    found, lost = find(noted, chains)
    _refuse([*lost, *tally.links.faults])
    return {**tally.to_json(), "heads": found}


def check_root(root: Path, tally: Tally, key: PublicKey | None = None) -> None:
    """Check every model of a registry, and the log of its holdouts."""
    strange = False
    for item in sorted(root.iterdir()) if root.is_dir() else []:
        if _TEMPORARY_HOLDOUTS.fullmatch(item.name):
            tally.unfinished.append(str(item))
        elif item.name in HOLDOUT_FILES:
            if not stat.S_ISREG(item.lstat().st_mode):
                strange = True
                tally.faults.append(_stray(item))
        elif _is_folder(item) and re.fullmatch(NAME_PATTERN, item.name):
            check_model(item, tally, key)
        else:
            tally.faults.append(_stray(item))
    if not strange:  # else there is nothing to read, or no end of it
        _check_openings(root, tally)


def check_model(folder: Path, tally: Tally, key: PublicKey | None = None) -> None:
    """Check the log of one model, its versions, and that nothing else lies beside them.

    No lock is taken, so that a registry on read-only media can be checked: what a writer changed meanwhile is looked at
    again, not called damage.

    Raises
    ------
    ConflictError
        If the model is written faster than it can be read.
    """
    for _ in range(_ATTEMPTS):
        before, found = _stamp(folder), Tally()
        try:
            _check_model(folder, found, key)
        except FileNotFoundError:  # a file that was there a moment ago: `gc` is at it
            continue
        if not (found.faults or found.unfinished) or _stamp(folder) == before:
            tally.add(found)
            return
    raise ConflictError(f"{folder.name} is being written without a pause; try again")


def _stamp(folder: Path) -> tuple[int, ...] | None:
    """What changes with every event: each replaces the log's file."""
    try:
        found = (folder / EVENTS).lstat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _check_model(folder: Path, tally: Tally, key: PublicKey | None) -> None:
    tally.models += 1
    model = Model(folder)
    try:
        state = model.state()
        if model.log.chain.lags():
            tally.unfinished.append(str(folder / HEAD))
    except IntegrityError as error:
        tally.faults += error.faults
        return
    for item in sorted(folder.iterdir()):
        if _TEMPORARY.fullmatch(item.name):
            tally.unfinished.append(str(item))
        elif item.name == VERSIONS and _is_folder(item):
            tally.faults += [_stray(each) for each in _strays(item, state, tally)]
        elif item.name not in (EVENTS, HEAD, LOCK) or not stat.S_ISREG(item.lstat().st_mode):
            tally.faults.append(_stray(item))
    for number in sorted(state.manifests):
        _check_version(model, number, state, tally, key)


def _refuse(faults: Sequence[Fault]) -> None:
    if faults:
        raise IntegrityError("the registry, or what it rests on, is not as it was written", faults)


def _models(root: Path) -> list[Model]:
    return [Model(item) for item in sorted(root.iterdir()) if _is_folder(item)] if root.is_dir() else []


def _check_openings(root: Path, tally: Tally) -> None:
    log = HoldoutLog(root)
    try:
        tally.openings = len(log.read())
        if log.chain.lags():
            tally.unfinished.append(str(log.chain.head))
    except IntegrityError as error:
        tally.faults += error.faults


def _check_version(model: Model, number: int, state: ModelState, tally: Tally, key: PublicKey | None) -> None:
    tally.versions += 1
    try:
        version = model.open(number, state)
    except IntegrityError as error:
        tally.faults += error.faults
        return
    faults = version.faults()
    tally.faults += faults
    tally.files += len(version.manifest.files) + 1
    tally.bytes += sum(seal.size for seal in version.manifest.files.values())
    if key is not None:
        _check_signature(version, tally, key)
    if not faults:
        check_links(version, state.manifests, model.folder.parent, tally.links)


def _check_signature(version: ModelVersion, tally: Tally, key: PublicKey) -> None:
    """What is deployed must be signed; what never was need not be, but no signature may be wrong."""
    if not (version.path / SIGNATURE_FILE).exists() and "champion" not in version.aliases:
        return
    tally.signatures += 1
    tally.faults += signature_faults(version, key)


def _strays(versions: Path, state: ModelState, tally: Tally) -> Iterator[Path]:
    known = {f"{number:04d}" for number in state.manifests}
    for item in sorted(versions.iterdir()):
        # By name first: a copy under way may be renamed before it could be looked at.
        if item.name.startswith(INCOMING):
            tally.unfinished.append(str(item))
            continue
        try:
            strange = not _is_folder(item) or not is_number(item.name)
        except FileNotFoundError:  # `gc` was at it
            continue
        if strange:
            yield item
        elif item.name not in known:
            tally.unfinished.append(str(item))


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)


def _stray(path: Path) -> Fault:
    return Fault(str(path), "a file or folder fdsearch did not write", "nothing here", "move it elsewhere")
