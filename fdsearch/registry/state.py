"""What the events of a model amount to: its versions, their gates, and who is champion and challenger.

Aliases are nowhere stored, they are computed here from `events`; `model` asks.
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
        SHA-256 of each version's ``manifest.json``, of those that are there.
    collected : frozenset of int
        Versions whose folders were removed; their numbers are never given again.
    gates : dict of int to list of dict
        Result of each version's last evaluation, as `gates.evaluate` returns it.
    champion, challenger : int or None
        Version numbers.
    former : tuple of int
        The champions to go back to, the latest last; a roll back takes it from here.
    generation : int
        How often the champion was set; only ever grows.
    """

    manifests: dict[int, str] = field(default_factory=dict)
    collected: frozenset[int] = frozenset()
    gates: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    champion: int | None = None
    challenger: int | None = None
    former: tuple[int, ...] = ()
    generation: int = 0

    @classmethod
    def after(cls, events: Iterable[Event]) -> ModelState:
        """Fold events into a state.

        Raises
        ------
        IntegrityError
            If an event is of a kind this version does not know, speaks of a version that is not there, or cannot have
            happened: a champion that was removed, a roll back to what was not champion before.
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
        number = event.version
        if event.kind == "registered":
            if number in self.manifests or number in self.collected:
                raise _unreadable(event, "a number that was never given")
            return replace(self, manifests={**self.manifests, number: event.details["manifest"]})
        if number not in self.manifests:
            raise _unreadable(event, "a version that is there")
        if event.kind == "evaluated":
            return replace(self, gates={**self.gates, number: event.details["gates"]})
        if event.kind == "challenger":
            return replace(self, challenger=number)
        if event.kind == "promoted":
            return self._promoted(number)
        if event.kind == "rolled back":
            return self._rolled_back(event)
        if event.kind == "collected":
            return self._collected(event)
        raise _unreadable(event, "registered, evaluated, challenger, promoted, rolled back or collected")

    def _promoted(self, number: int) -> ModelState:
        replaced = () if self.champion in (None, number) else (self.champion,)
        return self._with_champion(number, (*self.former, *replaced))

    def _rolled_back(self, event: Event) -> ModelState:
        if self.former[-1:] != (event.version,):
            raise _unreadable(event, "the champion before")
        return self._with_champion(event.version, self.former[:-1])

    def _with_champion(self, number: int, former: tuple[int, ...]) -> ModelState:
        challenger = None if self.challenger == number else self.challenger
        return replace(self, champion=number, challenger=challenger, former=former, generation=self.generation + 1)

    def _collected(self, event: Event) -> ModelState:
        number = event.version
        if number in (self.champion, self.challenger):
            raise _unreadable(event, "a version without an alias")
        # Without the version between them, two turns of one champion are one.
        turns: list[int] = []
        for each in self.former:
            if each != number and turns[-1:] != [each]:
                turns.append(each)
        if turns[-1:] == [self.champion]:
            turns.pop()
        return replace(
            self,
            manifests={each: digest for each, digest in self.manifests.items() if each != number},
            collected=self.collected | {number},
            former=tuple(turns),
        )


def _unreadable(event: Event, expected: str) -> IntegrityError:
    fault = Fault(f"event {event.seq}", f"{event.kind} of version {event.version}", expected, "use a newer fdsearch")
    return IntegrityError("the model's log holds an event this fdsearch cannot read", [fault])
