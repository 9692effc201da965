"""A registered model through the commands: listed, promoted, asked, verified, and refused once a byte differs."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fdsearch.__main__ import main
from fdsearch.registry.draft import Draft
from fdsearch.registry.store import Registry
from fdsearch.serving.contract import Contract
from fdsearch.workspace import Workspace

SIZE = 16
Run = Callable[..., str]


@pytest.fixture(scope="module")
def model_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    import keras

    keras.utils.set_random_seed(3)
    pictures = keras.Input((SIZE, SIZE, 1), dtype="uint8", name="pictures")
    x = keras.layers.Rescaling(1 / 255.0, name="preprocessing")(pictures)
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    path = tmp_path_factory.mktemp("model") / "model.keras"
    keras.Model(pictures, keras.layers.Dense(2, name="logits")(x)).save(path)
    return path.read_bytes()


@pytest.fixture
def root(tmp_path: Path, model_bytes: bytes) -> Path:
    """A root whose registry holds two versions of ``tiles`` and no champion."""
    for number in (1, 2):
        draft = tmp_path / f"draft-{number}"
        draft.mkdir()
        (draft / "model.keras").write_bytes(model_bytes)
        Contract.model_validate(
            {
                "input": {"size": SIZE, "resize": "stretch"},
                "classes": ["crack", "free"],
                "pass_classes": ["free"],
                "calibration": {"temperature": 1.0, "bias": [0.0, 0.0]},
                "decision": {"pass_threshold": 0.6, "unit": "group", "n_defective": 30},
            }
        ).write(draft / "contract.json")
        (draft / "card.md").write_text("# Model card\n")
        (draft / "metrics.json").write_text("{}")
        np.savez(draft / "oof.npz", logits=np.zeros((1, 2), np.float32))
        Registry(Workspace(tmp_path).registry).register("tiles", Draft(draft), "test")
    return tmp_path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("lot1_a", "lot1_b", "lot2_a"):
        Image.fromarray(rng.integers(0, 256, (20, 30), dtype=np.uint8)).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def run(root: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object, code: int = 0) -> str:
        assert main([*map(str, arguments), "--root", str(root)]) == code
        return capsys.readouterr().out

    return run


SIGNED = ("--by", "A. Weber", "--reason", "better")


def promote(run: Run, version: int, *options: object) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run("registry", "promote", f"tiles:{version}", *SIGNED, *options, "--json"))
    return document


def test_a_version_becomes_champion_and_says_why(run: Run) -> None:
    [before] = json.loads(run("registry", "list", "--json"))["models"]
    assert (before["versions"], before["champion"], before["challenger"]) == ([1, 2], None, None)
    assert promote(run, 2)["previous"] is None
    moved = promote(run, 1, "--force")
    assert {key: moved[key] for key in ("name", "version", "previous", "generation")} == {
        "name": "tiles",
        "version": 1,
        "previous": 2,
        "generation": 2,
    }
    [after] = json.loads(run("registry", "list", "--json"))["models"]
    assert after["champion"] == 1
    shown = json.loads(run("registry", "show", "tiles", "--json"))
    assert shown["version"] == 1 and shown["aliases"] == ["champion"]
    assert [event["by"] for event in shown["events"] if event["kind"] == "promoted"] == ["A. Weber"]
    assert "tiles" in run("registry", "list") and "better" in run("registry", "show", "tiles:1")


def test_a_folder_elsewhere_does_not_promote_its_namesake(run: Run, root: Path) -> None:
    """The bytes that were looked at would not be those that become champion."""
    shutil.copytree(Workspace(root).registry / "tiles/versions/0001", root / "copied")
    run("registry", "promote", root / "copied", *SIGNED, code=2)
    assert json.loads(run("registry", "list", "--json"))["models"][0]["champion"] is None
    run("registry", "promote", Workspace(root).registry / "tiles/versions/0001", *SIGNED)
    assert json.loads(run("registry", "list", "--json"))["models"][0]["champion"] == 1


def test_a_promotion_needs_a_name_and_a_reason(run: Run) -> None:
    run("registry", "promote", "tiles:1", "--by", "", "--reason", "better", code=2)
    run("registry", "promote", "tiles:9", "--by", "me", "--reason", "better", code=2)
    run("registry", "promote", "tiles@challenger", "--by", "me", "--reason", "better", code=2)


def test_a_gate_that_does_not_hold_needs_force_and_a_reason(run: Run) -> None:
    promote(run, 1)
    error = json.loads(run("registry", "promote", "tiles:2", *SIGNED, "--json", code=2))["error"]
    assert "better_than_champion" in error["faults"][0]["where"] and "--force" in error["faults"][0]["fix"]
    assert promote(run, 2, "--force")["forced"] == ["better_than_champion"]
    events = json.loads(run("registry", "log", "tiles", "--json"))["events"]
    assert events[-1]["details"]["forced"] == ["better_than_champion"] and events[-1]["why"] == "better"
    shown = run("registry", "promote", "tiles:1", *SIGNED, "--force")
    assert "tiles:1, before it version 2" in shown and "overridden" in shown


def test_of_two_promotions_of_one_generation_one_exits_6(run: Run) -> None:
    promote(run, 1)
    [seen] = json.loads(run("registry", "list", "--json"))["models"]
    race = ("--generation", seen["generation"], "--force")
    promote(run, 2, *race)
    error = json.loads(run("registry", "promote", "tiles:1", *SIGNED, *race, "--json", code=6))["error"]
    assert error["exit_code"] == 6 and "generation 2" in error["faults"][0]["got"]
    run("registry", "rollback", "tiles", *SIGNED, "--generation", seen["generation"], code=6)
    assert json.loads(run("registry", "list", "--json"))["models"][0]["champion"] == 2


def test_a_roll_back_says_who_and_why(run: Run) -> None:
    run("registry", "rollback", "tiles", *SIGNED, code=2)
    promote(run, 1)
    promote(run, 2, "--force")
    moved = json.loads(run("registry", "rollback", "tiles", "--by", "lee", "--reason", "glare", "--json"))
    assert moved == {"name": "tiles", "version": 1, "previous": 2, "generation": 3}
    log = run("registry", "log", "tiles")
    assert "rolled back" in log and "glare" in log
    run("registry", "rollback", "tiles", *SIGNED, code=2)


def test_a_head_that_was_noted_is_looked_for(run: Run) -> None:
    promote(run, 1)
    [head] = json.loads(run("registry", "head", "tiles", "--json"))["heads"]
    assert head["hash"] == json.loads(run("registry", "log", "tiles", "--json"))["events"][-1]["hash"]
    assert head["hash"] in run("registry", "head")
    promote(run, 2, "--force")
    [found] = json.loads(run("registry", "verify", "--head", head["hash"], "--json"))["heads"]
    assert (found["log"], found["later"]) == ("tiles", 1)
    assert "with 1 after it" in run("registry", "verify", "tiles", "--head", head["hash"])
    run("registry", "verify", "--head", "ab" * 32, code=5)
    run("registry", "verify", "--head", "ab", code=2)


def test_a_configured_key_wants_the_champion_signed(
    run: Run, root: Path, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    promote(run, 1)
    private, public = Ed25519PrivateKey.generate(), tmp_path / "public.pem"
    public.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    run("registry", "verify", "--public-key", public, code=5)
    manifest = next((root / "registry" / "tiles").rglob("0001/manifest.json"))
    (manifest.parent / "manifest.json.sig").write_bytes(private.sign(manifest.read_bytes()))
    assert json.loads(run("registry", "verify", "--public-key", public, "--json"))["signatures"] == 1
    run("registry", "verify", "--public-key", tmp_path / "absent.pem", code=2)
    monkeypatch.setenv("FDSEARCH_PUBLIC_KEY", str(public))
    assert run("predict", "tiles", pictures)
    run("predict", "tiles:2", pictures, code=5)
    assert promote(run, 2, "--force")["forced"] == ["better_than_champion", "signature"]
    run("predict", "tiles", pictures, code=5)


def test_pictures_are_predicted_alike_as_csv_and_json(run: Run, pictures: Path) -> None:
    promote(run, 1)
    predictions = json.loads(run("predict", "tiles", pictures, "--json"))["predictions"]
    assert [Path(row["filename"]).name for row in predictions] == ["lot1_a.png", "lot1_b.png", "lot2_a.png"]
    assert all(abs(sum(row["probabilities"].values()) - 1) < 1e-6 for row in predictions)
    assert all(row["decision"] in ("pass", "reject", "review") for row in predictions)
    rows = list(csv.DictReader(io.StringIO(run("predict", "tiles", pictures))))
    assert [(row["filename"], row["label"], row["decision"]) for row in rows] == [
        (row["filename"], row["label"], row["decision"]) for row in predictions
    ]
    assert [float(row["crack"]) for row in rows] == pytest.approx(
        [row["probabilities"]["crack"] for row in predictions], abs=1e-6
    )


def test_pictures_of_a_part_share_its_decision(run: Run, pictures: Path) -> None:
    promote(run, 1)
    arguments = ("predict", "tiles", pictures, "--group", r"(lot\d+)_", "--json")
    first, second, _ = json.loads(run(*arguments))["predictions"]
    assert first["decision"] == second["decision"]


def test_a_column_of_a_table_names_the_parts(run: Run, pictures: Path) -> None:
    promote(run, 1)
    (pictures / "lot.csv").write_text("filename,part\nlot2_a.png,x\nlot1_a.png,x\n", encoding="utf-8")
    arguments = ("predict", "tiles", pictures / "lot.csv", "--json", "--group")
    first, second = json.loads(run(*arguments, "part"))["predictions"]
    assert [Path(row["filename"]).name for row in (first, second)] == ["lot2_a.png", "lot1_a.png"]
    assert (first["decision"], first["reject_as"]) == (second["decision"], second["reject_as"])
    run(*arguments, "prt", code=3)


def test_unreadable_pictures_are_all_named(run: Run, pictures: Path) -> None:
    promote(run, 1)
    (pictures / "lot1_a.png").write_bytes(b"")
    (pictures / "lot2_a.png").write_bytes(b"no picture")
    error = json.loads(run("predict", "tiles", pictures, "--json", code=3))["error"]
    assert [Path(fault["where"]).name for fault in error["faults"]] == ["lot1_a.png", "lot2_a.png"]


def test_a_changed_byte_is_found_and_nothing_is_predicted(run: Run, root: Path, pictures: Path) -> None:
    promote(run, 1)
    assert json.loads(run("registry", "verify", "--json"))["versions"] == 2
    model = next((root / "registry" / "tiles").rglob("0001/model.keras"))
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.chmod(0o640)
    model.write_bytes(content)
    error = json.loads(run("registry", "verify", "--json", code=5))["error"]
    assert any("model.keras" in fault["where"] for fault in error["faults"])
    run("predict", "tiles", pictures, code=5)
