"""Shortcuts: planted ones are found, noise and what belongs to single parts is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fdsearch.data.parts.glance import glance
from fdsearch.data.shortcuts import shortcuts
from fdsearch.data.traits import Feature, features
from fdsearch.progress import Silent

CLASSES = ("crack", "free", "hole")


def parts(n_groups: int = 60, shots: int = 4) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels and groups of parts that were photographed several times, the classes unequally often."""
    labels = np.repeat(np.resize([0, 1, 1, 2], n_groups), shots)
    return labels, np.repeat(np.arange(n_groups), shots)


def feature(values: NDArray[np.float64], name: str = "brightness") -> Feature:
    values = values.reshape(len(values), -1).astype(np.float64)
    return Feature(name, tuple(f"number {n}" for n in range(values.shape[1])), values, False, True, "it is seen")


def test_a_planted_shortcut_is_found_and_explained() -> None:
    labels, groups = parts()
    rng = np.random.default_rng(0)
    noise, told = rng.normal(size=len(labels)), 90.0 - 40 * (labels == 2)
    found, why = shortcuts([feature(noise, "size"), feature(told)], labels, groups, CLASSES)
    assert why == ""
    innocent, planted = found
    assert not innocent["alarm"] and innocent["ci"][0] < innocent["chance"]
    assert planted["alarm"] and planted["chance"] < planted["ci"][0] < planted["score"] < planted["ci"][1]
    assert planted["reason"] == "number 0 is 50 in hole on average, 90 in the others; it is seen"


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_no_shortcut_however_many_features_there_are(seed: int) -> None:
    labels, groups = parts()
    noise = np.random.default_rng(seed).normal(size=(20, len(labels)))
    found, _ = shortcuts([feature(values) for values in noise], labels, groups, CLASSES, random_state=seed)
    assert len(found) == 20 and not [entry for entry in found if entry["alarm"]]
    assert np.mean([entry["score"] - entry["chance"] for entry in found]) == pytest.approx(0, abs=0.02)


def test_what_is_particular_to_each_part_is_no_shortcut() -> None:
    labels, groups = parts()
    own = np.random.default_rng(4).permutation(groups.max() + 1)[groups]
    [found], _ = shortcuts([feature(own)], labels, groups, CLASSES)
    assert not found["alarm"]


def test_a_class_of_few_parts_that_gives_itself_away_is_named() -> None:
    labels, groups = parts(n_groups=120)
    rare = np.isin(groups, groups[labels == 2][::24])
    labels = np.where(rare, 3, np.minimum(labels, 1))  # a handful of parts among many
    noise = np.random.default_rng(0).normal(size=(2, len(labels)))
    [found, other], _ = shortcuts([feature(rare + 0.1 * noise[0]), feature(noise[1])], labels, groups, "abcd")
    assert found["alarm"] and found["class"] == "d" and found["score"] > 0.9 and found["chance"] < 0.2
    assert not other["alarm"] and other["class"] is None


def test_a_class_of_six_parts_that_only_lies_on_one_side_is_told_by_ranks() -> None:
    labels, groups = parts(n_groups=120, shots=6)
    rare = np.isin(groups, groups[labels == 2][:: 6 * 5])
    labels = np.where(rare, 3, np.minimum(labels, 1))
    rng = np.random.default_rng(0)
    gray = (
        110 + 15 * rng.normal(size=120)[groups] + 30 * rng.normal(size=len(groups))
    )  # exposures differ more than parts
    found, _ = shortcuts([feature(gray), feature(gray - 45 * rare)], labels, groups, "abcd")
    innocent, planted = found
    assert not innocent["alarm"]
    assert planted["alarm"] and (planted["class"], planted["measure"], planted["chance"]) == ("d", "AUC", 0.5)
    assert 0.5 < planted["ci"][0] < planted["score"] < planted["ci"][1] <= 1
    assert " in d on average" in planted["reason"]


def test_of_two_classes_one_is_what_the_other_is_not() -> None:
    labels, groups = parts(n_groups=40)
    labels = np.minimum(labels, 1)
    values = np.random.default_rng(1).normal(size=40)[groups] + 2.5 * (labels == 0)
    [found], _ = shortcuts([feature(values)], labels, groups, CLASSES)
    assert found["alarm"] and found["class"] in {None, "crack"}


def test_a_kind_is_told_in_shares() -> None:
    labels, groups = parts()
    values = np.column_stack([labels == 0, labels != 0]).astype(np.float64)
    kinds = Feature("format", ("format JPEG", "format PNG"), values, True, False, "unseen")
    [found], _ = shortcuts([kinds], labels, groups, CLASSES)
    assert found["alarm"] and not found["visible"]
    assert found["reason"] == "format JPEG holds for 100% of crack, for 0% of the others; unseen"


def test_a_sorted_table_is_called_that() -> None:
    labels, groups = parts()
    order = np.argsort(labels, kind="stable")
    rows = Feature("order", ("row of the table",), np.arange(len(labels), dtype=float)[:, None], False, False, "unseen")
    [found], _ = shortcuts([rows], labels[order], groups[order], CLASSES)
    assert found["alarm"] and found["reason"].startswith("the table is sorted by label: harmless")


def test_classes_of_few_parts_take_no_part() -> None:
    labels, groups = parts()
    labels = np.append(labels, [3] * 8)
    groups = np.append(groups, np.repeat([100, 101, 102, 103], 2))
    told = labels.astype(float)
    [found], why = shortcuts([feature(told)], labels, groups, (*CLASSES, "fray"))
    assert found["score"] == 1 and why.endswith("take no part: fray (4)")
    assert shortcuts([feature(told)], np.minimum(labels, 1) * 3, groups * 0, (*CLASSES, "fray"))[0] == []


def test_the_same_arguments_give_the_same_answer() -> None:
    labels, groups = parts()
    values = feature(np.random.default_rng(0).normal(size=len(labels)) + labels)
    assert shortcuts([values], labels, groups, CLASSES, 3) == shortcuts([values], labels, groups, CLASSES, 3)


def test_times_keep_their_order_in_spite_of_their_size() -> None:
    labels, groups = parts()
    start = 1.7e9  # seconds: in single precision two minutes are one number
    [found], _ = shortcuts([feature(start + labels)], labels, groups, CLASSES)
    assert found["score"] == 1 and found["alarm"]


@pytest.mark.parametrize("planted", ["format", "border", "brightness"])
def test_shortcuts_planted_in_pictures(planted: str, tmp_path: Path) -> None:
    labels, groups = parts(n_groups=40, shots=2)
    rng = np.random.default_rng(5)
    paths = []
    for row, label in enumerate(labels):
        pixels = rng.integers(60, 190, (24, 24), np.uint8)
        if planted == "border" and label == 0:
            pixels[-1, 0] = 255  # a single pixel
        if planted == "brightness" and label == 0:
            pixels += 25
        paths.append(tmp_path / f"x.{row:03d}.{'bmp' if planted == 'format' and label == 0 else 'png'}")
        Image.fromarray(pixels).save(paths[-1])
    _, traits = glance(paths, Silent())
    found, _ = shortcuts(features(traits, ["x.png"] * len(paths), {}), labels, groups, CLASSES)
    alarms = {entry["feature"] for entry in found if entry["alarm"]}
    assert planted in alarms
    assert alarms <= {planted, "border"}  # a brighter picture has a brighter border
