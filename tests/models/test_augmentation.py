"""Variations depend on the seed alone, stay within their limits, and change nothing at strength 0."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from fdsearch.errors import ConfigError
from fdsearch.models.augmentation import N_DRAWS, POLICIES, draw_variations
from fdsearch.models.augmentation import augment as augment_drawn
from fdsearch.parameters import AUGMENTATION_POLICIES

PICTURES = np.random.default_rng(0).integers(0, 256, (4, 24, 32, 1), dtype=np.uint8)
HALVES = (slice(0, 4), slice(4, 8))


def augment(pictures, seed, strength, policy="mild"):
    return augment_drawn(pictures, draw_variations(len(pictures), seed, 0), strength, policy)


@pytest.fixture(params=AUGMENTATION_POLICIES)
def policy(request):
    return request.param


def test_the_policies_are_those_a_trial_may_name():
    assert set(POLICIES) == set(AUGMENTATION_POLICIES)


def test_strength_0_changes_nothing(policy):
    found = augment(PICTURES, 1, 0.0, policy)
    assert found.dtype == "float32"
    np.testing.assert_array_equal(found, PICTURES)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), strength=st.floats(0.01, 1.0), name=st.sampled_from(AUGMENTATION_POLICIES))
def test_values_are_whole_gray_values(seed, strength, name):
    found = np.asarray(augment(PICTURES, seed, strength, name))
    assert found.shape == PICTURES.shape
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.clip(np.round(found), 0, 255))


def test_one_seed_gives_one_result(policy):
    first, again, other = (np.asarray(augment(PICTURES, seed, 0.7, policy)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_each_picture_is_varied_on_its_own(policy):
    same = np.repeat(PICTURES[:1], 8, axis=0)
    found = np.asarray(augment(same, 5, 1.0, policy))
    assert len({picture.tobytes() for picture in found}) == 8


def test_kinds_of_variation_are_drawn_independently():
    """Contrast and brightness of many copies must not go together, as they would from one stream."""
    ramp = np.tile(np.linspace(96, 160, 16, dtype=np.float32)[:, None], (400, 1, 16))[..., None]
    found = np.asarray(augment(ramp, 0, 1.0, "mild"))
    correlation = np.corrcoef(found.mean(axis=(1, 2, 3)), found.std(axis=(1, 2, 3)))[0, 1]
    assert abs(correlation) < 0.3


def test_a_traced_step_agrees_with_the_untraced(policy):
    draws = draw_variations(4, 1, 0)
    signature = [tf.TensorSpec((None, 24, 32, 1), tf.uint8), tf.TensorSpec((None, N_DRAWS), tf.float32)]
    traced = tf.function(lambda batch, drawn: augment_drawn(batch, drawn, 0.5, policy), input_signature=signature)
    # The compiled arithmetic may round a half the other way.
    np.testing.assert_allclose(traced(PICTURES, draws), augment_drawn(PICTURES, draws, 0.5, policy), atol=1.0)


def test_a_picture_s_variation_does_not_depend_on_its_batch(policy):
    draws = draw_variations(4, 1, 2)
    together = np.asarray(augment_drawn(PICTURES, draws, 0.7, policy))
    for row in (2, 0):
        np.testing.assert_array_equal(
            augment_drawn(PICTURES[row : row + 1], draws[row : row + 1], 0.7, policy)[0], together[row]
        )


def test_views_differ_and_noise_is_not_shared(policy):
    flat = np.full((6, 32, 32, 1), 128, np.uint8)
    views = [np.asarray(augment_drawn(PICTURES, draw_variations(4, 1, view), 1.0, policy)) for view in (0, 1)]
    assert not np.array_equal(*views)
    noisy = np.asarray(augment(flat, 3, 1.0, "mild"))
    noise = (noisy - noisy.mean(axis=(1, 2, 3), keepdims=True)).reshape(6, -1)
    assert np.abs(np.corrcoef(noise) - np.eye(6)).max() < 0.2


def test_uint8_and_float_pictures_are_varied_alike(policy):
    np.testing.assert_array_equal(
        augment(PICTURES, 9, 0.5, policy), augment(PICTURES.astype(np.float32), 9, 0.5, policy)
    )


def test_flips_are_mirror_images_of_both_axes():
    corners = np.zeros((400, 8, 8, 1), np.uint8)
    corners[:, :4, :4] = 255
    found = np.asarray(augment(corners, 0, 1.0, "flips"))
    bright = [(found[:, rows, columns] > 128).all(axis=(1, 2, 3)).mean() for rows in HALVES for columns in HALVES]
    assert sum(bright) == 1.0 and all(0.15 < share < 0.35 for share in bright)
    half = np.asarray(augment(corners, 0, 0.5, "flips"))
    assert 0.45 < (half[:, :4, :4] > 128).all(axis=(1, 2, 3)).mean() < 0.68, "each axis with probability 1/4"


def test_flips_vary_exposure_and_add_no_noise():
    gray = np.full((200, 8, 8, 1), 100, np.uint8)
    found = np.asarray(augment(gray, 4, 1.0, "flips"))
    assert np.ptp(found, axis=(1, 2, 3)).max() == 0.0
    levels = found[:, 0, 0, 0]
    assert 50 < levels.min() < 85 and 115 < levels.max() < 150


def test_geometry_leaves_gray_values_alone():
    flat = np.full((6, 16, 16, 1), 77, np.uint8)
    np.testing.assert_array_equal(augment(flat, 2, 1.0, "geometric"), flat)


def test_geometric_flips_half_of_the_pictures_at_full_strength():
    halves = np.zeros((400, 16, 16, 1), np.uint8)
    halves[:, :, 8:] = 255
    found = np.asarray(augment(halves, 0, 1.0, "geometric"))
    mirrored = found[:, :, :8].mean(axis=(1, 2, 3)) > found[:, :, 8:].mean(axis=(1, 2, 3))
    assert 0.4 < mirrored.mean() < 0.6


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_mild_moves_a_spot_no_further_than_its_limits(strength):
    spot = np.zeros((64, 65, 65, 1), np.float32)
    spot[:, 31:34, 31:34] = 255
    found = np.asarray(augment(spot, 11, strength, "mild"))
    found = np.where(found > 128, found, 0)[..., 0]
    places = np.arange(65)
    weight = found.sum(axis=(1, 2))
    rows = (found.sum(axis=2) * places).sum(axis=1) / weight
    columns = (found.sum(axis=1) * places).sum(axis=1) / weight
    furthest = max(abs(rows - 32).max(), abs(columns - 32).max())
    assert 0.2 * strength < furthest < POLICIES["mild"].shift * strength * 65 + 1.0


def test_brightness_grows_with_strength():
    gray = np.full((200, 8, 8, 1), 128, np.uint8)
    spread = [np.asarray(augment(gray, 4, strength, "mild")).mean(axis=(1, 2, 3)).std() for strength in (0.1, 0.5, 1.0)]
    assert 0 < spread[0] < spread[1] < spread[2] < 30


def test_an_unknown_policy_is_refused():
    with pytest.raises(ConfigError, match="did you mean mild"):
        augment(PICTURES, 0, 1.0, "mildly")
