"""The registry as its callers use it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fdsearch.errors import ConfigError, ConflictError, IntegrityError, ResourceError, StorageError
from fdsearch.registry.draft import REQUIRED, Draft
from fdsearch.registry.store import Registry


def test_register_numbers_versions_and_keeps_lineage(registry: Registry, make_draft: Callable[..., Draft]) -> None:
    first = registry.register("tiles", make_draft(b"first"), "test")
    second = registry.register("tiles", make_draft(b"second"), "test")

    assert (first.reference, second.reference) == ("tiles:0001", "tiles:0002")
    assert first.read("model.keras") == b"first"
    assert set(first.manifest.files) == set(REQUIRED)
    assert first.manifest.lineage["digests"] == {"data": "ab", "space": "cd"}
    assert first.manifest.packages["numpy"] == np.__version__
    assert registry.models() == [
        {"name": "tiles", "versions": [1, 2], "champion": None, "challenger": None, "generation": 0}
    ]


def test_aliases_follow_events(filled: Registry) -> None:
    filled.set_challenger("tiles", 2, by="fdsearch", reason="better by 0.02")
    assert filled.resolve("tiles").version == 1
    assert filled.resolve("tiles@champion").aliases == ("champion",)
    assert filled.resolve("tiles@challenger").version == 2

    moved = filled.promote("tiles", 2, by="kim", reason="fewer escapes")
    assert moved == {"name": "tiles", "version": 2, "previous": 1, "generation": 2}
    assert filled.resolve("tiles").version == 2
    assert filled.resolve("tiles:1").aliases == ()
    # A challenger that won is no challenger any more.
    assert filled.models()[0]["challenger"] is None


def test_events_tell_who_when_and_why(filled: Registry) -> None:
    last = filled.events("tiles")[-1]
    assert (last.kind, last.version, last.by, last.why) == ("promoted", 1, "kim", "first whose gates hold")
    assert last.when.endswith("+00:00")
    assert last.details == {"generation": 1}


def test_evaluation_stands_beside_the_version(filled: Registry) -> None:
    gate = {"name": "min_macro_f1", "figure": 0.7, "threshold": 0.4, "holds": True, "why": "reaches"}
    filled.record_evaluated("tiles", 1, [gate])
    assert filled.resolve("tiles").gates == (gate,)
    assert filled.events("tiles")[-1].why == "1 of 1 gates hold"


def test_show_is_complete(filled: Registry) -> None:
    shown = filled.show("tiles")
    assert Path(shown["path"]).is_absolute()
    assert shown["aliases"] == ["champion"]
    assert shown["metrics"]["headline"]["value"] == 0.8
    assert [event["kind"] for event in shown["events"]] == ["registered", "promoted"]


def test_a_copied_folder_resolves_and_shows(filled: Registry, tmp_path: Path) -> None:
    copied = tmp_path / "elsewhere"
    filled.resolve("tiles:2").path.rename(copied)
    for reference in (copied, str(copied)):
        assert filled.resolve(reference).version == 2
    assert filled.show(str(copied))["events"] == []


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("tile", "did you mean tiles?"),
        ("tiles:9", "known: 1, 2"),
        ("tiles@challenger", "tiles:1, tiles:2"),
        ("../x", "NAME:VERSION or a folder"),
        ("tiles@winner", "NAME@champion"),
        ("/etc", "manifest.json"),
        ("", "NAME"),
        ("tiles:1:2", "NAME"),
        ("tiles\n", "NAME"),
        ("x\0y", "NAME"),
        ("a" * 600, "NAME"),
        ("a" * 100_000, "NAME"),
    ],
)
def test_wrong_references_exit_2(filled: Registry, reference: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        filled.resolve(reference)
    assert caught.value.exit_code == 2
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["../x", "", "A", ".hidden", "a/b", "a" * 65, "a\0b", "tiles\n", "holdouts.jsonl"])
def test_wrong_names_exit_2_and_leave_nothing(registry: Registry, make_draft: Callable[..., Draft], name: str) -> None:
    with pytest.raises(ConfigError):
        registry.register(name, make_draft(), "test")
    assert not registry.root.exists()


@pytest.mark.parametrize(("by", "reason"), [("", "why"), ("kim", "  "), ("kim", "x" * 3000), ("\udcff", "why")])
def test_promotion_needs_a_person_and_a_reason(filled: Registry, by: str, reason: str) -> None:
    with pytest.raises(ConfigError, match="person and a reason"):
        filled.promote("tiles", 2, by=by, reason=reason)
    assert filled.resolve("tiles").version == 1


def test_of_two_promotions_of_one_generation_one_conflicts(filled: Registry) -> None:
    generation = filled.models()[0]["generation"]
    filled.promote("tiles", 2, by="a", reason="mine", expected_generation=generation)
    with pytest.raises(ConflictError) as caught:
        filled.promote("tiles", 1, by="b", reason="mine", expected_generation=generation)
    assert caught.value.exit_code == 6
    assert filled.resolve("tiles").version == 2


def test_a_changed_version_cannot_be_promoted(filled: Registry) -> None:
    (filled.resolve("tiles:2").path / "card.md").write_text("# Better card\n")
    with pytest.raises(IntegrityError, match="cannot become champion"):
        filled.promote("tiles", 2, by="kim", reason="nice card")
    assert filled.resolve("tiles").version == 1


def test_an_incomplete_draft_lists_all_its_faults(registry: Registry, make_draft: Callable[..., Draft]) -> None:
    draft = make_draft()
    (draft.folder / "model.keras").unlink()
    (draft.folder / "card.md").unlink()
    (draft.folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(IntegrityError) as caught:
        registry.register("tiles", draft, "test")
    assert {Path(fault.where).name for fault in caught.value.faults} == {"model.keras", "card.md", "link"}
    assert registry.models() == []


def test_predictions_that_need_pickle_are_refused(registry: Registry, make_draft: Callable[..., Draft]) -> None:
    draft = make_draft()
    np.savez(draft.folder / "oof.npz", logits=np.array([{"code": "here"}], dtype=object), allow_pickle=True)
    with pytest.raises(IntegrityError, match=r"oof\.npz"):
        registry.register("tiles", draft, "test")


def test_files_beside_the_required_ones_are_sealed_too(registry: Registry, make_draft: Callable[..., Draft]) -> None:
    draft = make_draft()
    (draft.folder / "exports").mkdir()
    (draft.folder / "exports" / "model.onnx").write_bytes(b"onnx")
    version = registry.register("tiles", draft, "test")
    assert version.read("exports/model.onnx") == b"onnx"


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_modes_do_not_depend_on_the_umask(registry: Registry, make_draft: Callable[..., Draft]) -> None:
    draft = make_draft()
    before = os.umask(0)
    try:
        version = registry.register("tiles", draft, "test")
    finally:
        os.umask(before)
    model = registry.root / "tiles"
    for path in [*model.rglob("*"), *model.glob(".*")]:
        expected = 0o750 if path.is_dir() else 0o640
        assert stat.S_IMODE(path.stat().st_mode) == expected, path
    assert version.faults() == []


@pytest.mark.parametrize(("number", "error"), [(28, ResourceError), (122, ResourceError), (30, StorageError)])
def test_a_full_or_read_only_disk_leaves_the_registry_as_it_was(
    filled: Registry,
    make_draft: Callable[..., Draft],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    error: type[Exception],
) -> None:
    draft = make_draft(b"third")

    def full(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfileobj", full)
        with pytest.raises(error):
            filled.register("tiles", draft, "test")
    assert filled.models()[0]["versions"] == [1, 2]
    assert filled.verify()["unfinished"] == []
    assert filled.register("tiles", draft, "test").version == 3
