"""Events to aliases."""

from __future__ import annotations

import pytest

from fdsearch.errors import IntegrityError
from fdsearch.registry.events import Event
from fdsearch.registry.state import ModelState


def event(kind: str, version: int, **details: object) -> Event:
    return Event(1, kind, version, "test", "2026-01-01T00:00:00+00:00", "why", "", details)


REGISTERED = [event("registered", number, manifest=f"{number}") for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("moves", "champion", "challenger", "generation"),
    [
        ([], None, None, 0),
        ([("promoted", 1)], 1, None, 1),
        ([("promoted", 1), ("challenger", 2)], 1, 2, 1),
        ([("promoted", 1), ("challenger", 2), ("promoted", 2)], 2, None, 2),
        ([("promoted", 1), ("challenger", 2), ("promoted", 3)], 3, 2, 2),
        ([("promoted", 1), ("promoted", 1)], 1, None, 2),
        ([("challenger", 2), ("challenger", 3)], None, 3, 0),
        ([("promoted", 1), ("promoted", 2), ("rolled back", 1)], 1, None, 3),
        ([("promoted", 1), ("promoted", 2), ("challenger", 1), ("rolled back", 1)], 1, None, 3),
        ([("promoted", 1), ("collected", 2)], 1, None, 1),
    ],
)
def test_aliases(moves: list[tuple[str, int]], champion: int | None, challenger: int | None, generation: int) -> None:
    state = ModelState.after([*REGISTERED, *(event(kind, version) for kind, version in moves)])
    assert (state.champion, state.challenger, state.generation) == (champion, challenger, generation)


@pytest.mark.parametrize(
    ("moves", "former"),
    [
        ([("promoted", 1)], ()),
        ([("promoted", 1), ("promoted", 1)], ()),
        ([("promoted", 1), ("promoted", 2), ("promoted", 3)], (1, 2)),
        ([("promoted", 1), ("promoted", 2), ("promoted", 3), ("rolled back", 2)], (1,)),
        ([("promoted", 1), ("promoted", 2), ("rolled back", 1), ("promoted", 3)], (1,)),
        ([("promoted", 1), ("promoted", 2), ("promoted", 3), ("collected", 2)], (1,)),
        ([("promoted", 1), ("promoted", 2), ("promoted", 1), ("collected", 2)], ()),
        ([("promoted", 3), ("promoted", 2), ("promoted", 3), ("promoted", 1), ("collected", 2)], (3,)),
    ],
)
def test_a_roll_back_goes_to_the_champion_before(moves: list[tuple[str, int]], former: tuple[int, ...]) -> None:
    state = ModelState.after([*REGISTERED, *(event(kind, version) for kind, version in moves)])
    assert state.former == former


def test_a_collected_version_is_gone_and_its_number_taken() -> None:
    state = ModelState.after([*REGISTERED, event("collected", 2)])
    assert (set(state.manifests), state.collected) == ({1, 3}, {2})
    for kind in ("promoted", "challenger", "evaluated", "registered", "collected"):
        with pytest.raises(IntegrityError, match="cannot read"):
            ModelState.after([*REGISTERED, event("collected", 2), event(kind, 2, manifest="2", gates=[])])


@pytest.mark.parametrize(
    "broken",
    [
        *(event("renamed", 1), event("promoted", 9), event("evaluated", 1), event("registered", 4)),
        *(event("registered", 1, manifest="1"), event("rolled back", 1), event("rolled back", 3)),
        *(event("collected", 2), event("collected", 3)),
    ],
)
def test_events_it_cannot_read_are_refused(broken: Event) -> None:
    with pytest.raises(IntegrityError, match="cannot read"):
        ModelState.after([*REGISTERED, event("promoted", 2), event("challenger", 3), broken])
