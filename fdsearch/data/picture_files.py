"""Files that a table names: kept inside the images folder, opened without following links.

A manifest is written by somebody else, so its names are input: `PictureFolder.find` refuses whatever could leave the
folder or block (`..`, links, pipes, devices), and `read_regular` opens what was found so that a file swapped in between
is refused too. `data.manifest` finds, `data.images` reads.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath

from fdsearch.imaging import PictureError, read_capped

# Both are absent on Windows, where opening a link or a pipe by these names is not a matter.
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class PictureFolder:
    """The folder that relative filenames of a manifest start from.

    Parameters
    ----------
    root : Path
        May itself be a link; nothing below it may lead outside.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._parents: dict[PurePosixPath, Path | None] = {}

    def find(self, filename: str) -> Path:
        """Return the absolute path of a manifest's filename.

        Raises
        ------
        PictureError
            If the name is absolute, holds ``..`` or NUL, leads outside the folder, or is no regular file.
        """
        _check_name(filename)
        name = PurePosixPath(filename)
        if name.parent not in self._parents:  # resolved once per folder: it costs a system call per level
            parent = (self.root / name.parent).resolve()
            self._parents[name.parent] = parent if parent.is_relative_to(self.root) else None
        parent_folder = self._parents[name.parent]
        if parent_folder is None:
            raise PictureError(
                f"a folder that leads outside {self.root}",
                "a path inside it",
                "copy the pictures into the images folder",
            )
        path = parent_folder / name.name
        check_regular(path)
        return path


def check_regular(path: Path) -> os.stat_result:
    """Return the status of a regular file, not following a link; `PictureError` for anything else."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        fix = "write folders with /, not \\" if "\\" in path.name else "mend the name, or `data.images` of the study"
        raise PictureError("no such file", f"a picture at {path}", fix) from None
    except OSError as error:
        raise PictureError(error.strerror or str(error), "a readable file", "check its permissions") from error
    _check_mode(status.st_mode)
    return status


def read_regular(path: Path) -> tuple[bytes, os.stat_result]:
    """Read a regular file and the status it had when it was opened; errors as in `check_regular`."""
    check_regular(path)
    try:
        handle = os.open(path, _OPEN_FLAGS)
        with os.fdopen(handle, "rb") as stream:
            status = os.fstat(handle)
            _check_mode(status.st_mode)
            return read_capped(stream), status
    except OSError as error:
        raise PictureError(error.strerror or str(error), "a readable file", "check its permissions") from error


def _check_name(filename: str) -> None:
    windows = PureWindowsPath(filename)
    if not filename:
        raise PictureError("an empty filename", "a path below the images folder", "name the picture")
    if "\0" in filename:
        raise PictureError("a filename with a NUL byte", "a plain path", "remove the byte")
    if filename.startswith("/") or windows.drive or windows.root:
        raise PictureError("an absolute path", "a path below the images folder", "write it relative to `data.images`")
    if ".." in windows.parts:  # Windows parts: both / and \ separate
        raise PictureError("a path with ..", "a path below the images folder", "write it relative to `data.images`")


def _check_mode(mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    kinds = ((stat.S_ISLNK, "a symbolic link"), (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"))
    kind = next((name for matches, name in kinds if matches(mode)), "a device or socket")
    raise PictureError(kind, "a regular file", "copy the picture itself to this place")
