"""Versions compared, removed, sent and received through the commands, for a program and for a person."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fdsearch.__main__ import main
from fdsearch.registry.draft import Draft
from fdsearch.registry.sealed import Sealed
from fdsearch.registry.store import Registry
from fdsearch.workspace import Workspace

Run = Callable[..., str]
CONTRACT = {
    "input": {"size": 16, "resize": "stretch"},
    "classes": ["crack", "free"],
    "pass_classes": ["free"],
    "calibration": {"temperature": 1.0, "bias": [0.0, 0.0]},
    "decision": {"pass_threshold": 0.9, "unit": "group"},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with three versions of ``tiles``; the second has another opinion of the picture b.png."""
    names = np.array(["a.png", "b.png"])
    for number in (1, 2, 3):
        draft = tmp_path / f"draft-{number}"
        draft.mkdir()
        logits = np.array([[-3, 3], [-3, 3] if number != 2 else [3, -3]], np.float32)
        Sealed(names, names, np.array([1, 1]), logits, ("crack", "free"), names).write(draft)
        (draft / "model.keras").write_bytes(b"weights %d" % number)
        (draft / "contract.json").write_text(json.dumps(CONTRACT))
        (draft / "card.md").write_text("# Model card\n")
        (draft / "metrics.json").write_text(json.dumps({"cv": {"macro_f1_mean": 0.5 + number / 10}}))
        one = np.zeros(1, np.int64)
        np.savez(draft / "oof.npz", logits=np.zeros((1, 1, 2)), rows=one, labels=one, groups=one)
        lineage = {"params": {"dropout": number / 10}}
        Registry(Workspace(tmp_path).registry).register("tiles", Draft(draft, lineage), "test")
    Registry(Workspace(tmp_path).registry).promote("tiles", 1, by="kim", reason="first")
    return tmp_path


@pytest.fixture
def run(root: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object, root: Path = root, code: int = 0) -> str:
        assert main(["registry", *map(str, arguments), "--root", str(root)]) == code
        return capsys.readouterr().out

    return run


def test_a_difference_names_parameters_scores_and_flips(run: Run) -> None:
    found = json.loads(run("diff", "tiles", "tiles:2", "--json"))
    assert found["parameters"] == [{"name": "params.dropout", "a": 0.1, "b": 0.2}]
    assert [row["filename"] for row in found["decisions"]["holdout"]["pictures"]] == ["b.png"]
    assert (found["gain"]["champion"], found["gain"]["pictures"]) == (1, 2)
    shown = run("diff", "tiles", "tiles:2")
    assert "1 of 2 get another decision, 1 another label" in shown
    assert "pass (free)" in shown and "reject (crack)" in shown and "params.dropout" in shown
    assert "tiles:0001" in shown and "champion" in shown
    assert "byte for byte" in run("diff", "tiles:3", "tiles:3")


def test_what_nothing_needs_is_listed_before_it_goes(run: Run) -> None:
    [listed] = json.loads(run("gc", "--dry-run", "--json"))["models"]
    assert [row["version"] for row in listed["collected"]] == [2, 3]
    assert "tiles:0002   would be removed" in run("gc", "tiles", "--dry-run")
    run("gc", "tiles", code=2)  # nobody said who removes
    assert "tiles:0001   stays" in run("gc", "tiles", "--by", "lee", "--reason", "disk")
    [event] = [each for each in json.loads(run("log", "tiles", "--json"))["events"] if each["version"] == 3][-1:]
    assert (event["kind"], event["by"], event["why"]) == ("collected", "lee", "disk")
    assert json.loads(run("list", "--json"))["models"][0]["versions"] == [1]
    run("gc", "tiles:2", "--by", "lee", code=2)
    run("gc", "tiles@challenger", "--by", "lee", code=2)
    run("gc", "tules", "--by", "lee", code=2)


def test_a_version_travels_as_one_file(run: Run, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sent = json.loads(run("export", "tiles", "--json"))
    assert sent["archive"] == str(tmp_path / "tiles-0001.zip")
    other = tmp_path / "other"
    arrived = json.loads(run("import", sent["archive"], "--by", "lee", "--json", root=other))
    assert (arrived["manifest"], arrived["registered"]) == (sent["manifest"], True)
    assert json.loads(run("verify", "--json", root=other))["versions"] == 1
    assert json.loads(run("list", "--json", root=other))["models"][0]["champion"] is None
    run("promote", "tiles:1", "--by", "lee", "--reason", "the line's first", "--force", root=other)
    run("export", "tiles", "--to", sent["archive"], code=6)
    run("import", tmp_path / "gone.zip", "--by", "lee", code=2)
