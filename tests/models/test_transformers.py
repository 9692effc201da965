"""The two small transformers: their sizes, any picture size, and that places matter to them."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from fdsearch.models.builders import build_model, count_parameters
from fdsearch.models.graph import macs, set_trainable, split
from fdsearch.parameters import OWN_SIZES
from fdsearch.trial import Phase, TrialConfig

BOTH = ("cct", "vit")


def block(width, expansion):
    """Two normalisations, four projections of attention and two of the perceptron, with their biases."""
    hidden = expansion * width
    return 4 * width + 4 * (width * width + width) + (width + 1) * hidden + (hidden + 1) * width


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # Convolutions, projection with a bias for each of 256 places, blocks, normalisation, weights of tokens, head.
        ("cct", 9 * (32 + 32 * 64 + 64 * 128) + 128 * 128 + 256 * 128 + 4 * block(128, 1) + 256 + 129 + 129 * 6),
        ("vit", 64 * 128 + 256 * 128 + 6 * block(128, 2) + 256 + 129 * 6),
    ],
)
def test_parameters(name, parameters):
    assert count_parameters(name, OWN_SIZES[name]) == parameters


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("size", [16, 21, 40])
def test_any_size_of_picture_is_taken(name, size, smallest):
    model = build_model(smallest(name, image_size=size), 3)
    logits = model(np.random.default_rng(0).integers(0, 256, (2, size, size, 1), dtype=np.uint8))
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("name", BOTH)
def test_places_matter(name, smallest):
    """Without its embeddings the plain transformer would answer the same whatever the order of its patches."""
    model = build_model(smallest(name, image_size=32), 3)
    picture = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 1), dtype=np.uint8)
    moved = np.roll(picture, 8, axis=1)
    features = keras.Model(model.inputs[0], model.get_layer("features").output)
    assert np.abs(features(picture) - features(moved)).max() > 1e-5
    bias = model.get_layer("embedding").bias
    assert tuple(bias.shape) == (16, 128)
    if name == "vit":
        bias.assign(np.zeros(bias.shape))
        np.testing.assert_allclose(features(picture), features(moved), atol=1e-4)


def test_an_embedding_of_places_costs_no_multiplication(smallest):
    model = build_model(smallest("vit"), 3)  # 4 tokens
    tokens, width = 4, 128
    in_blocks = 6 * tokens * (4 * width**2 + 2 * 2 * width**2)
    assert macs(model) == tokens * 64 * width + in_blocks + width * 3


@pytest.mark.parametrize("name", BOTH)
def test_a_share_opens_the_last_blocks(name, smallest):
    model = build_model(smallest(name), 3)
    cut = set_trainable(model, Phase("tail", unfreeze=0.25), "frozen")
    trained = {variable.path.split("/")[0] for variable in model.trainable_variables}
    last = "block4" if name == "cct" else "block6"
    assert any(path.startswith(last) for path in trained)
    assert not any(path.startswith(("block1", "embedding", "tokens")) for path in trained)
    prefix, tail = split(model, cut)
    assert not prefix.trainable_variables
    assert len(tail.trainable_variables) == len(model.trainable_variables)


@pytest.mark.slow
@pytest.mark.parametrize("name", BOTH)
def test_they_learn(name):
    """A bright bar or none, told apart after a few steps."""
    keras.utils.set_random_seed(0)
    model = build_model(TrialConfig.from_params({"backbone": name, "image_size": 16}), 2)
    generator = np.random.default_rng(0)
    labels = np.arange(64) % 2
    values = generator.normal(100, 10, (64, 16, 16, 1))
    values[labels == 1, 4:8] += 60
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=False)
    model.fit(values.astype(np.uint8), labels, epochs=15, batch_size=16, verbose=0)
    assert (np.argmax(model(values.astype(np.uint8)), axis=1) == labels).mean() > 0.95
