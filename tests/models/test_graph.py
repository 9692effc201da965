"""Cuts lose nothing, and phases train what they say."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from fdsearch.models.blocks import blocks
from fdsearch.models.builders import build_model
from fdsearch.models.graph import backbone_layers, cut_points, set_trainable, split
from fdsearch.models.topology import all_steps, name_stably
from fdsearch.trial import Phase

ARCHITECTURES = [
    "s_cnn_03",
    "piston_cnn",
    "efficientnet_lite0",
    "inception_v3",
    "mobilenet_v3_small",
    pytest.param("convnext_tiny", marks=pytest.mark.slow),
    pytest.param("efficientnet_v2s", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_both_halves_together_are_the_model(name, built, pictures_for):
    model = built(name)
    pictures = pictures_for(model)
    expected = model(pictures)
    cuts = cut_points(model)
    starts = [block.start for block in blocks(model)]
    for cut in [starts[len(starts) // 2], "features"]:
        prefix, tail = split(model, cut)
        activation = prefix(pictures)
        np.testing.assert_allclose(tail(activation), expected, rtol=1e-5, atol=1e-5)
        shape = next(found.shape for found in cuts if found.name == cut)
        assert tuple(activation.shape[1:]) == shape


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_blocks_are_the_backbone_in_order(name, built):
    model = built(name)
    found = [layer for block in blocks(model) for layer in block.layers]
    assert sorted(layer.name for layer in found) == sorted(layer.name for layer in backbone_layers(model))
    assert blocks(model)[0].start == "preprocessing"
    names = [cut.name for cut in cut_points(model)]
    assert [block.start for block in blocks(model)] == [
        name for name in names if name in {b.start for b in blocks(model)}
    ]


@pytest.mark.parametrize(
    ("name", "n_blocks"),
    # Lite0: stem, 16 blocks, top. InceptionV3: five convolutions, eleven modules. MobileNetV3: stem, eleven, top.
    [("efficientnet_lite0", 18), ("inception_v3", 16), ("mobilenet_v3_small", 13), ("s_cnn_03", 5), ("piston_cnn", 2)],
)
def test_blocks_are_those_people_count(name, n_blocks, built):
    assert len(blocks(built(name))) == n_blocks


def test_layers_are_counted_from_the_head_as_the_write_up_does(built):
    stock = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(75, 75, 3))
    ours = backbone_layers(built("inception_v3"))
    kinds = [type(layer) for layer in stock.layers if not isinstance(layer, layers.InputLayer)]
    assert [type(layer) for layer in ours] == kinds


def test_a_cut_says_what_caching_costs(built):
    cut = next(cut for cut in cut_points(built("efficientnet_lite0")) if cut.name == "block14_add")
    assert (cut.shape, cut.bytes_per_picture_float16) == ((1, 1, 192), 384)


def test_no_cut_inside_a_residual_block(built):
    names = {cut.name for cut in cut_points(built("efficientnet_lite0"))}
    assert {"block13_add", "block14_add"} <= names
    assert not any(name.startswith("block14_") and name != "block14_add" for name in names)


def test_a_wrong_cut_is_refused_with_the_right_ones(built):
    with pytest.raises(ValueError, match="piston_cnn cannot be cut at 'block3'; cuts: preprocessing, conv_1"):
        split(built("piston_cnn"), "block3")


def test_a_model_that_was_split_can_still_be_saved(built, pictures_for, tmp_path):
    model = built("mobilenet_v3_small")
    split(model, blocks(model)[5].start)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(pictures_for(model)), model(pictures_for(model)))
    assert cut_points(loaded) == cut_points(model)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 100), min_size=1, max_size=3), min_size=1, max_size=8))
def test_cuts_of_any_graph_are_the_steps_no_path_avoids(wiring):
    model = _random_graph(wiring)
    steps = all_steps(model)
    for position, step in enumerate(steps[:-1]):
        assert step.is_cut == (not _connected_without(steps, position)), step.name


def _random_graph(wiring):
    """A graph whose k-th layer adds up some of the tensors before it; the last adds up what nobody used."""
    tensors, used = [keras.Input((2,))], set()
    for chosen in wiring:
        parents = sorted({index % len(tensors) for index in chosen})
        used |= set(parents)
        inputs = [tensors[index] for index in parents]
        tensors.append(layers.Add()(inputs) if len(inputs) > 1 else layers.ReLU()(inputs[0]))
    loose = [tensor for index, tensor in enumerate(tensors) if index not in used]
    return keras.Model(tensors[0], layers.Add()([*loose, *loose]) if len(loose) > 1 else layers.ReLU()(loose[0]))


def _connected_without(steps, removed):
    """Whether a path leads from the input to the output past a step."""
    if removed == 0:
        return False
    reached = {0}
    for position, step in enumerate(steps):
        if position != removed and reached & set(step.parents):
            reached.add(position)
    return len(steps) - 1 in reached


class TestPhases:
    @pytest.fixture(params=["efficientnet_lite0", "inception_v3", "mobilenet_v3_small", "s_cnn_03"])
    def model(self, request, built):
        return built(request.param)

    @pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.75, 1.0])
    def test_a_share_opens_whole_blocks_from_the_head(self, model, share):
        cut = set_trainable(model, Phase("tail", unfreeze=share), "frozen")
        found = blocks(model)
        n_opened = max(1, round(share * len(found))) if share else 0
        assert cut == (found[len(found) - n_opened].start if n_opened else "features")
        flags = [[layer.trainable for layer in block.layers if _has_kernel(layer)] for block in found]
        assert not any(flag for block in flags[: len(found) - n_opened] for flag in block)
        assert all(flag for block in flags[len(found) - n_opened :] for flag in block)
        assert model.get_layer("logits").trainable

    @pytest.mark.parametrize("n_layers", [1, 10, 30, 10_000])
    def test_a_number_of_layers_opens_just_those(self, model, n_layers):
        cut = set_trainable(model, Phase("deep", unfreeze_layers=n_layers), "trained")
        opened = [layer.trainable for layer in backbone_layers(model)]
        n_closed = max(0, len(opened) - n_layers)
        assert opened == [False] * n_closed + [True] * (len(opened) - n_closed)
        _, tail = split(model, cut)
        assert len(tail.trainable_variables) == len(model.trainable_variables)

    @pytest.mark.parametrize(
        "phase", [Phase("probe"), Phase("head"), Phase("deep", 0.4), Phase("deep", unfreeze_layers=7)]
    )
    def test_nothing_before_the_cut_is_trained(self, model, phase):
        prefix, tail = split(model, set_trainable(model, phase, "frozen"))
        assert not prefix.trainable_variables
        assert {id(variable) for variable in tail.trainable_variables} == {id(v) for v in model.trainable_variables}

    def test_phases_do_not_add_up(self, model):
        set_trainable(model, Phase("full", 1.0), "trained")
        assert set_trainable(model, Phase("head"), "frozen") == "features"
        assert len(model.trainable_variables) == 2


def test_batch_normalisation_keeps_its_statistics_unless_it_is_to_be_trained(smallest):
    model = build_model(smallest("efficientnet_lite0"), 3)
    pictures = np.random.default_rng(1).integers(0, 256, (4, 32, 32, 1), dtype=np.uint8)
    moving = model.get_layer("top_bn").moving_mean
    before = np.asarray(moving)
    set_trainable(model, Phase("full", 1.0), "frozen")
    model(pictures, training=True)
    np.testing.assert_array_equal(moving, before)
    assert not any("_bn" in variable.path for variable in model.trainable_variables)
    set_trainable(model, Phase("full", 1.0), "trained")
    model(pictures, training=True)
    assert not np.array_equal(moving, before)


def test_names_that_keras_made_up_are_numbered_anew_around_the_given_ones():
    keras.layers.ReLU()  # Keras has counted up before
    pictures = keras.Input((4,), name="pictures")
    x = layers.ReLU()(pictures)
    x = layers.ReLU(name="gate")(x)
    model = keras.Model(pictures, layers.Dense(2)(layers.ReLU()(x)))
    name_stably(model)
    assert [layer.name for layer in model.layers] == ["pictures", "re_lu", "gate", "re_lu_1", "dense"]


def _has_kernel(layer):
    return any(len(weight.shape) > 1 for weight in layer.weights)
