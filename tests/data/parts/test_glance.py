"""Small copies at one scale, and what pictures are apart from their content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fdsearch.data.parts.glance import MOST_ENLARGED, MOST_LARGER, glance
from fdsearch.errors import DataError
from fdsearch.progress import Silent


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_one_factor_for_the_whole_set_so_that_a_crop_keeps_its_scale(tmp_path: Path) -> None:
    shapes = [(400, 480), (480, 300), (480, 480), (200, 100)]
    paths = [save(tmp_path / f"{n}.png", np.zeros(shape, np.uint8)) for n, shape in enumerate(shapes)]
    small, traits = glance(paths, Silent(), side=240)
    assert [copy.shape for copy in small] == [(200, 240), (240, 150), (240, 240), (100, 50)]
    assert [(each.height, each.width) for each in traits] == shapes
    assert all(copy.dtype == np.uint8 for copy in small)


def test_small_pictures_are_enlarged_and_large_ones_reduced_within_bounds(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{n}.png", np.zeros((20, 20), np.uint8)) for n in range(3)]
    paths.append(save(tmp_path / "long.png", np.zeros((4, 4000), np.uint8)))
    small, _ = glance(paths, Silent(), side=240)
    assert small[0].shape == (20 * MOST_ENLARGED, 20 * MOST_ENLARGED)
    assert max(small[3].shape) == MOST_LARGER * 240 and min(small[3].shape) >= 1


def test_traits(tmp_path: Path) -> None:
    pixels = np.full((4, 5), 100, np.uint8)
    pixels[0], pixels[-1, -1] = 0, 255
    (small,), (traits,) = glance([save(tmp_path / "a.png", pixels)], Silent())
    assert traits.format == "PNG" and traits.n_bytes == (tmp_path / "a.png").stat().st_size
    assert small.shape == (8, 10)
    mean, deviation, *quantiles = traits.brightness
    assert mean == pytest.approx(pixels.mean()) and deviation == pytest.approx(pixels.std())
    assert quantiles == [0, 100, 100]
    assert traits.border[:4] == (0, 0, 0, 0)  # the first row: mean, deviation, least, largest
    assert traits.border[4:8] == pytest.approx((131, pixels[-1].std(), 100, 255))
    assert traits.border[-4:] == (0, 0, 100, 255)


def test_pictures_that_went_bad_are_all_listed(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{n}.png", np.zeros((9, 9), np.uint8)) for n in range(3)]
    paths[0].write_bytes(b"")
    paths[2].unlink()
    with pytest.raises(DataError) as caught:
        glance(paths, Silent())
    assert [Path(fault.where).name for fault in caught.value.faults] == ["0.png", "2.png"]
    assert glance([], Silent()) == ([], [])
