"""Promotions and roll backs: gates, what overrides them, races, and what the log keeps of it."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from fdsearch.errors import ConfigError, ConflictError, IntegrityError
from fdsearch.registry.model import Model
from fdsearch.registry.store import Registry

HOLDS = {"name": "min_macro_f1", "figure": 0.7, "threshold": 0.4, "holds": True, "why": "reaches 0.4"}
FAILS = {"name": "max_escape_rate", "figure": 0.2, "threshold": 0.1, "holds": False, "why": "above 0.1"}


def champion(registry: Registry) -> tuple[int | None, int]:
    state = registry.state("tiles")
    return state.champion, state.generation


def promote(registry: Registry, version: int, **options: Any) -> dict[str, Any]:
    return registry.promote("tiles", version, by="kim", reason="better on lot 7", **options)


def test_the_log_keeps_the_gates_of_a_promotion(filled: Registry) -> None:
    promote(filled, 2, gates=[HOLDS])
    assert filled.events("tiles")[-1].details == {"generation": 2, "gates": [HOLDS]}


def test_a_gate_that_does_not_hold_keeps_the_champion(filled: Registry) -> None:
    before = filled.events("tiles")
    with pytest.raises(ConfigError, match="max_escape_rate") as caught:
        promote(filled, 2, gates=[HOLDS, FAILS])
    assert caught.value.exit_code == 2
    assert len(caught.value.faults) == 1 and "--force" in caught.value.faults[0].fix
    assert filled.events("tiles") == before


def test_an_override_is_recorded(filled: Registry) -> None:
    promote(filled, 2, gates=[HOLDS, FAILS], force=True)
    assert filled.events("tiles")[-1].details["forced"] == ["max_escape_rate"]
    promote(filled, 1, gates=[HOLDS], force=True)
    assert "forced" not in filled.events("tiles")[-1].details, "nothing had to be overridden"


def test_force_overrides_no_damage_and_no_race(filled: Registry) -> None:
    with pytest.raises(ConflictError):
        promote(filled, 2, force=True, expected_generation=7)
    (Model(filled.root / "tiles").place(2) / "card.md").write_text("better")
    with pytest.raises(IntegrityError):
        promote(filled, 2, force=True)
    assert champion(filled) == (1, 1)


def test_a_roll_back_makes_the_champion_before_champion_again(filled: Registry) -> None:
    promote(filled, 2)
    moved = filled.rollback("tiles", by="lee", reason="glare on line 3")
    assert moved == {"name": "tiles", "version": 1, "previous": 2, "generation": 3}
    last = filled.events("tiles")[-1]
    assert (last.kind, last.version, last.by, last.why) == ("rolled back", 1, "lee", "glare on line 3")
    assert last.details == {"generation": 3, "instead_of": 2}
    assert filled.resolve("tiles").version == 1
    filled.verify()


def test_each_roll_back_goes_one_champion_further(filled: Registry) -> None:
    for version in (2, 1, 2):
        promote(filled, version)
    went = [filled.rollback("tiles", by="lee", reason="back")["version"] for _ in range(3)]
    assert went == [1, 2, 1]
    with pytest.raises(ConfigError, match="no earlier champion") as caught:
        filled.rollback("tiles", by="lee", reason="back")
    assert caught.value.exit_code == 2
    assert champion(filled) == (1, 7)


def test_a_roll_back_knows_races_people_and_damage(filled: Registry) -> None:
    promote(filled, 2)
    with pytest.raises(ConflictError):
        filled.rollback("tiles", by="lee", reason="back", expected_generation=1)
    with pytest.raises(ConfigError, match="person and a reason"):
        filled.rollback("tiles", by="lee", reason=" ")
    with pytest.raises(ConfigError, match="did you mean tiles"):
        filled.rollback("tile", by="lee", reason="back")
    (Model(filled.root / "tiles").place(1) / "model.keras").write_bytes(b"other")
    with pytest.raises(IntegrityError):
        filled.rollback("tiles", by="lee", reason="back")
    assert champion(filled) == (2, 2)


def test_a_challenger_that_was_rolled_back_to_is_champion_alone(filled: Registry) -> None:
    promote(filled, 2)
    filled.set_challenger("tiles", 1, by="fdsearch", reason="better again")
    filled.rollback("tiles", by="lee", reason="back")
    assert filled.resolve("tiles").aliases == ("champion",)


def test_a_collected_version_is_no_longer_known_and_its_number_not_given_again(
    filled: Registry, make_draft: Any
) -> None:
    model = Model(filled.root / "tiles")
    with model.change():
        model.log.append("collected", 2, by="kim", why="nobody needs it")
    # A kill before the folder was removed: invisible, told, and swept by the next writer.
    assert filled.verify()["unfinished"] == [str(model.place(2))]
    assert filled.models()[0]["versions"] == [1]
    with pytest.raises(ConfigError, match="removed by `fdsearch registry gc`"):
        filled.resolve("tiles:2")
    with pytest.raises(ConfigError):
        promote(filled, 2)
    assert filled.register("tiles", make_draft(b"third"), "test").version == 3
    assert not model.place(2).exists()
    assert filled.verify()["unfinished"] == []
    shutil.rmtree(model.place(3))
    with pytest.raises(IntegrityError):
        filled.verify()
