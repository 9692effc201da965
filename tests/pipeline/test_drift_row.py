"""The row about pictures of no class: its F1 and interval, and what is said where a piece is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Finished
from small_set import draw, study

from fdsearch.pipeline.drift_row import NAME, drift_rows, f1_of_drift
from fdsearch.pipeline.question import Question, open_question
from fdsearch.progress import Silent
from fdsearch.study_reader import parse_study


def labelled(folder: Path, n_drift: int = 8) -> None:
    """Pictures of known classes, and some that are nothing but noise; the table says which."""
    from PIL import Image

    rows = [(draw(folder, label, 100 + part, 0), label) for label in ("free", "crack", "hole") for part in range(6)]
    for number in range(n_drift):
        noise = np.random.default_rng(number).integers(0, 255, (72, 72)).astype(np.uint8)
        Image.fromarray(noise).save(folder / f"noise_{number}.png")
        rows.append((f"noise_{number}.png", "6"))
    (folder / "seen.csv").write_text("filename,label\n" + "".join(f"{name},{label}\n" for name, label in rows))


def asked(finished: Finished, folder: Path, **drift: Any) -> Question:
    spec = {"manifest": str(folder / "seen.csv"), "label": "label", "novel": ["6"], "reported": 0.4, **drift}
    raw = study(finished.pictures, drift=spec)
    return open_question(parse_study(raw, "s", folder), finished.root, (), Silent(), remember=False)


def row_of(question: Question, finished: Finished) -> dict[str, Any]:
    [row] = drift_rows(question, finished.document["candidate"]["version"], Silent())
    return row


def test_f1_counts_drift_alone() -> None:
    y_true = np.array([1, 1, 0, 0, 0, 0])
    found = f1_of_drift(y_true, np.array([1, 0, 1, 0, 0, 0]), np.arange(6))
    assert found["f1"] == pytest.approx(0.5)
    assert found["f1_ci"] is None and "drift has 2" in found["why"]


def test_an_interval_resamples_parts_not_pictures() -> None:
    rng = np.random.default_rng(0)
    part_true, part_called = rng.integers(0, 2, (2, 80))
    one = f1_of_drift(part_true, part_called, np.arange(80))
    four = f1_of_drift(np.repeat(part_true, 4), np.repeat(part_called, 4), np.repeat(np.arange(80), 4))
    assert four["f1_ci"] == pytest.approx(one["f1_ci"]) and one["level"] == "95 %"


def test_without_labels_the_row_says_so(finished: Finished, tmp_path: Path) -> None:
    row = row_of(asked(finished, tmp_path), finished)
    assert row["name"] == NAME and row["reported"] == 0.4 and row["f1"] is row["champion"] is None
    assert row["why"].startswith("no labels of such pictures (no file ")


def test_labels_without_drift_are_no_test(finished: Finished, tmp_path: Path) -> None:
    labelled(tmp_path, n_drift=0)
    assert "needs both" in row_of(asked(finished, tmp_path), finished)["why"]


def test_a_picture_that_is_not_there_undoes_nothing(finished: Finished, tmp_path: Path) -> None:
    labelled(tmp_path)
    (tmp_path / "noise_3.png").unlink()
    assert "noise_3.png" in row_of(asked(finished, tmp_path), finished)["why"]


def test_noise_is_told_from_known_pictures(finished: Finished, tmp_path: Path) -> None:
    labelled(tmp_path)
    row = row_of(asked(finished, tmp_path), finished)
    assert (row["why"], row["n"], row["n_drift"], row["kind"]) == ("", 26, 8, "drift")
    assert row["f1"] > 0.8 and row["f1_ci"] is not None  # noise is far from any tile
    assert "8 pictures of drift among 26" in row["protocol"]
    assert row["champion"] is None or 0 <= row["champion"]["f1"] <= 1


def test_a_study_without_such_pictures_has_no_row(finished: Finished, tmp_path: Path) -> None:
    question = open_question(
        parse_study(study(finished.pictures), "s", tmp_path), finished.root, (), Silent(), remember=False
    )
    assert drift_rows(question, 1, Silent()) == []
