"""Whether every byte under ROOT/registry is one that fdsearch wrote: ``registry verify``."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fdsearch.config import NAME_PATTERN
from fdsearch.errors import Fault, IntegrityError
from fdsearch.registry.draft import INCOMING
from fdsearch.registry.events import EVENTS, HEAD, EventLog
from fdsearch.registry.holdouts import NAMES as HOLDOUT_FILES
from fdsearch.registry.holdouts import HoldoutLog
from fdsearch.registry.state import ModelState
from fdsearch.registry.version import ModelVersion

VERSIONS = "versions"
LOCK = ".lock"
_TEMPORARY = re.compile(r"\.events\.(jsonl|head)\..*\.tmp")
_TEMPORARY_HOLDOUTS = re.compile(r"\.holdouts\.(jsonl|head)\..*\.tmp")


@dataclass
class Tally:
    """What was checked, and what was found.

    `openings` are the lines of the holdouts' log, which belongs to no model: only `check_root` counts them.
    `unfinished` are paths that a killed writer left; they are invisible and no fault.
    """

    models: int = 0
    versions: int = 0
    files: int = 0
    bytes: int = 0
    openings: int = 0
    unfinished: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def check_root(root: Path, tally: Tally) -> None:
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
            check_model(item, tally)
        else:
            tally.faults.append(_stray(item))
    if not strange:  # else there is nothing to read, or no end of it
        _check_openings(root, tally)


def check_model(folder: Path, tally: Tally) -> None:
    """Check the log of one model, its versions, and that nothing else lies beside them."""
    tally.models += 1
    try:
        manifests = ModelState.after(EventLog(folder).read()).manifests
    except IntegrityError as error:
        tally.faults += error.faults
        return
    for item in sorted(folder.iterdir()):
        if _TEMPORARY.fullmatch(item.name):
            tally.unfinished.append(str(item))
        elif item.name == VERSIONS and _is_folder(item):
            tally.faults += [_stray(each) for each in _strays(item, manifests, tally)]
        elif item.name not in (EVENTS, HEAD, LOCK) or not stat.S_ISREG(item.lstat().st_mode):
            tally.faults.append(_stray(item))
    for number, digest in sorted(manifests.items()):
        _check_version(folder / VERSIONS / f"{number:04d}", digest, tally)


def _check_openings(root: Path, tally: Tally) -> None:
    try:
        tally.openings = len(HoldoutLog(root).read())
    except IntegrityError as error:
        tally.faults += error.faults


def _check_version(folder: Path, digest: str, tally: Tally) -> None:
    tally.versions += 1
    try:
        version = ModelVersion.open(folder, digest)
    except IntegrityError as error:
        tally.faults += error.faults
        return
    tally.faults += version.faults()
    tally.files += len(version.manifest.files) + 1
    tally.bytes += sum(seal.size for seal in version.manifest.files.values())


def _strays(versions: Path, manifests: dict[int, str], tally: Tally) -> Iterator[Path]:
    known = {f"{number:04d}" for number in manifests}
    for item in sorted(versions.iterdir()):
        # By name first: a copy under way may be renamed before it could be looked at.
        if item.name.startswith(INCOMING):
            tally.unfinished.append(str(item))
        elif not _is_folder(item):
            yield item
        elif item.name in known:
            continue
        elif re.fullmatch(r"\d{4,}", item.name):
            tally.unfinished.append(str(item))
        else:
            yield item


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)


def _stray(path: Path) -> Fault:
    return Fault(str(path), "a file or folder fdsearch did not write", "nothing here", "move it elsewhere")
