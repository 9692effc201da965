"""What a picture is apart from content: measured on the original, whatever its size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from fdsearch.errors import DataError
from fdsearch.progress import Silent
from fdsearch.serving.traits import TRAITS, measure, measure_files


def textured(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8))
    return np.asarray(noise.filter(ImageFilter.GaussianBlur(1)))


def test_numbers_are_those_of_the_pixels() -> None:
    gray = textured(30, 50)
    found = dict(zip(TRAITS, measure(gray), strict=True))
    assert found["mean_gray"] == pytest.approx(gray.mean()) and found["deviation"] == pytest.approx(gray.std())
    assert (found["width"], found["height"]) == (50, 30)
    gray = np.array([[0, 5, 6, 249], [250, 255, 128, 3]], np.uint8)
    found = dict(zip(TRAITS, measure(gray), strict=True))
    assert (found["black"], found["white"]) == (3 / 8, 2 / 8)


def test_focus_falls_with_blur_and_not_with_size_or_gain() -> None:
    small, large = textured(200, 300), textured(900, 700, seed=1)
    focus = list(TRAITS).index("focus")
    sharp = measure(small)[focus]
    assert measure(large)[focus] == pytest.approx(sharp, abs=0.1)
    assert measure((small // 2 + 60).astype(np.uint8))[focus] == pytest.approx(sharp, abs=0.1)
    blurred = np.asarray(Image.fromarray(small).filter(ImageFilter.GaussianBlur(1)))
    assert measure(blurred)[focus] < sharp - 0.3


def test_bands_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    gray = textured(300, 64)
    whole = measure(gray)
    for band in (1, 7, 299, 1000):
        monkeypatch.setattr("fdsearch.serving.traits._BAND", band)
        np.testing.assert_allclose(measure(gray), whole, rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (3, 3), (4, 4)])
def test_the_smallest_pictures_have_traits(shape: tuple[int, int]) -> None:
    assert np.isfinite(measure(textured(*shape))).all()


def test_every_broken_picture_is_named(tmp_path: Path) -> None:
    Image.fromarray(textured(8, 9)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"x")
    assert measure_files([tmp_path / "a.png"], Silent()).shape == (1, 7)
    assert measure_files([], Silent()).shape == (0, 7)
    with pytest.raises(DataError) as caught:
        measure_files([tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png"], Silent())
    assert [Path(fault.where).name for fault in caught.value.faults] == ["b.png", "c.png"]
