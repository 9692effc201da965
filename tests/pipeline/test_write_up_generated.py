"""The shipped study of generated pictures from end to end, made small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fdsearch import pipeline
from fdsearch.data.challenge import synthesize_challenge
from fdsearch.shipped import shipped
from fdsearch.study_reader import parse_study
from fdsearch.yaml_reader import read_yaml

NAMES = ["baseline CNN", "S-CNN 01", "S-CNN 02", "S-CNN 03", "InceptionV3", "EfficientNetV2S", "drift detector"]


def made_small(raw: dict[str, Any]) -> dict[str, Any]:
    """The study at 32 px with few epochs; the two large networks want weights that nobody has."""
    recipes = [
        {**recipe, "params": {**recipe["params"], "image_size": 32, "epochs": 2}} for recipe in raw["search"]["enqueue"]
    ]
    for recipe in recipes:
        recipe["params"].pop("weights", None)
    return {
        **raw,
        "space": {**raw["space"], "image_size": {"fixed": 64}, "phases": {"fixed": "probe"}},
        "search": {**raw["search"], "n_trials": 2, "enqueue": recipes},
    }


@pytest.mark.slow
def test_the_table_of_the_write_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    synthesize_challenge(tmp_path / "data" / "valeo_generated", share=0.15, scale=0.08)
    raw = made_small(read_yaml(shipped("studies") / "valeo_write_up_generated.yaml"))
    raw["space"] = {name: entry for name, entry in raw["space"].items() if "when" not in entry}
    document = pipeline.run(parse_study(raw, "small", tmp_path / "data"), tmp_path / "root")
    rows = {row["name"]: row for row in document["write_up"]}
    assert list(rows) == NAMES
    assert [row["reported"] for row in rows.values()] == [0.85, 0.84, 0.90, 0.79, 0.93, 0.85, 0.4]
    assert rows["InceptionV3"]["why"] == rows["EfficientNetV2S"]["why"] == "no weights"
    assert all(0 <= rows[name]["f1"] <= 1 and rows[name]["gain"] is not None for name in NAMES[:4])
    assert rows["drift detector"]["n"] == 158 and rows["drift detector"]["n_drift"] == 8
    assert 0 <= rows["drift detector"]["f1"] <= 1 and not rows["drift detector"]["why"]
