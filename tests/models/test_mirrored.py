"""A model over its mirror images: the mean of the network's logits, the same in every file, its weights there once."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from fdsearch.layers import LOGITS, NETWORK, PICTURES
from fdsearch.models.architectures import FACTS
from fdsearch.models.builders import build_model
from fdsearch.models.conversion import Calibrated, to_litert, to_onnx
from fdsearch.models.ensemble import average, n_networks
from fdsearch.models.mirrored import mirrored, n_views, plain
from fdsearch.serving.archive import check_archive
from fdsearch.serving.loading import load_bytes

if TYPE_CHECKING:
    import keras

    from fdsearch.trial import TrialConfig

SMALL = "piston_cnn"
EVERY = [name if name == SMALL else pytest.param(name, marks=pytest.mark.slow) for name in FACTS]
Smallest = Callable[..., "TrialConfig"]


def looks(pictures: NDArray[np.uint8], test_views: int) -> list[NDArray[np.uint8]]:
    """Pictures, mirrored from left to right, from top to bottom, both: what the words say, in numpy."""
    return [pictures, pictures[:, :, ::-1], pictures[:, ::-1], pictures[:, ::-1, ::-1]][:test_views]


def mean_logits(model: keras.Model, pictures: NDArray[np.uint8], test_views: int) -> NDArray[np.float32]:
    answers = [model.predict_on_batch(look) for look in looks(pictures, test_views)]
    assert not np.allclose(answers[0], answers[-1], atol=1e-4), "the network has to see the difference"
    mean: NDArray[np.float32] = np.mean(answers, axis=0)
    return mean


@pytest.mark.parametrize("test_views", [2, 4])
def test_the_answer_is_the_mean_over_mirrored_pictures(
    smallest: Smallest, pictures_for: Any, tmp_path: Path, test_views: int
) -> None:
    model = build_model(smallest(SMALL), 4)
    pictures = pictures_for(model)
    expected, whole = mean_logits(model, pictures, test_views), mirrored(model, test_views)
    assert (n_views(whole), whole.count_params()) == (test_views, model.count_params())
    whole.save(tmp_path / "model.keras")
    loaded = load_bytes((tmp_path / "model.keras").read_bytes(), "model.keras")
    for each in (whole, loaded):
        np.testing.assert_allclose(each.predict_on_batch(pictures), expected, atol=1e-5)
        np.testing.assert_allclose(each.predict_on_batch(pictures[:1]), expected[:1], atol=1e-5)
        [given], [answered] = each.inputs, each.outputs
        assert (given.name, tuple(given.shape), str(given.dtype)) == (PICTURES, (None, *pictures.shape[1:]), "uint8")
        assert (each.output_names, tuple(answered.shape), str(answered.dtype)) == ([LOGITS], (None, 4), "float32")
        np.testing.assert_allclose(plain(each).predict_on_batch(pictures), model.predict_on_batch(pictures), atol=1e-5)


def test_one_view_is_the_model_itself(built: Any) -> None:
    model = built(SMALL)
    assert mirrored(model, 1) is model and plain(model) is model


def test_what_is_written_does_not_depend_on_what_was_built_before(smallest: Smallest, tmp_path: Path) -> None:
    configs = []
    for number in range(2):
        mirrored(build_model(smallest(SMALL), 4), 4).save(tmp_path / f"{number}.keras")
        with zipfile.ZipFile(tmp_path / f"{number}.keras") as archive:
            configs.append(json.loads(archive.read("config.json")))
    names = [[layer["name"] for layer in config["config"]["layers"]] for config in configs]
    assert names[0] == names[1] and NETWORK in names[0]


@pytest.mark.parametrize("name", EVERY)
def test_exports_look_at_the_same_views(built: Any, pictures_for: Any, name: str) -> None:
    model = built(name)
    pictures = pictures_for(model)
    expected = np.mean([model.predict_on_batch(look) for look in looks(pictures, 4)], axis=0)
    one, four = (Calibrated(each, np.ones(6), np.zeros(6)) for each in (model, mirrored(model, 4)))
    onnx = to_onnx(four)
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    litert, halves = to_litert(four), to_litert(four, float16=True)
    for n in (3, 1):
        [logits] = session.run([LOGITS], {PICTURES: pictures[:n]})
        np.testing.assert_allclose(logits, expected[:n], rtol=0, atol=1e-5)
        for content, tolerance in ((litert, 1e-5), (halves, 1e-2)):
            interpreter = Interpreter(model_content=content)
            interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], (n, *pictures.shape[1:]))
            answer = interpreter.get_signature_runner()(pictures=pictures[:n])
            np.testing.assert_allclose(answer[LOGITS], expected[:n], rtol=0, atol=tolerance)
    for larger, smaller in ((onnx, to_onnx(one)), (litert, to_litert(one))):
        assert len(larger) < 1.01 * len(smaller) + 20_000, "the weights are there once"


@pytest.mark.parametrize("shared_body", [True, False])
def test_models_over_mirror_images_are_joined_inside(
    smallest: Smallest, pictures_for: Any, tmp_path: Path, shared_body: bool
) -> None:
    models = [build_model(smallest(SMALL), 4) for _ in range(3)]
    if shared_body:
        for model in models[1:]:
            head = model.get_layer(LOGITS).get_weights()
            model.set_weights(models[0].get_weights())
            model.get_layer(LOGITS).set_weights(head)
    pictures = pictures_for(models[0])
    expected = np.mean([mean_logits(model, pictures, 4) for model in models], axis=0)
    loaded = []
    for number, model in enumerate(models):
        mirrored(model, 4).save(tmp_path / f"{number}.keras")
        loaded.append(load_bytes((tmp_path / f"{number}.keras").read_bytes(), "model.keras"))
    joined = average(loaded)
    assert (n_networks(joined), n_views(joined)) == (1 if shared_body else 3, 4)
    np.testing.assert_allclose(joined.predict_on_batch(pictures), expected, atol=1e-5)
    alone = np.mean([model.predict_on_batch(pictures) for model in models], axis=0)
    np.testing.assert_allclose(plain(joined).predict_on_batch(pictures), alone, atol=1e-5)

    joined.save(tmp_path / "joined.keras")
    check_archive((tmp_path / "joined.keras").read_bytes(), "joined.keras")
    again = load_bytes((tmp_path / "joined.keras").read_bytes(), "joined.keras")
    np.testing.assert_allclose(again.predict_on_batch(pictures), expected, atol=1e-5)


@pytest.mark.slow
def test_an_ensemble_over_mirror_images_is_exported(smallest: Smallest, pictures_for: Any) -> None:
    joined = average([mirrored(build_model(smallest(SMALL), 4), 4) for _ in range(2)])
    pictures, calibrated = pictures_for(joined), Calibrated(joined, np.ones(4), np.zeros(4))
    expected = joined.predict_on_batch(pictures)
    session = onnxruntime.InferenceSession(to_onnx(calibrated), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run([LOGITS], {PICTURES: pictures})[0], expected, rtol=0, atol=1e-5)
    interpreter = Interpreter(model_content=to_litert(calibrated))
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], pictures.shape)
    answer = interpreter.get_signature_runner()(pictures=pictures)
    np.testing.assert_allclose(answer[LOGITS], expected, rtol=0, atol=1e-5)


def test_models_of_one_ensemble_look_at_the_same_views(smallest: Smallest) -> None:
    models = [build_model(smallest(SMALL), 4) for _ in range(2)]
    with pytest.raises(ValueError, match="number of views"):
        average([models[0], mirrored(models[1], 2)])
