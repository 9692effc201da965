"""The commands `refit` and `reproduce`: what they refuse before anything is trained, and what a person reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fdsearch.__main__ import main
from fdsearch.cli import show_refit


@pytest.mark.parametrize("command", ["refit", "reproduce"])
def test_a_model_that_does_not_exist_is_an_answer(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "tiles", "--root", str(tmp_path), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["faults"][0]["where"] == "MODEL"
    assert not (tmp_path / "runs").exists()


def test_a_person_reads_how_the_refit_compares(capsys: pytest.CaptureFixture[str]) -> None:
    compared = {"champion": 3, "parts": 44, "gain": 0.02, "ci": None, "why": "fray has 1", "level": ""}
    candidate = {"name": "tiles", "version": 4, "alias": "challenger", "gates": []}
    show_refit.refit(
        {
            "study": "tiles",
            "refitted_from": "tiles:0003",
            "n_trials": 0,
            "comparison": compared,
            "candidate": candidate,
            "champion": {"name": "tiles", "version": 3},
        }
    )
    text = capsys.readouterr().out
    assert "of tiles:0003; nothing was searched" in text
    assert "champion 3: gain +0.020, interval none (fray has 1), on 44 parts neither was trained on" in text
    assert "tiles:4, challenger" in text


def test_a_person_reads_what_was_reproduced(capsys: pytest.CaptureFixture[str]) -> None:
    show_refit.reproduce(
        {
            **{"model": "tiles:0003", "study": "tiles", "value": 0.5, "recorded": 0.51, "difference": -0.01, "n": 90},
            **{"changed": 2, "largest_logit_difference": 0.25, "differences": ["keras was 3.14 and is 3.15"]},
            "seconds": 12.0,
        }
    )
    text = capsys.readouterr().out
    assert "a difference of -0.010000" in text
    assert "2 of 90 get another class" in text
    assert "keras was 3.14 and is 3.15" in text
