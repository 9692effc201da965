"""What is known about picture files, so that an unchanged file is not opened again.

Two tables in one JSON file: path -> (size, modification time, content), and content -> facts of the decoded picture.
The second survives renaming and copying. It is only a cache: a torn, foreign or outdated file counts as empty.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from fdsearch.files import write_atomic
from fdsearch.imaging import DECODER_VERSION

_SETTLED_NS = 2_000_000_000
"""A file changed less than 2 s before it was hashed may change again within the same tick of a coarse file system
clock, at the same size, and is not remembered (git's "racily clean" entries)."""


@dataclass(frozen=True)
class PictureFacts:
    """What decoding a file's bytes has shown.

    Parameters
    ----------
    height, width : int
        Pixels, upright.
    pixels : str
        Digest of the gray pixels: files that differ in compression or metadata only share it.
    format : str
        As in `imaging.Decoded`.
    notes : tuple of str
        Conversions, as in `imaging.Decoded`.
    """

    height: int
    width: int
    pixels: str
    format: str
    notes: tuple[str, ...]


class FileIndex:
    """The two tables, read at once and saved as a whole.

    Parameters
    ----------
    path : Path
        The JSON file; need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: dict[str, tuple[int, int, str]] = {}
        self._facts: dict[str, PictureFacts] = {}
        self._changed = False
        try:
            self._read()
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            self._files, self._facts = {}, {}

    def content(self, path: Path, status: os.stat_result) -> str | None:
        """SHA-256 of a file whose size and modification time are the remembered ones, else None."""
        size, modified, content = self._files.get(str(path), (-1, -1, ""))
        return content if (size, modified) == (status.st_size, status.st_mtime_ns) else None

    def facts(self, content: str) -> PictureFacts | None:
        """Facts of a readable picture with this content, if it was decoded before."""
        return self._facts.get(content)

    def remember(self, path: Path, status: os.stat_result, content: str, facts: PictureFacts | None = None) -> None:
        """Keep what was found out; the file's own entry only once its modification time has settled."""
        if status.st_mtime_ns < time.time_ns() - _SETTLED_NS and self.content(path, status) != content:
            self._files[str(path)] = (status.st_size, status.st_mtime_ns, content)
            self._changed = True
        if facts is not None and self._facts.get(content) != facts:
            self._facts[content] = facts
            self._changed = True

    def save(self) -> None:
        """Write the index if anything was learnt."""
        if not self._changed:
            return
        facts = {
            key: [item.height, item.width, item.pixels, item.format, item.notes] for key, item in self._facts.items()
        }
        value = {"decoder": DECODER_VERSION, "files": self._files, "facts": facts}
        # Not durable: after a power failure the index may be torn, and is then rebuilt.
        write_atomic(
            self._path, json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape"), durable=False
        )
        self._changed = False

    def _read(self) -> None:
        value = json.loads(self._path.read_bytes().decode("utf-8", "surrogateescape"))
        for name, (size, modified, content) in value["files"].items():
            self._files[name] = (int(size), int(modified), str(content))
        if value["decoder"] != DECODER_VERSION:
            return
        for content, (height, width, pixels, picture_format, notes) in value["facts"].items():
            self._facts[content] = PictureFacts(int(height), int(width), str(pixels), str(picture_format), tuple(notes))
