"""The generator: what it promises about files, counts, parts and seeds, and that the classes can be told apart."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fdsearch.data.ribbon_layout import CLASSES
from fdsearch.data.synthetic import PROFILES, synthesize
from fdsearch.errors import ConfigError, StorageError

FEW = {"0_GOOD": 5, "4_Missing": 4, "5_Short circuit MOS": 3}


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few") / "out"
    synthesize(folder, FEW, seed=3, size=64)
    return folder


def test_manifest_and_pictures_agree(few: Path) -> None:
    rows = table(few)
    assert list(rows[0]) == ["filename", "Label", "window", "lib", "part"]
    assert {row["filename"] for row in rows} == {f"pictures/{path.name}" for path in (few / "pictures").iterdir()}
    assert {label: sum(row["Label"] == label for row in rows) for label in FEW} == FEW
    for row in rows:
        with Image.open(few / row["filename"]) as picture:
            assert (picture.format, picture.mode) == ("PNG", "L")
            assert 45 <= min(picture.size) <= 64


def test_result_is_what_the_command_prints(few: Path) -> None:
    assert synthesize(few, FEW, seed=3, size=64) == {"path": str(few), "n": 12, "classes": FEW}


def test_a_part_has_one_class_and_one_to_three_shots(few: Path) -> None:
    parts = defaultdict(list)
    for row in table(few):
        parts[row["part"]].append((row["Label"], row["lib"], row["window"]))
    assert all(len(set(shots)) == 1 and 1 <= len(shots) <= 3 for shots in parts.values())
    assert len(parts) == 7  # half as many parts as pictures in each class, rounded up


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(few: Path, tmp_path: Path) -> None:
    synthesize(tmp_path / "same", FEW, seed=3, size=64)
    synthesize(tmp_path / "other", FEW, seed=4, size=64)
    assert contents(tmp_path / "same") == contents(few)
    other = contents(tmp_path / "other")
    assert not {name for name, content in contents(few).items() if name.endswith(".png") and other.get(name) == content}


def test_pictures_that_are_there_are_not_drawn_again(few: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in few.rglob("*")}
    synthesize(few, FEW, seed=3, size=64)
    assert {path: path.stat().st_mtime_ns for path in few.rglob("*")} == before


def test_an_interrupted_run_is_finished(few: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    synthesize(out, FEW, seed=3, size=64)
    (out / "labels.csv").unlink()
    next((out / "pictures").iterdir()).write_bytes(b"torn")
    synthesize(out, FEW, seed=3, size=64)
    assert contents(out) == contents(few)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"profile": "deom"}, "did you mean demo?"),
        ({"profile": {"0_GOOD": 2, "4_Mising": 2}}, "did you mean 4_Missing?"),
        ({"profile": {"0_GOOD": 0}}, "profile, 0_GOOD: got 0"),
        ({"size": 8}, "size: got 8"),
        ({"seed": -1}, "seed: got -1"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        synthesize(tmp_path / "out", **arguments)  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seed", [3, 4])
def test_a_folder_with_something_else_is_left_alone(few: Path, tmp_path: Path, seed: int) -> None:
    with pytest.raises(ConfigError, match="another profile, seed or size"):
        synthesize(few, FEW, seed=seed, size=96)
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(ConfigError, match="other files"):
        synthesize(tmp_path, FEW, seed=seed, size=64)
    assert contents(tmp_path) == {"diary.txt": b"mine"}


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        synthesize(tmp_path / "file" / "out", FEW, size=64)


def test_profiles() -> None:
    demo, valeo = PROFILES["demo"], PROFILES["valeo"]
    assert tuple(demo) == tuple(valeo) == CLASSES
    assert sum(demo.values()) == 300
    assert min(demo.values()) // 2 >= 12  # parts
    assert max(valeo.values()) / min(valeo.values()) == pytest.approx(6472 / 71, rel=0.02)
    assert len(set(PROFILES["balanced"].values())) == 1


def test_shots_of_a_part_are_alike_and_parts_differ(few: Path) -> None:
    by_part = defaultdict(list)
    for row in table(few):
        if row["Label"] == "0_GOOD":
            with Image.open(few / row["filename"]) as picture:
                small = np.asarray(picture.resize((24, 24), Image.Resampling.BOX), float).ravel()
            by_part[row["part"]].append((small - small.mean()) / small.std())
    shots = [(part, shot) for part, found in by_part.items() for shot in found]
    likeness = {same: [] for same in (True, False)}
    for index, (part, shot) in enumerate(shots):
        for other_part, other in shots[index + 1 :]:
            likeness[part == other_part].append(float(shot @ other) / len(shot))
    assert np.mean(likeness[True]) > 0.8 > np.mean(likeness[False])


def test_classes_can_be_told_apart_but_not_by_brightness(tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_score

    synthesize(tmp_path / "out", {"0_GOOD": 40, "4_Missing": 40}, seed=0, size=64)
    rows = table(tmp_path / "out")
    pictures = []
    for row in rows:
        with Image.open(tmp_path / "out" / row["filename"]) as picture:
            pictures.append(np.asarray(picture.resize((32, 32), Image.Resampling.BOX), float) / 255)
    labels = [row["Label"] for row in rows]
    parts = [row["part"] for row in rows]
    texture = np.array([np.sort(np.abs(np.diff(picture, axis=0)).ravel())[::16] for picture in pictures])
    brightness = np.array([[picture.mean()] for picture in pictures])
    scores = [
        cross_val_score(LogisticRegression(C=100), features, labels, groups=parts, cv=GroupKFold(4)).mean()
        for features in (texture, brightness)
    ]
    assert scores[0] > 0.7 > 0.65 > scores[1]
