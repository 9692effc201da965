"""A folder with one subfolder per class, read as a manifest: which files are pictures, and what could hide some.

`data.manifest` makes rows of what is found here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fdsearch.errors import Fault
from fdsearch.imaging import SUFFIXES


@dataclass(frozen=True)
class ClassFolders:
    """What lies in the folder.

    Parameters
    ----------
    filenames : tuple of str
        ``CLASS/.../PICTURE``, with slashes, sorted.
    faults : tuple of Fault
    notes : tuple of str
    """

    filenames: tuple[str, ...]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]


def read_class_folders(root: Path) -> ClassFolders:
    """List the pictures below a folder by their extension; hidden files and folders are passed over.

    Links to folders, folders that cannot be read, names that are not UTF-8 and pictures outside of any class folder are
    faults: each could leave pictures out without anybody noticing.
    """
    files, faults = _walk(root)
    filenames: list[str] = []
    skipped: list[str] = []
    for path in files:
        if path.suffix.lower() not in SUFFIXES:
            skipped.append(path.relative_to(root).as_posix())
        elif path.parent == root:
            fix = "move it into its class's folder, or out of here"
            faults.append(Fault(str(path), "a picture outside of any class folder", "CLASS/PICTURE", fix))
        else:
            filenames.append(path.relative_to(root).as_posix())
    names = ", ".join(skipped[:3]) + (", ..." if len(skipped) > 3 else "")
    notes = (f"files that are no pictures by their extension: {len(skipped)} ({names})",) if skipped else ()
    return ClassFolders(tuple(filenames), tuple(faults), notes)


def _walk(root: Path) -> tuple[list[Path], list[Fault]]:
    faults: list[Fault] = []

    def unreadable(error: OSError) -> None:
        faults.append(Fault(str(error.filename), error.strerror or str(error), "a readable folder", "mend permissions"))

    files: list[Path] = []
    for folder, folders, names in os.walk(root, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [path for path in (Path(folder, name) for name in folders) if path.is_symlink()]
        fix = "copy the folder itself to this place"
        faults += [Fault(str(path), "a symbolic link", "a folder", fix) for path in links]
        files += [Path(folder, name) for name in names if not name.startswith(".")]
    strange = [path for path in files if not _is_text(str(path))]
    faults += [Fault(repr(str(path)), "a name that is not UTF-8", "a UTF-8 name", "rename it") for path in strange]
    return sorted(path for path in files if _is_text(str(path))), faults


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
