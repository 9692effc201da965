"""EfficientNet-Lite with its published weights sees what it should see."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import skimage.data
from PIL import Image

from fdsearch.models import efficientnet_lite as lite
from fdsearch.models.builders import build_model
from fdsearch.models.torch_checkpoint import read_checkpoint
from fdsearch.models.weights import locate
from fdsearch.trial import TrialConfig

SIZE = 224


@pytest.fixture(scope="module", params=list(lite.SCALES))
def name(request):
    return request.param


@pytest.fixture(scope="module")
def checkpoint(name):
    return read_checkpoint(locate(name))


@pytest.fixture(scope="module")
def classifier(name, checkpoint):
    """The published network with its 1000-way top, on colour pictures."""
    pictures = keras.Input((SIZE, SIZE, 3))
    maps = lite.feature_maps(keras.layers.Rescaling(lite.GAIN, lite.OFFSET)(pictures), lite.SCALES[name])
    logits = keras.layers.Dense(1000, name="top")(keras.layers.GlobalAveragePooling2D()(maps))
    model = keras.Model(pictures, logits)
    lite.assign(model, checkpoint, lite.SCALES[name])
    model.get_layer("top").set_weights([checkpoint["_fc.weight"].T, checkpoint["_fc.bias"]])
    return model


def test_it_has_the_published_number_of_parameters(name, classifier):
    published = {"efficientnet_lite0": 4_694_024, "efficientnet_lite1": 5_470_344}
    assert classifier.count_params() == published[name]


def test_every_tensor_of_the_checkpoint_is_used(checkpoint, classifier):
    used = sum(weight.size for weight in classifier.get_weights())
    counters = [tensor for tensor in checkpoint if tensor.endswith("num_batches_tracked")]
    assert used == sum(array.size for array in checkpoint.values()) - len(counters)


@pytest.mark.parametrize(("picture", "label"), [("chelsea", 285), ("coffee", 967)])  # Egyptian cat, espresso
def test_it_recognises_what_it_was_trained_on(picture, label, classifier):
    pixels = _square(getattr(skimage.data, picture)()).astype(np.float32)
    assert int(np.argmax(classifier(pixels[None])[0])) == label


def test_a_trial_starts_from_the_same_features(name, checkpoint):
    """The model of a trial, gray picture in, computes what the published layers do for three equal channels."""
    gray = np.asarray(Image.fromarray(_square(skimage.data.chelsea())).convert("L"))[:, :, None]
    model = build_model(TrialConfig.from_params({"backbone": name, "image_size": SIZE}), 6)
    features = keras.Model(model.inputs[0], model.get_layer("features").output)(gray[None])
    colour = keras.Input((SIZE, SIZE, 3))
    maps = lite.feature_maps(colour, lite.SCALES[name])
    published = keras.Model(colour, keras.layers.GlobalAveragePooling2D()(maps))
    lite.assign(published, checkpoint, lite.SCALES[name])
    prepared = (np.repeat(gray, 3, axis=2).astype(np.float32) - 127) / 128
    np.testing.assert_allclose(features, published(prepared[None]), rtol=1e-4, atol=1e-4)


def _square(pixels):
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cropped = Image.fromarray(pixels[top : top + side, left : left + side])
    return np.asarray(cropped.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
