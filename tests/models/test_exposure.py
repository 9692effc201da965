"""What a model does about exposure, against numpy; that gain and offset of the camera do not reach it."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from fdsearch.models.builders import build_model
from fdsearch.models.exposure import FLOOR, SHARE, TYPICAL_DEVIATION, TYPICAL_MEAN
from fdsearch.models.frame import picture_input
from fdsearch.models.graph import cut_points

SIZE = 32
METHODS = ("standardise", "local_contrast")


def prepared(exposure, pictures, scale=(1.0,), offset=(0.0,)):
    inputs, x = picture_input((*pictures.shape[1:3], 1), scale, offset, exposure)
    return np.asarray(keras.Model(inputs, x)(pictures), np.float64)


def pictures(deviation=25.0):
    generator = np.random.default_rng(0)
    smooth = np.linspace(-40, 40, SIZE)[None, :, None, None]
    return np.clip(generator.normal(110, deviation, (3, SIZE, SIZE, 1)) + smooth, 0, 255).astype(np.uint8)


def window_means(values, window):
    """Of the pixels of each window that are in the picture."""
    half, found = window // 2, np.empty_like(values)
    for row in range(values.shape[1]):
        for column in range(values.shape[2]):
            part = values[:, max(0, row - half) : row + half + 1, max(0, column - half) : column + half + 1]
            found[:, row, column] = part.mean(axis=(1, 2))
    return found


def evened_by_numpy(exposure, values):
    gray = values.astype(np.float64) / 255
    if exposure == "standardise":
        variance = gray.var(axis=(1, 2), keepdims=True)
        return (gray - gray.mean(axis=(1, 2), keepdims=True)) / np.sqrt(variance + FLOOR)
    window = SIZE // SHARE | 1
    difference = gray - window_means(gray, window)
    deviation = np.sqrt(window_means(difference**2, window) + FLOOR)
    return difference / np.maximum(deviation, deviation.mean(axis=(1, 2), keepdims=True))


@pytest.mark.parametrize("exposure", METHODS)
def test_it_is_what_numpy_makes_of_it(exposure):
    expected = TYPICAL_MEAN + TYPICAL_DEVIATION * evened_by_numpy(exposure, pictures())
    np.testing.assert_allclose(prepared(exposure, pictures()), expected, rtol=1e-4, atol=1e-2)


def test_a_standardised_picture_lies_where_photographs_do():
    values = prepared("standardise", pictures(), scale=(0.5, 0.5, 0.5), offset=(-1.0, 0.0, 1.0))
    assert values.mean(axis=(1, 2)) == pytest.approx(
        np.tile(TYPICAL_MEAN / 2 + np.array([-1.0, 0, 1]), (3, 1)), abs=1e-2
    )
    assert values.std(axis=(1, 2)) == pytest.approx(np.full((3, 3), TYPICAL_DEVIATION / 2), rel=1e-2)


@pytest.mark.parametrize("exposure", METHODS)
@pytest.mark.parametrize(("gain", "offset"), [(0.5, 0), (1.0, 60), (0.5, 90)])
def test_gain_and_offset_do_not_matter(exposure, gain, offset):
    even = np.minimum(pictures(), 190) // 2 * 2  # half of it loses nothing
    other = even * gain + offset
    assert other.max() <= 255
    before, after = (prepared(exposure, each.astype(np.uint8)) for each in (even, other))
    # The floor under a variance counts for more where gray values are close together.
    np.testing.assert_allclose(after, before, rtol=0, atol=0.02 if gain == 1 else 0.06 * TYPICAL_DEVIATION)


@pytest.mark.parametrize("exposure", METHODS)
@pytest.mark.parametrize("gray", [0, 100, 255])
def test_an_empty_picture_stays_empty(exposure, gray):
    values = prepared(exposure, np.full((1, SIZE, SIZE, 1), gray, np.uint8))
    np.testing.assert_allclose(values, TYPICAL_MEAN, atol=0.01)


def test_noise_of_a_sensor_is_not_blown_up_to_a_picture():
    noise = np.random.default_rng(1).integers(99, 102, (1, SIZE, SIZE, 1)).astype(np.uint8)
    assert prepared("standardise", noise).std() < 0.5 * TYPICAL_DEVIATION


def test_local_contrast_takes_a_slow_change_of_light_away():
    light = np.linspace(0, 120, SIZE)[None, None, :, None]
    lit = np.clip(pictures(deviation=10.0) * 0.5 + light, 0, 255).astype(np.uint8)
    by_column = [prepared(method, lit).mean(axis=1).std() for method in METHODS]
    assert by_column[1] < 0.5 * by_column[0]


@pytest.mark.parametrize("exposure", METHODS)
@pytest.mark.parametrize("name", ["piston_cnn", "mobilenet_v3_small"])
def test_the_first_cut_is_behind_it(exposure, name, smallest):
    plain, model = (build_model(smallest(name, exposure=each), 3) for each in ("none", exposure))
    assert cut_points(model) == cut_points(plain)
    assert cut_points(model)[0].name == "preprocessing"
    assert [weight.path for weight in model.weights] == [weight.path for weight in plain.weights]
