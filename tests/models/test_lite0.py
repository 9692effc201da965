"""EfficientNet-Lite0 with its published weights sees what it should see."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import skimage.data
from PIL import Image

from fdsearch.models import lite0
from fdsearch.models.builders import build_model
from fdsearch.models.torch_checkpoint import read_checkpoint
from fdsearch.models.weights import locate
from fdsearch.trial import TrialConfig

SIZE = 224


@pytest.fixture(scope="module")
def checkpoint():
    return read_checkpoint(locate("efficientnet_lite0"))


@pytest.fixture(scope="module")
def classifier(checkpoint):
    """The published network with its 1000-way top, on colour pictures."""
    pictures = keras.Input((SIZE, SIZE, 3))
    maps = lite0.feature_maps(keras.layers.Rescaling(lite0.SCALE, lite0.OFFSET)(pictures))
    logits = keras.layers.Dense(1000, name="top")(keras.layers.GlobalAveragePooling2D()(maps))
    model = keras.Model(pictures, logits)
    lite0.assign(model, checkpoint)
    model.get_layer("top").set_weights([checkpoint["_fc.weight"].T, checkpoint["_fc.bias"]])
    return model


def test_it_has_the_published_number_of_parameters(classifier):
    assert classifier.count_params() == 4_694_024


def test_every_tensor_of_the_checkpoint_is_used(checkpoint, classifier):
    used = sum(weight.size for weight in classifier.get_weights())
    counters = [name for name in checkpoint if name.endswith("num_batches_tracked")]
    assert used == sum(array.size for array in checkpoint.values()) - len(counters)


@pytest.mark.parametrize(("picture", "label"), [("chelsea", 285), ("coffee", 967)])  # Egyptian cat, espresso
def test_it_recognises_what_it_was_trained_on(picture, label, classifier):
    pixels = _square(getattr(skimage.data, picture)()).astype(np.float32)
    assert int(np.argmax(classifier(pixels[None])[0])) == label


def test_a_trial_starts_from_the_same_features(checkpoint):
    """The model of a trial, gray picture in, computes what the published layers do for three equal channels."""
    gray = np.asarray(Image.fromarray(_square(skimage.data.chelsea())).convert("L"))[:, :, None]
    model = build_model(TrialConfig.from_params({"image_size": SIZE}), 6)
    features = keras.Model(model.inputs[0], model.get_layer("features").output)(gray[None])
    colour = keras.Input((SIZE, SIZE, 3))
    published = keras.Model(colour, keras.layers.GlobalAveragePooling2D()(lite0.feature_maps(colour)))
    lite0.assign(published, checkpoint)
    prepared = (np.repeat(gray, 3, axis=2).astype(np.float32) - 127) / 128
    np.testing.assert_allclose(features, published(prepared[None]), rtol=1e-4, atol=1e-4)


def _square(pixels):
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cropped = Image.fromarray(pixels[top : top + side, left : left + side])
    return np.asarray(cropped.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
