"""Poolings against numpy, and one pass over the pictures that serves them all."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from fdsearch.models.blocks import blocks
from fdsearch.models.builders import build_model
from fdsearch.models.frame import COSINE_SCALE, pooled
from fdsearch.models.graph import backbone_layers, cut_points, set_trainable, split
from fdsearch.models.pools import pools
from fdsearch.trial import Phase

POOLINGS = ("avg_max", "avg", "max", "gem")


def pooled_by_keras(maps, pooling):
    inputs = [keras.Input(each.shape[1:]) for each in maps]
    return keras.Model(inputs, pooled(inputs, pooling))(maps)


def maps_of(*shapes, scale=1.0):
    generator = np.random.default_rng(0)
    return [generator.normal(0.5, 1.0, shape).astype(np.float32) * np.float32(scale) for shape in shapes]


def generalised_mean(maps):
    return np.cbrt((np.maximum(maps, 0.0).astype(np.float64) ** 3).mean(axis=(1, 2)))


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e4])
def test_gem_is_the_third_root_of_the_mean_of_cubes(scale):
    [maps] = maps_of((3, 5, 7, 4), scale=scale)
    maps[0, :, :, 1] = -scale  # nothing above 0
    found = np.asarray(pooled_by_keras([maps], "gem"))
    np.testing.assert_allclose(found, generalised_mean(maps), rtol=2e-4, atol=1e-12)
    largest = np.maximum(maps, 0).max(axis=(1, 2))
    assert (found <= largest * (1 + 1e-5)).all()


def test_gem_has_a_gradient_where_maps_are_empty():
    import tensorflow as tf

    maps = tf.Variable(np.zeros((2, 3, 3, 2), np.float32))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(pooled_by_keras([maps.value()], "gem"))
    assert np.isfinite(tape.gradient(total, maps)).all()


def test_gem_of_large_maps_stays_within_half_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float16")
    try:
        maps = maps_of((2, 6, 6, 3), scale=1000.0)
        found = np.asarray(pooled_by_keras(maps, "gem"), np.float64)
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_allclose(found, generalised_mean(maps[0]), rtol=1e-2)


def test_several_maps_come_kind_by_kind():
    maps = maps_of((2, 6, 6, 3), (2, 3, 3, 5))
    expected = [each.mean(axis=(1, 2)) for each in maps] + [each.max(axis=(1, 2)) for each in maps]
    np.testing.assert_allclose(pooled_by_keras(maps, "avg_max"), np.concatenate(expected, axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "layers", "head"),
    [
        ("mobilenet_v3_small", "last", "linear"),
        ("mobilenet_v3_small", "multi", "cosine"),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (
                ("mobilenet_v3_small", "last", "cosine"),
                ("mobilenet_v3_small", "multi", "linear"),
                ("efficientnet_lite0", "multi", "cosine"),
                ("inception_v3", "multi", "linear"),
                ("convnext_tiny", "multi", "linear"),
                ("efficientnet_v2s", "multi", "linear"),
                ("vit", "last", "cosine"),
            )
        ),
    ],
)
def test_one_pass_gives_the_features_of_every_pooling(name, layers, head, smallest):
    stored = None
    for pooling in POOLINGS:
        model = build_model(smallest(name, pooling=pooling, feature_layers=layers, head=head), 3)
        found = pools(model)
        if stored is None:
            pictures = np.random.default_rng(0).integers(0, 256, (3, *model.input_shape[1:]), np.uint8)
            stored, weights = np.asarray(found.model(pictures)), model.get_weights()[:-2]
        model.set_weights([*weights, *model.get_weights()[-2:]])
        features = keras.Model(model.inputs[0], model.get_layer("features").output)(pictures)
        np.testing.assert_allclose(found.features(stored), features, rtol=2e-4, atol=2e-5)
        if head == "cosine" and pooling != "gem":  # that of a random network's maps is next to nothing
            np.testing.assert_allclose(np.linalg.norm(features, axis=1), COSINE_SCALE, rtol=1e-5)
    assert found.model.name == ("pools" if layers == "last" else "pools_4")


@pytest.mark.parametrize("name", ["piston_cnn", "s_cnn_02", "cct"])
@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_features_that_are_no_pooled_maps_are_left_alone(name, head, smallest):
    assert pools(build_model(smallest(name, head=head), 3)) is None


def test_features_pooled_from_two_maps_in_two_ways_are_left_alone():
    pictures = keras.Input((8, 8, 1), name="pictures")
    maps = [keras.layers.Conv2D(4, 3)(pictures) for _ in range(2)]
    kinds = [keras.layers.GlobalAveragePooling2D()(maps[0]), keras.layers.GlobalMaxPooling2D()(maps[1])]
    assert pools(keras.Model(pictures, keras.layers.Concatenate(name="features")(kinds))) is None


def widths(model):
    return [tensor.shape[-1] for tensor in model.get_layer("features").input]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # The ends of three stages of one resolution and number of channels, and the last maps.
        ("efficientnet_lite0", [112, 192, 320, 1280]),
        ("mobilenet_v3_small", [40, 48, 96, 576]),
        pytest.param("inception_v3", [288, 768, 1280, 2048], marks=pytest.mark.slow),
        pytest.param("convnext_tiny", [96, 192, 384, 768], marks=pytest.mark.slow),
        pytest.param("efficientnet_v2s", [128, 160, 256, 1280], marks=pytest.mark.slow),
    ],
)
def test_several_stages_end_where_channels_change(name, expected, smallest):
    assert widths(build_model(smallest(name, feature_layers="multi"), 3)) == expected


@pytest.fixture(scope="module")
def one_and_several(smallest):
    """The same backbone with plain features, and with every option that puts something behind or before it."""
    name = "mobilenet_v3_small"
    several = {"feature_layers": "multi", "pooling": "gem", "head": "cosine", "exposure": "local_contrast"}
    return build_model(smallest(name), 3), build_model(smallest(name, **several), 3)


def test_several_stages_leave_the_backbone_and_its_blocks_as_they_are(one_and_several):
    layers, described = zip(
        *(
            (
                [layer.name for layer in backbone_layers(model)],
                [(block.start, [layer.name for layer in block.layers]) for block in blocks(model)],
            )
            for model in one_and_several
        ),
        strict=True,
    )
    assert layers[0] == layers[1]
    assert described[0] == described[1]


@pytest.mark.parametrize("batch_norm", ["frozen", "trained"])
@pytest.mark.parametrize(
    "phase",
    [Phase("head"), Phase("tail", 0.1), Phase("deep", 0.6), Phase("deep", unfreeze_layers=30), Phase("f", 1.0)],
)
def test_a_phase_opens_the_same_layers_with_several_stages(one_and_several, phase, batch_norm):
    """Maps of earlier stages that are pooled take cuts away."""
    plain, several = one_and_several
    cuts = [set_trainable(model, phase, batch_norm) for model in one_and_several]
    open_layers = [{v.path for v in model.trainable_variables} for model in one_and_several]
    assert open_layers[0] == open_layers[1]
    order = [cut.name for cut in cut_points(plain)]
    kept = [cut.name for cut in cut_points(several)]
    # The deepest cut that is left at or before the one without several stages.
    assert cuts[1] == max((name for name in kept if name in order[: order.index(cuts[0]) + 1]), key=order.index)
    prefix, tail = split(several, cuts[1])
    assert not prefix.trainable_variables
    assert {id(v) for v in tail.trainable_variables} == {id(v) for v in several.trainable_variables}
