"""From no picture to a study that can be run, through the commands, on real files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from fdsearch.__main__ import main


def call(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> dict[str, Any]:
    """Run a command with ``--json`` and return its document; stdout must hold nothing else."""
    assert main([*map(str, arguments), "--json"]) == code
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_from_generated_pictures_to_an_audited_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, pictures, study = tmp_path / "root", tmp_path / "pictures", tmp_path / "new" / "bonds.yaml"
    made = call(capsys, "data", "synthesize", pictures, "--size", 32, "--seed", 3, "--root", root)
    assert made["path"] == str(pictures) and made["n"] == sum(made["classes"].values())

    begun = call(capsys, "init", pictures, "--out", study, "--root", root)
    assert begun["study_file"] == str(study)
    assert (begun["n"], begun["classes"], begun["group"]) == (made["n"], made["classes"], "part")

    again = call(capsys, "init", pictures, "--out", study, "--root", root, code=6)
    assert again["error"]["faults"][0]["where"] == str(study)

    small = "space: {image_size: 64, phases: probe}"
    study.write_text("\n".join(small if line.startswith("space:") else line for line in study.read_text().splitlines()))
    audited = call(capsys, "data", "audit", study, "--root", root)
    assert (audited["n"], audited["classes"], audited["problems"]) == (made["n"], made["classes"], [])
    assert len(Path(audited["groups_csv"]).read_text().splitlines()) == made["n"] + 1
    assert audited["groups"]["source"] == "given" and audited["groups"]["n"] > 0
    assert Path(audited["html"]).is_file() and Path(audited["json"]).is_file()

    drawn = call(capsys, "space", study, "--sample", 3, "--root", root)
    assert len(drawn["configs"]) == 3


def test_the_layouts_have_options_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    synthesize = ("data", "synthesize", tmp_path / "out", "--layout")
    refused = call(capsys, *synthesize, "challenge", "--size", 64, code=2)
    assert refused["error"]["faults"][0]["where"] == "--size"
    refused = call(capsys, *synthesize, "table", "--share", 0.1, "--scale", 0.1, code=2)
    assert refused["error"]["faults"][0]["where"] == "--share, --scale"
    refused = call(capsys, *synthesize, "challenge", "--share", 0, code=2)
    assert refused["error"]["faults"][0]["where"] == "share"
    assert not (tmp_path / "out").exists()
    made = call(capsys, *synthesize, "challenge", "--share", 0.05, "--scale", 0.05)
    assert (made["n"], made["n_test"], made["n_drift"]) == (415, 53, 3)
    assert (tmp_path / "out" / "Y_train_generated.csv").is_file()


def test_findings_are_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "labels.csv").write_text("filename,label\nnone.png,a\n../out.png,b\n")
    (tmp_path / "study.yaml").write_text("name: bad\ndata: {manifest: labels.csv, label: label}\nspace: quick\n")
    found = call(capsys, "data", "audit", tmp_path / "study.yaml", "--root", tmp_path / "root", code=0)
    assert len(found["problems"]) >= 2
    assert all(set(problem) >= {"where", "got", "expected", "fix"} for problem in found["problems"])
    assert found["shortcuts_why"] == found["label_suspects_why"] != ""
    assert len(Path(found["worklist"]).read_text().splitlines()) == 3


def test_a_public_set_comes_from_a_folder(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FDSEARCH_DATA", raising=False)
    fetched = call(capsys, "data", "fetch", "pistons", "--from", shared_data, "--root", tmp_path)
    assert fetched == {"path": str(tmp_path / "data" / "pistons")}
    monkeypatch.setenv("FDSEARCH_DATA", str(tmp_path / "elsewhere"))
    fetched = call(capsys, "data", "fetch", "pistons", "--from", shared_data, "--root", tmp_path)
    assert fetched == {"path": str(tmp_path / "elsewhere" / "pistons")}


def test_weights_travel_in_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fetch = ("models", "fetch", "efficientnet_lite0")
    packed = call(capsys, *fetch, "--to", tmp_path / "carried")
    content = Path(packed["path"]).read_bytes()
    assert (packed["bytes"], packed["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    arrived = call(capsys, *fetch, "--from", tmp_path / "carried", "--to", tmp_path / "weights")
    assert arrived == {**packed, "path": str(tmp_path / "weights" / Path(packed["path"]).name)}
    Path(packed["path"]).write_bytes(content[:-1])
    refused = call(capsys, *fetch, "--from", tmp_path / "carried", "--to", tmp_path / "weights", code=5)
    assert refused["error"]["faults"][0]["where"] == packed["path"]
    assert Path(arrived["path"]).read_bytes() == content


def test_unknown_names_offer_the_known_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (("data", "fetch", "piston"), ("models", "fetch", "inception"), ("run", "pistns")):
        error = call(capsys, *arguments, "--root", tmp_path, code=2)["error"]
        assert "did you mean" in error["faults"][0]["fix"]


@pytest.mark.slow
def test_models_are_listed_with_their_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["name"]: row for row in call(capsys, "models", "list")["models"]}
    assert rows["s_cnn_01"]["parameters"] == 89_719_878
    assert all(set(row) >= {"name", "parameters", "input_size", "weights"} for row in rows.values())
