"""From traits, names and columns to numbers: which become features, and how columns are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fdsearch.data.parts.glance import Traits, glance
from fdsearch.data.traits import features
from fdsearch.progress import Silent

PLAIN = Traits("PNG", 9, 12, 100, (1.0, 2.0, 3.0, 4.0, 5.0), tuple(range(20)))


def names(*filenames: str, **columns: list[str]) -> dict[str, list[list[float]]]:
    found = features([PLAIN] * len(filenames), filenames, columns)
    return {feature.name: feature.values.tolist() for feature in found}


def test_what_is_the_same_everywhere_is_no_feature() -> None:
    assert names("a.png", "b.png", camera=["x", "x"]) == {"order": [[0.0], [1.0]]}
    assert features([], [], {}) == []


@pytest.mark.parametrize(
    ("filenames", "order"),
    [
        (["a7.png", "a9.png"], [[7.0], [9.0]]),
        (["lot1/a7_0.png", "lot2/a9_0.png"], [[7.0], [9.0]]),  # folders are no order, a constant is none either
        (["a7.png", "b.png"], [[0.0], [1.0]]),  # a name without a number: the row
        (["7_1.png", "8_1.png"], [[7.0], [8.0]]),
        (["5" * 400 + ".png", "6.png"], [[float("5" * 15)], [6.0]]),
    ],
)
def test_the_order_is_the_number_in_the_names_else_the_row(filenames: list[str], order: list[list[float]]) -> None:
    assert names(*filenames)["order"] == order


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "2", "10", "1"], [[1.0], [2.0], [10.0], [1.0]]),
        (["1970-01-01", "1970-01-02", "1970-01-01", "1970-01-01"], [[0.0], [86400.0], [0.0], [0.0]]),
        (["x", "y", "x", "y"], [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]),
        (["x", "", "x", ""], [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]),
        (["1", "", "1", ""], [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]),
        (["nan", "1", "nan", "1"], [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]),
    ],
)
def test_a_column_is_numbers_times_or_kinds(cells: list[str], values: list[list[float]]) -> None:
    assert names("a.png", "b.png", "c.png", "d.png", lib=cells)["lib"] == values


def test_a_column_of_single_names_is_none() -> None:
    assert "part" not in names("a.png", "b.png", "c.png", "d.png", part=["p", "q", "r", "s"])


def test_a_column_cannot_take_the_name_of_another_feature() -> None:
    assert set(names("a.png", "b.png", size=["1", "2"])) == {"order", "column size"}


def test_pictures_show_format_size_brightness_and_border(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = []
    for n in range(4):
        pixels = rng.integers(0, 200, (20 + n % 2, 30), np.uint8)
        pixels[0, 0] = 255 if n < 2 else 0
        paths.append(tmp_path / f"{n}.{'bmp' if n == 3 else 'png'}")
        Image.fromarray(pixels).save(paths[-1])
    _, traits = glance(paths, Silent())
    found = {feature.name: feature for feature in features(traits, [path.name for path in paths], {})}
    assert list(found) == ["format", "size", "brightness", "border", "order"]
    assert found["format"].columns == ("format BMP", "format PNG")
    assert found["format"].values[:, 0].tolist() == [0, 0, 0, 1]
    corner = found["border"].columns.index("gray of the top left corner")
    assert found["border"].values[:, corner].tolist() == [255, 255, 0, 0]
    assert [found[name].visible for name in found] == [False, True, True, True, False]
    assert all(feature.values.shape == (4, len(feature.columns)) for feature in found.values())
    assert all(np.isfinite(feature.values).all() for feature in found.values())
