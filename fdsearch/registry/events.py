"""The append-only log of one model: what happened to its versions, by whom, when and why.

Each line of ``events.jsonl`` is the canonical JSON of one event and holds the hash of the event before, so that no byte
can change unnoticed; ``events.head`` repeats the last sequence number and hash, so that no line can vanish from the
end. `state` computes the aliases from it. Own code, because the file should stay readable for a person and checkable
with SHA-256 alone, and the libraries for such chains bring servers and keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fdsearch.errors import ConfigError, ConflictError, Fault, IntegrityError
from fdsearch.files import canonical_json, digest_json, write_atomic

EVENTS = "events.jsonl"
HEAD = "events.head"
MAX_TEXT = 2000
_READ_ATTEMPTS = 1000


@dataclass(frozen=True)
class Event:
    """One thing that happened to a version.

    Parameters
    ----------
    seq : int
        1, 2, 3, ...
    kind : {"registered", "evaluated", "challenger", "promoted"}
    version : int
        The version it happened to.
    by, when, why : str
        Who did it; UTC, ISO 8601; the reason in words.
    details : mapping
        ``manifest`` (SHA-256 of manifest.json) of registered, ``gates`` of evaluated, ``generation`` of promoted.
    previous : str
        Hash of the event before; of the first, a digest of the model's name, so that logs cannot be exchanged.
    """

    seq: int
    kind: str
    version: int
    by: str
    when: str
    why: str
    previous: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """The event as plain JSON values, without its own hash."""
        return {**vars(self), "details": dict(self.details)}

    @property
    def hash(self) -> str:
        """SHA-256 (64 hex digits) of the canonical JSON of `body`."""
        return digest_json(self.body())

    def line(self) -> bytes:
        """The event as one line of the log."""
        return canonical_json({**self.body(), "hash": self.hash}) + b"\n"


class EventLog:
    """The events of the model in one folder; reading takes no lock, appending expects its caller to hold one.

    Parameters
    ----------
    folder : Path
        ``ROOT/registry/NAME``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.genesis = digest_json({"model": folder.name})

    def read(self) -> tuple[Event, ...]:
        """Return all events, oldest first; none where there is no log.

        Raises
        ------
        IntegrityError
            If the chain is broken, the last line is torn, or the head does not fit. A head that is exactly one event
            behind is what a writer killed between its two renames leaves, and is no fault.
        """
        head, content = self._snapshot()
        events, faults = self._parse(content)
        faults = faults or self._head_faults(head, events)
        if faults:
            raise IntegrityError(f"the log of {self.folder.name} is not as it was written", faults)
        return tuple(events)

    def append(self, kind: str, version: int, *, by: str, why: str, details: Mapping[str, Any] | None = None) -> Event:
        """Add one event, durably.

        The whole log is replaced by a longer one: unlike an append in place this cannot leave a torn line, whatever
        kills the writer or the machine.

        Raises
        ------
        ConfigError
            If `by` or `why` is empty, too long or not text.
        """
        check_texts(by=by, why=why)
        events = self.read()
        if events:
            # A head one behind must catch up first: two behind could not be told from a cut log.
            self._write_head(events[-1])
        for debris in self.folder.glob(".events.*.tmp"):
            debris.unlink()
        event = Event(
            seq=len(events) + 1,
            kind=kind,
            version=version,
            by=by,
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            why=why,
            previous=events[-1].hash if events else self.genesis,
            details=details or {},
        )
        write_atomic(self.folder / EVENTS, b"".join(each.line() for each in (*events, event)))
        self._write_head(event)
        return event

    def _write_head(self, event: Event) -> None:
        content = _head_of(event)
        if _read_or_empty(self.folder / HEAD) != content:
            write_atomic(self.folder / HEAD, content)

    def _snapshot(self) -> tuple[bytes, bytes]:
        """Return head and log of one moment: between two equal readings of the head at most one event was added."""
        for _ in range(_READ_ATTEMPTS):
            before = _read_or_empty(self.folder / HEAD)
            content = _read_or_empty(self.folder / EVENTS)
            if _read_or_empty(self.folder / HEAD) == before:
                return before, content
        raise ConflictError(f"the log of {self.folder.name} is being written without a pause; try again")

    def _parse(self, content: bytes) -> tuple[list[Event], list[Fault]]:
        """Check the chain; after the first broken line nothing can be said about the rest."""
        events: list[Event] = []
        previous = self.genesis
        for number, line in enumerate(content.splitlines(keepends=True), start=1):
            event = _parse_line(line)
            if event is None or event.seq != number or event.previous != previous:
                where = f"{self.folder / EVENTS}, line {number}"
                expected = f"event {number} as fdsearch wrote it, after hash {previous[:12]}"
                return events, [Fault(where, _excerpt(line), expected, "restore the model's folder from a backup")]
            events.append(event)
            previous = event.hash
        return events, []

    def _head_faults(self, head: bytes, events: Sequence[Event]) -> list[Fault]:
        admissible = [_head_of(event) for event in events[-2:]] if len(events) > 1 else [b"", *map(_head_of, events)]
        if head in admissible:
            return []
        expected = f"event {len(events)}, the last of {EVENTS}" if events else f"no head without {EVENTS}"
        fix = "the log was cut, or the head changed: restore the model's folder from a backup"
        return [Fault(str(self.folder / HEAD), _excerpt(head), expected, fix)]


def check_texts(**texts: str) -> None:
    """Refuse an empty, overlong or undecodable text of an event.

    Raises
    ------
    ConfigError
        Naming every such text.

    Examples
    --------
    >>> check_texts(by="M. Kim", why="holds on line 3")
    """
    faults = []
    for name, text in texts.items():
        if not text.strip() or len(text) > MAX_TEXT or any("\ud800" <= letter <= "\udfff" for letter in text):
            expected = f"1 to {MAX_TEXT} characters of text"
            faults.append(Fault(name, repr(text[:60]), expected, "say who decides, and why: the log keeps it"))
    if faults:
        raise ConfigError("an entry of the registry's log needs a person and a reason", faults)


def _head_of(event: Event) -> bytes:
    return canonical_json({"hash": event.hash, "seq": event.seq}) + b"\n"


def _parse_line(line: bytes) -> Event | None:
    """Return the event of a line that is byte for byte what `Event.line` writes, else None."""
    try:
        raw = json.loads(line)
        del raw["hash"]
        event = Event(**raw)
        return event if event.line() == line else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _read_or_empty(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _excerpt(content: bytes) -> str:
    return repr(content[:60].decode(errors="replace")) if content else "nothing"
