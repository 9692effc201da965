"""`logs --follow`: the lines of logs as they are written, until their runs have ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from fdsearch.cli.errors import printable

_EVERY_S = 0.5


class Tail:
    """A growing text file, read line by line; a file that was replaced or emptied is read from its beginning.

    Parameters
    ----------
    path : Path
        May not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = -1
        self._position = 0

    def lines(self) -> list[str]:
        """The whole lines since the last call; the rest of a line is left for later."""
        try:
            stream = self._path.open("rb")
        except FileNotFoundError:
            return []
        with stream:
            size, inode = stream.seek(0, 2), self._path.stat().st_ino
            if inode != self._inode or size < self._position:
                self._inode, self._position = inode, 0
            stream.seek(self._position)
            content = stream.read()
        end = content.rfind(b"\n") + 1
        self._position += end
        return content[:end].decode("utf-8", errors="replace").splitlines()


def follow(logs: Mapping[str, Path], running: Callable[[], bool], out: TextIO) -> None:
    """Write the lines of each log as they come until `running` is false or a person ends it with Ctrl-C.

    Parameters
    ----------
    logs : mapping of str to Path
        Log by study; where there are several, a line begins with its study.
    running : callable
        Whether any of the runs goes on.
    out : text stream
    """
    tails = {f"{name}: " if len(logs) > 1 else "": Tail(path) for name, path in logs.items()}
    with suppress(KeyboardInterrupt):  # the way out of a view, no failure
        while True:
            going_on = running()  # asked first: what a run writes at its very end is still read
            for name, tail in tails.items():
                out.writelines(printable(name + line) + "\n" for line in tail.lines())
            out.flush()
            if not going_on:
                return
            time.sleep(_EVERY_S)
