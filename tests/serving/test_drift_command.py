"""``fdsearch drift`` on a real version: what it finds, how looks are counted, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fdsearch.__main__ import main
from fdsearch.progress import Silent
from fdsearch.registry.store import Registry
from fdsearch.registry.version import ModelVersion
from fdsearch.serving.contract import Contract, NoveltyRule
from fdsearch.serving.observed import observe
from fdsearch.serving.predictor import Predictor
from fdsearch.serving.reference import REFERENCE, save

Register = Callable[..., ModelVersion]
Drift = Callable[..., dict[str, Any]]


def photograph(folder: Path, n_parts: int, seed: int, gray: int = 0) -> list[Path]:
    """Two pictures of each part, which share a gray of their own."""
    folder.mkdir()
    generator, paths = np.random.default_rng(seed), []
    for part in range(n_parts):
        own = 100 + gray + 8 * generator.normal()
        for shot in "ab":
            pixels = np.clip(own + 20 * generator.normal(size=(30, 40)), 0, 255).astype(np.uint8)
            paths.append(folder / f"part{part:02d}_{shot}.png")
            Image.fromarray(pixels).save(paths[-1])
    return paths


@pytest.fixture
def tiles(tmp_path: Path, contract: Contract, model: Any, register: Register) -> Path:
    """A root whose ``tiles:0002`` knows its reference pictures."""
    cut = next(layer.name for layer in model.layers if layer.name.startswith("conv2d"))
    rule = NoveltyRule(
        method="knn",
        threshold=None,
        false_alarm_rate=0.05,
        unit="group",
        cuts=(cut,),
        dimensions=8,
        why="no threshold in this test",
    )
    contract = contract.model_copy(update={"novelty": rule})
    files = photograph(tmp_path / "known", 45, seed=0)
    seen = observe(Predictor.of(register(contract=contract)), files, None, Silent())
    labels = np.repeat(np.arange(45) % 3, 2)
    path = save(
        tmp_path,
        embedding=seen.embedding,
        labels=labels,
        groups=np.repeat(np.arange(45), 2),
        probabilities=np.eye(3)[labels] * 0.7 + 0.1,
        traits=seen.traits,
        classes=contract.classes,
    )
    register(contract=contract, files={REFERENCE: path.read_bytes()})
    registry = Registry(tmp_path / "registry")
    registry.promote("tiles", 2, by="test", reason="test", expected_generation=registry.state("tiles").generation)
    return tmp_path


@pytest.fixture
def drift(tiles: Path, capsys: pytest.CaptureFixture[str]) -> Drift:
    """Runs the command on a folder of the root and returns its document."""

    def run(*arguments: str, code: int = 0) -> dict[str, Any]:
        assert main(["drift", *arguments, "--root", str(tiles), "--json"]) == code
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    return run


def test_a_batch_like_the_reference_and_one_that_is_brighter(tiles: Path, drift: Drift) -> None:
    photograph(tiles / "same", 25, seed=1)
    photograph(tiles / "bright", 25, seed=1, gray=15)
    parts = ("--group", r"(part\d+)_")
    same = drift("tiles", str(tiles / "same"), *parts)
    assert not same["drifted"] and same["model"] == "tiles:0002"
    assert (same["n"], same["n_groups"], same["n_reference"], same["n_reference_groups"]) == (50, 25, 90, 45)
    assert {"embedding", "mean_gray", "focus"} <= {test["name"] for test in same["tests"]}
    assert [row["name"] for row in same["label_shift"]] == ["bent", "crack", "free"]
    bright = drift("tiles@champion", str(tiles / "bright"), *parts)
    assert bright["drifted"] and {"mean_gray", "embedding"} <= {
        test["name"] for test in bright["tests"] if test["drifted"]
    }
    assert len(bright["pictures"]) == 50 and bright["pictures"][0]["unlike"] >= bright["pictures"][-1]["unlike"]


def test_what_a_person_sees(tiles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photograph(tiles / "bright", 25, seed=1, gray=60)
    assert main(["drift", "tiles", str(tiles / "bright"), "--root", str(tiles)]) == 0
    told = capsys.readouterr().out
    assert "without --group" in told and "brighter: median mean gray 1" in told
    assert "and 40 more" in told


def test_the_log_counts_the_looks_of_a_version(tiles: Path, drift: Drift) -> None:
    photograph(tiles / "same", 10, seed=1)
    log = tiles / "looks.jsonl"
    found = [drift("tiles", str(tiles / "same"), "--log", str(log)) for _ in range(2)]
    assert [each["look"] for each in found] == [1, 2]
    assert found[1]["level"] < found[0]["level"] < found[0]["false_alarm_rate"] / 50
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [line["look"] for line in lines] == [1, 2]
    assert set(lines[0]["p"]) == {test["name"] for test in found[0]["tests"]}
    given = drift("tiles", str(tiles / "same"), "--look", "2")
    assert given["level"] == found[1]["level"]


def test_what_is_refused(tiles: Path, drift: Drift) -> None:
    same = str(tiles / "same")
    photograph(Path(same), 3, seed=1)
    assert "refit tiles" in drift("tiles:0001", same, code=7)["error"]["faults"][0]["fix"]
    assert drift("tiles", same, "--look", "1", "--log", "x", code=2)["error"]["faults"][0]["where"] == "--look"
    (tiles / "same" / "part00_a.png").write_bytes(b"no picture")
    assert "part00_a.png" in drift("tiles", same, code=3)["error"]["faults"][0]["where"]
    (tiles / "log").write_text("no log\n")
    drift("tiles", same, "--log", str(tiles / "log"), code=3)


def test_a_reference_of_another_version_is_refused(
    tiles: Path, drift: Drift, contract: Contract, register: Register
) -> None:
    photograph(tiles / "same", 3, seed=1)
    swapped = contract.model_copy(update={"classes": ("bent", "crack", "scratch"), "pass_classes": ("scratch",)})
    register(contract=swapped, files={REFERENCE: (tiles / REFERENCE).read_bytes()})
    error = drift("tiles:0003", str(tiles / "same"), code=5)["error"]
    assert error["faults"][0]["where"].endswith(REFERENCE)
