"""The append-only log of one model: what happened to its versions, by whom, when and why.

``events.jsonl`` and ``events.head`` are a `chain`, in which no byte can change and no line vanish unnoticed; `state`
computes the aliases from the events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fdsearch.errors import ConfigError, Fault, IntegrityError
from fdsearch.files import digest_json
from fdsearch.registry.chain import Chain, Entry

EVENTS = "events.jsonl"
HEAD = "events.head"
MAX_TEXT = 2000


@dataclass(frozen=True)
class Event:
    """One thing that happened to a version.

    Parameters
    ----------
    seq : int
        1, 2, 3, ...
    kind : {"registered", "evaluated", "challenger", "promoted", "rolled back", "collected"}
    version : int
        The version it happened to; of a roll back, the version that is champion again.
    by, when, why : str
        Who did it; UTC, ISO 8601; the reason in words.
    details : mapping
        ``manifest`` (SHA-256 of manifest.json) of registered; ``gates`` of evaluated; ``generation`` of promoted, with
        ``gates`` where they were judged and ``forced`` (names of those that do not hold) where they were overridden;
        ``generation`` and ``instead_of`` (version) of rolled back.
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


class EventLog:
    """The events of the model in one folder; reading takes no lock, appending expects its caller to hold one.

    Parameters
    ----------
    folder : Path
        ``ROOT/registry/NAME``.

    Attributes
    ----------
    chain : Chain
        The lines behind the events.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.genesis = digest_json({"model": folder.name})
        self.chain = Chain(folder / EVENTS, folder / HEAD, self.genesis, folder.name)

    def read(self) -> tuple[Event, ...]:
        """Return all events, oldest first; none where there is no log.

        Raises
        ------
        IntegrityError
            If the chain is broken, the last line is torn, the head does not fit, or a line is no event.
        """
        return tuple(self._event(number, entry) for number, entry in enumerate(self.chain.read(), start=1))

    def append(self, kind: str, version: int, *, by: str, why: str, details: Mapping[str, Any] | None = None) -> Event:
        """Add one event, durably; errors also as in `read`.

        Raises
        ------
        ConfigError
            If `by` or `why` is empty, too long or not text.
        """
        check_texts(by=by, why=why)
        when = datetime.now(UTC).isoformat(timespec="seconds")
        body = {"kind": kind, "version": version, "by": by, "when": when, "why": why, "details": dict(details or {})}
        return Event(**self.chain.append(body))

    def _event(self, number: int, entry: Entry) -> Event:
        try:
            event = Event(**entry)
            if event.body() == entry:
                return event
        except (TypeError, ValueError):
            pass
        fault = self.chain.fault(number, entry)
        raise IntegrityError(f"the log of {self.folder.name} holds a line that is no event", [fault])


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
