"""What a recipe's first search was worth is taken off its later scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fdsearch.pipeline.inherited import inherited_luck
from fdsearch.registry.manifest import seal
from fdsearch.registry.version import ModelVersion
from fdsearch.selection.intervals import Interval
from fdsearch.selection.scores import Score, headline

KNOWN = {"optimism": 0.03, "n_trials": 15, "corrected": 0.5}


def version(folder: Path, metrics: dict[str, Any]) -> ModelVersion:
    folder.mkdir(exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    seal(folder, "tiles", 1, {})
    return ModelVersion.open(folder)


def scored(low: float | None = 0.4, high: float | None = 0.6) -> Score:
    why = "" if low is not None else "4 groups"
    return Score(0.52, Interval(low, high, "95 %" if low is not None else "", 6, why), 100, 30)


def test_the_whole_optimism_is_taken_off_and_the_interval_holds_both_ends(tmp_path: Path) -> None:
    found = inherited_luck(version(tmp_path, {"search": KNOWN}), scored())
    assert found["corrected"] == pytest.approx(0.49)
    assert found["ci"] == pytest.approx([0.37, 0.6])
    assert found["words"] == "its recipe was chosen on earlier data, which flattered tiles:0001 by at least 0.030"
    shown = headline(scored(), found, None)
    assert (shown["value"], shown["ci"], shown["source"]) == (found["corrected"], found["ci"], "out_of_fold")


def test_it_is_inherited_by_the_refit_of_a_refit(tmp_path: Path) -> None:
    first = inherited_luck(version(tmp_path / "a", {"search": KNOWN}), scored())
    second = inherited_luck(version(tmp_path / "b", {"search": first}), scored())
    assert (second["optimism"], second["n_trials"]) == (0.03, 15)


def test_no_interval_is_made_up(tmp_path: Path) -> None:
    found = inherited_luck(version(tmp_path, {"search": KNOWN}), scored(None, None))
    assert (found["ci"], found["why"]) == (None, "4 groups")


@pytest.mark.parametrize("metrics", [{}, {"search": None}, {"search": {"optimism": None}}])
def test_a_version_that_was_never_a_candidate_gives_no_corrected_score(tmp_path: Path, metrics: dict[str, Any]) -> None:
    found = inherited_luck(version(tmp_path, metrics), scored())
    assert (found["corrected"], found["optimism"], found["ci"]) == (None, None, None)
    assert found["why"] == "tiles:0001 does not say what its choice was worth"
