"""``registry gc``: what anybody still needs stays, what goes is gone for good, and nothing goes beside damage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fdsearch.errors import ConfigError, ConflictError, IntegrityError
from fdsearch.registry.collection import collect
from fdsearch.registry.draft import Draft
from fdsearch.registry.model import Model
from fdsearch.registry.store import Registry

DraftMaker = Callable[..., Draft]


@pytest.fixture
def six(registry: Registry, make_draft: DraftMaker) -> Registry:
    """Versions 1 to 6: 3 is champion, 1 was before it, 4 is challenger; 2, 5 and 6 were never more than candidates."""
    for number in range(1, 7):
        registry.register("tiles", make_draft(b"weights %d" % number), "test")
    for number in (1, 3):
        registry.promote("tiles", number, by="kim", reason="better")
    registry.set_challenger("tiles", 4, by="kim", reason="promising")
    return registry


def tiles(registry: Registry) -> Model:
    return Model(registry.root / "tiles")


def test_aliases_and_what_a_roll_back_needs_stay(six: Registry) -> None:
    document = collect(tiles(six), by="kim", reason="disk")
    assert [row["version"] for row in document["collected"]] == [2, 5, 6]
    assert {row["version"]: row["why"].split()[-1] for row in document["kept"]} == {
        1: "to",
        3: "champion",
        4: "challenger",
    }
    assert six.models()[0]["versions"] == [1, 3, 4]
    assert sorted(path.name for path in tiles(six).versions.iterdir()) == ["0001", "0003", "0004"]
    assert six.verify()["versions"] == 3
    six.rollback("tiles", by="kim", reason="worse on line 2")
    assert six.resolve("tiles").version == 1


def test_what_is_no_version_is_not_taken_for_one(six: Registry) -> None:
    versions = tiles(six).versions
    for name in ("7", "٠٠٠٨", "00009"):
        (versions / name).mkdir()
        (versions / name / "notes.txt").touch()
    (versions / "0010").touch()
    document = collect(tiles(six), by="kim", reason="disk")
    assert document["unregistered"] == [] and len(document["collected"]) == 3
    assert {"7", "٠٠٠٨", "00009", "0010"} < {path.name for path in versions.iterdir()}


def test_the_log_keeps_who_removed_what_and_why(six: Registry) -> None:
    digest = six.state("tiles").manifests[2]
    collect(tiles(six), [2], by="kim", reason="disk")
    event = six.events("tiles")[-1]
    assert (event.kind, event.version, event.by, event.why) == ("collected", 2, "kim", "disk")
    assert event.details["manifest"] == digest


def test_a_number_is_never_given_again(six: Registry, make_draft: DraftMaker) -> None:
    collect(tiles(six), [6], by="kim", reason="disk")
    assert six.register("tiles", make_draft(b"later"), "test").version == 7
    with pytest.raises(ConfigError, match="removed by `fdsearch registry gc`"):
        six.resolve("tiles:6")


def test_versions_that_others_were_refitted_from_stay(six: Registry, make_draft: DraftMaker) -> None:
    def refitted(draft: Draft, parent: int, digest: str | None = None) -> Draft:
        origin = {"name": "tiles", "version": parent, "manifest": digest or six.state("tiles").manifests[parent]}
        return replace(draft, lineage={**draft.lineage, "refitted_from": origin})

    six.register("tiles", refitted(make_draft(b"7"), 5), "test")
    six.register("tiles", refitted(make_draft(b"8"), 7), "test")
    six.register("tiles", refitted(make_draft(b"9"), 2), "test")  # nothing needs 9, so nothing needs 2
    six.register("tiles", refitted(make_draft(b"10"), 6, "0" * 64), "test")  # another 6, of another registry
    six.promote("tiles", 8, by="kim", reason="fresh")
    six.promote("tiles", 10, by="kim", reason="fresher")
    document = collect(tiles(six), by="kim", reason="disk")
    assert [row["version"] for row in document["collected"]] == [2, 6, 9]
    assert {row["version"]: row["why"] for row in document["kept"]}[5] == "version 7 was refitted from it"


def test_a_dry_run_changes_nothing(six: Registry) -> None:
    before = {path: path.read_bytes() for path in six.root.rglob("*") if path.is_file()}
    document = collect(tiles(six), by="", reason="", dry_run=True)
    assert [row["version"] for row in document["collected"]] == [2, 5, 6]
    assert all(row["bytes"] > 0 for row in document["collected"])
    assert {path: path.read_bytes() for path in six.root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("number", [1, 3, 4])
def test_what_is_needed_is_refused_and_nothing_goes(six: Registry, number: int) -> None:
    with pytest.raises(ConflictError) as caught:
        collect(tiles(six), [2, number], by="kim", reason="disk")
    assert caught.value.exit_code == 6
    assert six.models()[0]["versions"] == [1, 2, 3, 4, 5, 6]


def test_an_unknown_version_and_no_person_exit_2(six: Registry) -> None:
    with pytest.raises(ConfigError, match="no version"):
        collect(tiles(six), [9], by="kim", reason="disk")
    with pytest.raises(ConfigError, match="person and a reason"):
        collect(tiles(six), by="", reason="disk")


def test_nothing_goes_while_what_stays_is_damaged(six: Registry) -> None:
    (six.resolve("tiles").path / "model.keras").write_bytes(b"other")
    with pytest.raises(IntegrityError, match="nothing is removed"):
        collect(tiles(six), by="kim", reason="disk")
    assert six.models()[0]["versions"] == [1, 2, 3, 4, 5, 6]


def test_a_damaged_version_that_nothing_needs_can_go(six: Registry) -> None:
    (six.resolve("tiles:2").path / "manifest.json").write_bytes(b"{")
    with pytest.raises(IntegrityError):
        six.verify()
    collect(tiles(six), [2], by="kim", reason="damaged")
    assert six.verify()["versions"] == 5


def test_a_whole_folder_that_no_event_knows_goes_only_by_its_number(six: Registry) -> None:
    """It may be all that is left after somebody put an old log back."""
    model = tiles(six)
    shutil.copytree(model.place(2), model.place(7))
    document = collect(model, by="kim", reason="disk")
    assert document["unregistered"] == [{"version": 7, "removed": False}] and model.place(7).exists()
    document = collect(model, [7], by="kim", reason="killed")
    assert document["unregistered"] == [{"version": 7, "removed": True}] and not model.place(7).exists()
    assert document["collected"] == [] and six.verify()["unfinished"] == []


def test_a_folder_that_a_killed_collector_left_is_swept(six: Registry, make_draft: DraftMaker) -> None:
    model = tiles(six)
    kept = {path.name: path.read_bytes() for path in model.place(2).iterdir()}
    collect(model, [2], by="kim", reason="disk")
    model.place(2).mkdir()
    for name, content in kept.items():
        (model.place(2) / name).write_bytes(content)
    assert [Path(path).name for path in six.verify()["unfinished"]] == ["0002"]
    assert six.models()[0]["versions"] == [1, 3, 4, 5, 6]
    six.register("tiles", make_draft(b"later"), "test")
    assert not model.place(2).exists() and six.verify()["unfinished"] == []
