"""Exports of a tiny network tell what it tells with every option about exposure, pooling, feature layers and head."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from fdsearch.models.contract import contract_faults
from fdsearch.models.conversion import Calibrated, to_litert, to_onnx
from fdsearch.models.frame import classifier, picture_input, pooled
from fdsearch.models.mirrored import mirrored
from fdsearch.serving.archive import check_archive
from fdsearch.serving.litert_file import check_litert
from fdsearch.serving.onnx_file import check_onnx
from fdsearch.trial import TrialConfig

SIZE = 24
EVERYTHING = {"exposure": "local_contrast", "pooling": "gem", "feature_layers": "multi", "head": "cosine"}
SINGLE = (
    {"exposure": "standardise"},
    {"exposure": "local_contrast"},
    {"pooling": "gem"},
    {"pooling": "avg_max", "feature_layers": "multi"},
    {"head": "cosine"},
    {**EVERYTHING, "test_views": 4},
)
OPTIONS = [EVERYTHING, *(pytest.param(option, marks=pytest.mark.slow) for option in SINGLE)]


def tiny(config):
    """Two convolutions; with several feature layers the maps of both are pooled."""
    pictures, x = picture_input((SIZE, SIZE, 1), (1 / 127.5,) * 3, (-1.0,) * 3, config.exposure)
    first = layers.Conv2D(4, 3, strides=2, activation="relu", name="conv_1")(x)
    last = layers.Conv2D(6, 3, strides=2, name="conv_2")(first)
    maps = [first, last] if config.feature_layers == "multi" else last
    return classifier(pictures, pooled(maps, config.pooling), config, 3)


@pytest.fixture(params=OPTIONS, ids=lambda option: ", ".join(map(str, option.values())))
def model(request):
    config = TrialConfig.from_params(request.param)
    network = tiny(config)
    assert contract_faults(network, (SIZE, SIZE, 1), 3, "tiny") == []
    return mirrored(network, config.test_views)


def test_every_file_of_a_model_is_let_in_and_tells_the_same(model, tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 1), dtype=np.uint8)
    pictures[2] = 90  # nothing to see: every deviation is 0
    expected = np.asarray(model(pictures))
    assert np.isfinite(expected).all()
    model.save(tmp_path / "model.keras")
    check_archive((tmp_path / "model.keras").read_bytes(), "model.keras")
    calibrated = Calibrated(model, 1.0, np.zeros(3))
    onnx, litert = to_onnx(calibrated), to_litert(calibrated)
    check_onnx(onnx, "model.onnx")
    check_litert(litert, "model.tflite")
    session, interpreter = onnxruntime.InferenceSession(onnx), Interpreter(model_content=litert)
    for n in (3, 1):
        [logits] = session.run(["logits"], {"pictures": pictures[:n]})
        np.testing.assert_allclose(logits, expected[:n], rtol=0, atol=1e-4)
        interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], (n, SIZE, SIZE, 1))
        logits = interpreter.get_signature_runner()(pictures=pictures[:n])["logits"]
        np.testing.assert_allclose(logits, expected[:n], rtol=0, atol=1e-4)
