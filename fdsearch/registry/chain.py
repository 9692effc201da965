"""An append-only file of chained lines: no byte of it can change, and no line vanish, without being noticed.

Each line is the canonical JSON of one entry with its number, the hash of the entry before and its own; a second file,
the head, repeats the last number and hash, so that no line can be cut from the end. `events` keeps what happens to a
model in such a file, `holdouts` who was scored on which sealed pictures. Own code, because the file should stay
readable for a person and checkable with SHA-256 alone, and the libraries for such chains bring servers and keys.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fdsearch.errors import ConflictError, Fault, IntegrityError
from fdsearch.files import canonical_json, digest_json, write_atomic

Entry = dict[str, Any]
"""One entry: JSON values with ``seq`` (1, 2, 3, ...) and ``previous`` (hash of the entry before) among them."""

_READ_ATTEMPTS = 1000


@dataclass(frozen=True)
class Chain:
    """The entries of one such file; reading takes no lock, appending expects its caller to hold one.

    Parameters
    ----------
    lines, head : Path
        The file and its head, in one folder.
    genesis : str
        ``previous`` of the first entry: a digest of what the file is about, so that files cannot be exchanged.
    name : str
        What the file is about, for errors.

    Examples
    --------
    >>> Chain(Path("no/such/log.jsonl"), Path("no/such/log.head"), "0" * 64, "nothing").read()
    ()
    """

    lines: Path
    head: Path
    genesis: str
    name: str

    def read(self) -> tuple[Entry, ...]:
        """Return all entries, oldest first; none where there is no file.

        Raises
        ------
        IntegrityError
            If the chain is broken, the last line is torn, or the head does not fit. A head that is exactly one entry
            behind is what a writer killed between its two renames leaves, and is no fault.
        ConflictError
            If the file is written faster than it can be read.
        """
        head, content = self._snapshot()
        entries, faults = self._parse(content)
        faults = faults or self._head_faults(head, entries)
        if faults:
            raise IntegrityError(f"the log of {self.name} is not as it was written", faults)
        return tuple(entries)

    def begin(self) -> None:
        """Write the head of a file that is going to have its first entry, so that losing both would show.

        Called under the lock, before anything is made that the first entry is about; errors as in `read`.
        """
        if not self.read() and not self.begun():
            write_atomic(self.head, self._first_head())

    def begun(self) -> bool:
        """Whether the file or its head is there."""
        return os.path.lexists(self.lines) or os.path.lexists(self.head)

    def append(self, body: Mapping[str, Any]) -> Entry:
        """Add one entry, durably; `body` is what it says beside ``seq`` and ``previous``.

        The whole file is replaced by a longer one: unlike an append in place this cannot leave a torn line, whatever
        kills the writer or the machine.

        Raises
        ------
        IntegrityError
            As in `read`: nothing is added to a broken chain.
        """
        entries = self.read()
        if entries:
            # A head one behind must catch up first: two behind could not be told from a cut file.
            self._write_head(entries[-1])
        for path in (self.lines, self.head):
            for debris in path.parent.glob(f".{path.name}.*.tmp"):
                debris.unlink()
        previous = digest_json(entries[-1]) if entries else self.genesis
        entry = {**body, "seq": len(entries) + 1, "previous": previous}
        write_atomic(self.lines, b"".join(_line(each) for each in (*entries, entry)))
        self._write_head(entry)
        return entry

    def hashes(self) -> list[str]:
        """The hash of each entry, oldest first; errors as in `read`."""
        return [digest_json(entry) for entry in self.read()]

    def lags(self) -> bool:
        """Whether the head is one entry behind, which the next writer mends; errors as in `read`."""
        entries = self.read()
        return bool(entries) and _read_or_none(self.head) != _head_of(entries[-1])

    def fault(self, number: int, entry: Mapping[str, Any]) -> Fault:
        """What to say about a whole entry that is not what this file holds."""
        return self._line_fault(number, canonical_json(dict(entry)), "a newer fdsearch may have written it")

    def _write_head(self, entry: Entry) -> None:
        content = _head_of(entry)
        if _read_or_none(self.head) != content:
            write_atomic(self.head, content)

    def _first_head(self) -> bytes:
        return canonical_json({"hash": self.genesis, "seq": 0}) + b"\n"

    def _snapshot(self) -> tuple[bytes | None, bytes | None]:
        """Return head and lines of one moment: between two equal readings of the head at most one entry was added."""
        try:
            for _ in range(_READ_ATTEMPTS):
                before = _read_or_none(self.head)
                content = _read_or_none(self.lines)
                if _read_or_none(self.head) == before:
                    return before, content
        except _Irregular as error:
            fault = Fault(str(error), "something that is not a regular file", "a file fdsearch wrote", self._restore)
            raise IntegrityError(f"the log of {self.name} is not as it was written", [fault]) from error
        raise ConflictError(f"the log of {self.name} is being written without a pause; try again")

    def _parse(self, content: bytes | None) -> tuple[list[Entry], list[Fault]]:
        """Check the chain; after the first broken line nothing can be said about the rest."""
        entries: list[Entry] = []
        if not content:  # a file is written with its first line, or is not there
            return entries, [] if content is None else [self._line_fault(1, content, "the file is empty")]
        previous = self.genesis
        for number, line in enumerate(content.splitlines(keepends=True), start=1):
            entry = _parse_line(line)
            if entry is None or entry.get("seq") != number or entry.get("previous") != previous:
                return entries, [self._line_fault(number, line, f"it follows hash {previous[:12]}")]
            entries.append(entry)
            previous = digest_json(entry)
        return entries, []

    def _line_fault(self, number: int, line: bytes, hint: str) -> Fault:
        expected = f"entry {number} as fdsearch wrote it ({hint})"
        return Fault(f"{self.lines}, line {number}", _excerpt(line), expected, self._restore)

    def _head_faults(self, head: bytes | None, entries: Sequence[Entry]) -> list[Fault]:
        last = [_head_of(entry) for entry in entries[-2:]]
        # Older writers began without a head.
        if head in last or (len(entries) < 2 and head in (None, self._first_head())):
            return []
        name = self.lines.name
        expected = f"entry {len(entries)}, the last of {name}" if entries else f"no head without {name}"
        return [
            Fault(
                str(self.head),
                _excerpt(head or b""),
                expected,
                f"the log was cut, or the head changed: {self._restore}",
            )
        ]

    @property
    def _restore(self) -> str:
        return f"restore {self.lines.parent} from a backup"


def _line(entry: Entry) -> bytes:
    return canonical_json({**entry, "hash": digest_json(entry)}) + b"\n"


def _head_of(entry: Entry) -> bytes:
    return canonical_json({"hash": digest_json(entry), "seq": entry["seq"]}) + b"\n"


def _parse_line(line: bytes) -> Entry | None:
    """Return the entry of a line that is byte for byte what `_line` writes, else None."""
    try:
        entry: Entry = json.loads(line)
        del entry["hash"]
        return entry if _line(entry) == line else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


class _Irregular(Exception):
    """A link, a folder, or a FIFO, which might never be read to its end."""


def _read_or_none(path: Path) -> bytes | None:
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise _Irregular(path)
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _excerpt(content: bytes) -> str:
    return repr(content[:60].decode(errors="replace")) if content else "nothing"
