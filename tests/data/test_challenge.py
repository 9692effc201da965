"""Generated pictures in a public challenge's layout: folders, tables to the byte, shares, sizes, and drift."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fdsearch.data.challenge import FRENCH, LABELLED, N_DRIFT, N_TEST, SIZES, counts, synthesize_challenge
from fdsearch.data.ribbon_bonds import draw_part
from fdsearch.data.ribbon_layout import CLASSES, DRIFT
from fdsearch.data.tables import read_table
from fdsearch.errors import ConfigError

SHARE, SCALE = 0.05, 0.06


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("challenge") / "valeo_generated"
    synthesize_challenge(folder, SHARE, SCALE, seed=5)
    return folder


def rows(file: Path) -> list[list[str]]:
    with file.open(newline="") as stream:
        return list(csv.reader(stream))


def test_the_folders_and_tables_are_the_challenges(few: Path) -> None:
    found = {path.relative_to(few).as_posix() for path in few.rglob("*") if path.suffix != ".jpeg"}
    assert found == {
        *("input_train", "input_train/input_train", "input_test", "input_test/input_test", "synthetic.json"),
        *("Y_train_generated.csv", "X_test_generated.csv", "parts.csv", "test_labels.csv"),
    }
    assert len(list(few.glob("Y_train_*.csv"))) == len(list(few.glob("X_test_*.csv"))) == 1


@pytest.mark.parametrize(
    ("file", "first", "cells"),
    [
        (
            "Y_train_generated.csv",
            b",filename,window,lib,Label\n0,",
            rb"\d+,\d{6}\.jpeg,200[35],Die0[1-4],[A-Z][A-Za-z -]+",
        ),
        ("X_test_generated.csv", b",filename,window,lib\n0,", rb"\d+,\d{6}\.jpeg,200[35],Die0[1-4]"),
    ],
)
def test_the_tables_are_written_to_the_byte(few: Path, file: str, first: bytes, cells: bytes) -> None:
    content = (few / file).read_bytes()
    assert content.startswith(first) and content.endswith(b"\n") and b"\r" not in content
    lines = content.splitlines()[1:]
    assert all(re.fullmatch(cells, line) for line in lines)
    assert [int(line.split(b",")[0]) for line in lines] == list(range(len(lines)))


def test_each_class_keeps_its_share(few: Path) -> None:
    labels = Counter(row[4] for row in rows(few / "Y_train_generated.csv")[1:])
    assert labels == {FRENCH[label]: round(n * SHARE) for label, n in LABELLED.items()}
    assert set(labels) == {"GOOD", "Boucle plate", "Lift-off blanc", "Lift-off noir", "Missing", "Short circuit MOS"}
    test = Counter(row[4] for row in rows(few / "test_labels.csv")[1:])
    assert test["6"] == round(N_DRIFT * SHARE) and sum(test.values()) == round(N_TEST * SHARE)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.3])
def test_shares_of_all_sizes_add_up(share: float) -> None:
    train, test = counts(share)
    assert list(train) == list(CLASSES) and list(test) == [*CLASSES, DRIFT]
    assert sum(test.values()) == round((N_TEST - N_DRIFT) * share) + round(N_DRIFT * share)
    assert all(abs(train[label] / sum(train.values()) - n / 8278) < 1e-3 for label, n in LABELLED.items())


def test_drift_is_in_the_test_set_alone_and_no_table_of_the_challenge_says_where(few: Path) -> None:
    assert "6" not in {row[4] for row in rows(few / "Y_train_generated.csv")}
    labelled = rows(few / "test_labels.csv")
    assert [row[:4] for row in labelled] == rows(few / "X_test_generated.csv")
    assert labelled[0] == ["", "filename", "window", "lib", "Label", "part"]


def test_every_picture_is_gray_of_one_of_five_sizes_and_has_a_part(few: Path) -> None:
    tables = {"input_train": "Y_train_generated.csv", "input_test": "test_labels.csv"}
    sizes, names = set(), []
    for folder, file in tables.items():
        for _, name, window, lib, *_ in rows(few / file)[1:]:
            with Image.open(few / folder / folder / name) as picture:
                height, width = SIZES[lib, window]
                assert (picture.mode, picture.size) == ("L", (round(width * SCALE), round(height * SCALE)))
                sizes.add(picture.size)
            names.append(name)
        assert len(list((few / folder / folder).iterdir())) == len(rows(few / file)) - 1
    assert len(sizes) == 5
    parts = dict(rows(few / "parts.csv")[1:])
    assert sorted(parts) == sorted(names)
    assert 1 < len(names) / len(set(parts.values())) <= 2  # some parts are photographed twice


def test_the_reader_of_manifests_takes_the_table(few: Path) -> None:
    table = read_table(few / "Y_train_generated.csv", ["filename", "Label", "lib", "window"])
    assert not table.faults and table.columns == ("filename", "window", "lib", "Label")


def test_the_same_seed_gives_the_same_bytes_and_nothing_is_drawn_twice(few: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in few.rglob("*")}
    synthesize_challenge(few, SHARE, SCALE, seed=5)
    assert {path: path.stat().st_mtime_ns for path in few.rglob("*")} == before
    with pytest.raises(ConfigError, match="another profile, seed or size"):
        synthesize_challenge(few, SHARE, SCALE, seed=6)
    synthesize_challenge(tmp_path / "same", SHARE, SCALE, seed=5)
    for path in few.rglob("*.*"):
        assert (tmp_path / "same" / path.relative_to(few)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"share": 0.01}, "share: got 0.01"), ({"share": 1.5}, "share: got 1.5"), ({"scale": 2.0}, "scale: got 2")],
)
def test_numbers_out_of_range_are_refused(tmp_path: Path, arguments: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        synthesize_challenge(tmp_path / "out", **arguments)
    assert words in str(caught.value) and not (tmp_path / "out").exists()


def test_drift_looks_like_no_good_part() -> None:
    """Each drawing of drift is further from the good part of the same product than good ones are from each other."""

    def small(label: str, seed: int) -> np.ndarray:
        scene = draw_part(np.random.default_rng(seed), label, "Die02", 64, 64)
        edges = np.hypot(*np.gradient(scene))
        return edges / edges.sum()

    good = [small("0_GOOD", seed) for seed in range(12)]
    mean = np.mean(good, axis=0)
    usual = np.median([np.abs(each - mean).sum() for each in good])
    drift = [np.abs(small(DRIFT, 100 + seed) - mean).sum() for seed in range(20)]
    assert np.median(drift) > usual
