"""From a prepared folder to a numbered version: what a draft must hold, and how it moves into place whole.

Called by `store` under the model's lock.
"""

from __future__ import annotations

import re
import shutil
import stat
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fdsearch.errors import Fault
from fdsearch.files import sync_folder
from fdsearch.registry.arrays import read_arrays
from fdsearch.registry.disk import copy_durably
from fdsearch.registry.manifest import FILE_PATTERN, MANIFEST, seal, walk
from fdsearch.registry.version import SIGNATURE_FILE

MODEL, CONTRACT, CARD, PREDICTIONS, METRICS = "model.keras", "contract.json", "card.md", "oof.npz", "metrics.json"
REQUIRED = (MODEL, CONTRACT, CARD, PREDICTIONS, METRICS)
"""What every version has; exports may lie beside it."""

CARD_JSON = "card.json"
"""The card for programs; versions of before lack it."""

INCOMING = ".incoming-"


@dataclass(frozen=True)
class Draft:
    """A prepared version.

    Parameters
    ----------
    folder : Path
        Holds at least the files of `REQUIRED`; it is copied, not moved.
    lineage : mapping
        JSON values: digests of data, partition, space and definition, seeds, study, trial.
    """

    folder: Path
    lineage: Mapping[str, Any] = field(default_factory=dict)

    def faults(self) -> list[Fault]:
        """List what keeps the folder from being registered: absent or irregular files, predictions that need pickle."""
        found = version_faults(self.folder)
        for name, expected in ((MANIFEST, "none: registering writes it"), (SIGNATURE_FILE, "none before the manifest")):
            if (self.folder / name).exists():
                found.append(Fault(str(self.folder / name), f"a {name}", expected, "remove it"))
        return found


def version_faults(folder: Path) -> list[Fault]:
    """List what keeps a folder from being a version: absent, irregular or odd files, arrays that need pickle."""
    entries = dict(walk(folder))
    absent = [name for name in REQUIRED if name not in entries]
    irregular = [name for name, mode in entries.items() if not stat.S_ISREG(mode)]
    found = [Fault(str(folder / name), "no such file", "a file every version has") for name in absent]
    found += [Fault(str(folder / name), "not a regular file", "a regular file") for name in irregular]
    plain = "a name of letters, digits and . _ -"
    found += [Fault(str(folder / name), repr(name), plain) for name in entries if not re.fullmatch(FILE_PATTERN, name)]
    return found or [fault for name in entries if name.endswith(".npz") for fault in _array_faults(folder / name)]


def place(draft: Draft, versions: Path, name: str, number: int) -> str:
    """Copy, seal and sync a draft beside its place, rename it there, and return its manifest's SHA-256.

    Parameters
    ----------
    versions : Path
        ``ROOT/registry/NAME/versions``; the draft becomes its subfolder `number`, four digits.
    """
    temporary = Path(tempfile.mkdtemp(dir=versions, prefix=INCOMING))
    try:
        copy_durably(draft.folder, temporary)
        digest = seal(temporary, name, number, draft.lineage)
        publish(temporary, versions, number)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return digest


def publish(temporary: Path, versions: Path, number: int) -> None:
    """Move a sealed and synced folder to its number; `temporary` lies beside it."""
    temporary.chmod(0o750)
    target = versions / f"{number:04d}"
    # The exclusive mkdir gives a number to one writer even where a network file system ignores the lock; a rename
    # then replaces the empty folder (on POSIX: models are registered where they are trained, Linux and WSL2).
    target.mkdir(mode=0o750)
    temporary.replace(target)
    sync_folder(versions)


def sweep(versions: Path, registered: Collection[int], collected: Collection[int] = ()) -> None:
    """Remove what killed writers left: copies that were under way, numbers that were taken for nothing, and folders of
    versions that were collected.

    A whole folder without an event stays: it may be all that is left after somebody put an old log back.
    """
    for item in versions.glob(f"{INCOMING}*"):
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
    for number in numbers(versions):
        folder = versions / f"{number:04d}"
        if number in registered or not folder.is_dir() or folder.is_symlink():
            continue
        if number in collected:
            shutil.rmtree(folder)
        elif not any(folder.iterdir()):
            folder.rmdir()


def numbers(versions: Path) -> list[int]:
    """The numbers that are taken, with or without an event."""
    if not versions.is_dir():
        return []
    return sorted(int(item.name) for item in versions.iterdir() if is_number(item.name))


def is_number(name: str) -> bool:
    """Whether a folder's name is a version's number as `publish` writes it.

    Examples
    --------
    >>> [is_number(name) for name in ("0007", "12345", "7", "00007", "٠٠٠٧")]
    [True, True, False, False, False]
    """
    return re.fullmatch("[0-9]{4,9}", name) is not None and name == f"{int(name):04d}"


def _array_faults(path: Path) -> list[Fault]:
    try:
        with path.open("rb") as stream:
            read_arrays(stream)
    except ValueError as error:
        return [Fault(str(path), str(error), "arrays of numbers in .npz, without pickle")]
    return []
