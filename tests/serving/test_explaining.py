"""The map points at what the answer hangs on, and lies where the model looked."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fdsearch.resizing import RESIZERS, field_of_view, resize
from fdsearch.serving.contract import Contract
from fdsearch.serving.explaining import CELLS, evidence, hidden

SIZE = 96


def picture(row: int, column: int) -> NDArray[np.uint8]:
    """A noisy square with a bright spot."""
    square = np.random.default_rng(0).integers(90, 110, (SIZE, SIZE, 1), np.uint8)
    square[row - 3 : row + 3, column - 3 : column + 3] = 255
    return square


def answers(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Three classes; the brighter the brightest pixel, the more probably ``crack``."""
    brightest = pictures.reshape(len(pictures), -1).max(axis=1) / 255
    return np.stack([0.02 * np.ones_like(brightest), 0.9 * brightest**4, 0.98 - 0.9 * brightest**4], axis=1)


@pytest.mark.parametrize(("row", "column"), [(20, 70), (48, 48), (90, 5), (44, 52)])
def test_the_hottest_place_is_the_one_that_decides(row: int, column: int, contract: Contract) -> None:
    square = picture(row, column)
    after = np.concatenate([answers(batch) for batch in hidden(square, 7)])
    found = evidence(answers(square[np.newaxis])[0], after, 1, contract)
    top, left = np.unravel_index(found.cells.argmax(), found.cells.shape)
    assert abs((top + 0.5) * SIZE / CELLS - row) <= SIZE / CELLS
    assert abs((left + 0.5) * SIZE / CELLS - column) <= SIZE / CELLS
    assert found.of == "defect"
    assert found.hidden < 0.25 < 0.9 < found.probability


def test_every_pixel_is_hidden_once_and_far_ones_never() -> None:
    flat = np.zeros((SIZE, SIZE, 1), np.uint8)
    flat[::2] = 255  # what blurring changes everywhere
    pictures = np.concatenate(list(hidden(flat, 10)))
    assert pictures.shape == (CELLS * CELLS, SIZE, SIZE, 1)
    changed = np.abs(pictures.astype(int) - flat) > 40
    assert changed.any(axis=0).all()
    assert changed.mean(axis=(1, 2, 3)).max() < 9 / CELLS**2


def test_without_classes_that_pass_the_label_is_explained(contract: Contract) -> None:
    nothing_passes = contract.model_copy(update={"pass_classes": ()})
    square = picture(20, 70)
    after = np.concatenate([answers(batch) for batch in hidden(square, 50)])
    found = evidence(answers(square[np.newaxis])[0], after, 1, nothing_passes)
    assert (found.of, found.probability) == ("crack", pytest.approx(0.9))


def test_certainty_stays_a_number(contract: Contract) -> None:
    found = evidence([0, 1, 0], np.tile([0.0, 0.0, 1.0], (CELLS * CELLS, 1)), 1, contract)
    assert np.isfinite(found.cells).all()


@pytest.mark.parametrize("policy", sorted(RESIZERS))
@pytest.mark.parametrize("shape", [(60, 120), (120, 60), (80, 80)])
def test_the_map_lies_over_what_the_square_shows(policy: str, shape: tuple[int, int]) -> None:
    gray = np.zeros(shape, np.uint8)
    row, column = shape[0] // 2 + 10, shape[1] // 2 - 8
    gray[row - 3 : row + 4, column - 3 : column + 4] = 255
    seen = resize(gray, SIZE, policy).astype(float)
    down, along = (np.average(np.arange(SIZE) + 0.5, weights=seen.sum(axis=axis)) / SIZE for axis in (1, 0))
    left, top, right, bottom = field_of_view(shape[1], shape[0], policy)
    assert top + down * (bottom - top) == pytest.approx(row + 0.5, abs=1)
    assert left + along * (right - left) == pytest.approx(column + 0.5, abs=1)
