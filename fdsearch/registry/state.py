"""What the events of a model amount to: its versions, their gates, and who is champion and challenger.

Aliases are nowhere stored, they are computed here from `events`; `store` asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from fdsearch.errors import Fault, IntegrityError
from fdsearch.registry.events import Event


@dataclass(frozen=True)
class ModelState:
    """A model after some events.

    Parameters
    ----------
    manifests : dict of int to str
        SHA-256 of each registered version's ``manifest.json``.
    gates : dict of int to list of dict
        Result of each version's last evaluation, as `gates.evaluate` returns it.
    champion, challenger : int or None
        Version numbers.
    generation : int
        How often the champion was set; only ever grows.
    """

    manifests: dict[int, str] = field(default_factory=dict)
    gates: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    champion: int | None = None
    challenger: int | None = None
    generation: int = 0

    @classmethod
    def after(cls, events: Iterable[Event]) -> ModelState:
        """Fold events into a state.

        Raises
        ------
        IntegrityError
            If an event is of a kind this version does not know, or speaks of a version that was never registered.
        """
        state = cls()
        for event in events:
            try:
                state = state._apply(event)
            except (KeyError, TypeError) as error:
                raise _unreadable(event, "the details of its kind") from error
        return state

    def aliases(self, version: int) -> tuple[str, ...]:
        """The aliases that point at a version."""
        return tuple(alias for alias in ("champion", "challenger") if getattr(self, alias) == version)

    def _apply(self, event: Event) -> ModelState:
        if event.kind == "registered":
            return replace(self, manifests={**self.manifests, event.version: event.details["manifest"]})
        if event.version not in self.manifests:
            raise _unreadable(event, "a version that was registered before")
        if event.kind == "evaluated":
            return replace(self, gates={**self.gates, event.version: event.details["gates"]})
        if event.kind == "challenger":
            return replace(self, challenger=event.version)
        if event.kind == "promoted":
            challenger = None if self.challenger == event.version else self.challenger
            return replace(self, champion=event.version, challenger=challenger, generation=self.generation + 1)
        raise _unreadable(event, "registered, evaluated, challenger or promoted")


def _unreadable(event: Event, expected: str) -> IntegrityError:
    fault = Fault(f"event {event.seq}", f"{event.kind} of version {event.version}", expected, "use a newer fdsearch")
    return IntegrityError("the model's log holds an event this fdsearch cannot read", [fault])
