"""Exported graphs: what they take, answer and are made of; that they tell what the model tells, for every builder."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter

from fdsearch.decide import probabilities
from fdsearch.models import conversion
from fdsearch.models.architectures import FACTS
from fdsearch.models.builders import build_model
from fdsearch.models.conversion import OPSET, Calibrated, to_litert, to_onnx
from fdsearch.models.ensemble import average

TEMPERATURE, BIAS = [1.3, 0.9, 1.1, 0.8, 1.0, 1.2], [-0.3, 0.0, 0.3, 0.1, 0.2, -0.3]
SMALL = "piston_cnn"
EVERY = [name if name == SMALL else pytest.param(name, marks=pytest.mark.slow) for name in FACTS]


def ask_onnx(content: bytes, pictures: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = ["logits", "probabilities"]
    return dict(zip(names, session.run(names, {"pictures": pictures}), strict=True))


def ask_litert(content: bytes, pictures: np.ndarray) -> dict[str, Any]:
    interpreter = Interpreter(model_content=content)
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], pictures.shape)
    return interpreter.get_signature_runner()(pictures=pictures)


@pytest.mark.parametrize("name", EVERY)
def test_exports_answer_as_the_model_for_any_number_of_pictures(name, built, pictures_for):
    model = built(name)
    pictures = pictures_for(model)
    calibrated = Calibrated(model, TEMPERATURE, BIAS)
    logits = model.predict_on_batch(pictures)
    expected = {"logits": logits, "probabilities": probabilities(logits, TEMPERATURE, BIAS)}
    converted, litert = to_onnx(calibrated), to_litert(calibrated)
    for ask, content in ((ask_onnx, converted), (ask_litert, litert)):
        for n in (3, 1):
            answer = ask(content, pictures[:n])
            for output, values in expected.items():
                assert answer[output].dtype == np.float32
                np.testing.assert_allclose(answer[output], values[:n], rtol=0, atol=1e-5)
    assert len(to_litert(calibrated, float16=True)) < 0.6 * len(litert)


def test_the_mean_of_several_networks_is_one_graph(smallest, pictures_for):
    model = average([build_model(smallest(SMALL), 6) for _ in range(3)])
    pictures, calibrated = pictures_for(model), Calibrated(model, TEMPERATURE, BIAS)
    expected = model.predict_on_batch(pictures)
    for answer in (ask_onnx(to_onnx(calibrated), pictures), ask_litert(to_litert(calibrated), pictures)):
        np.testing.assert_allclose(answer["logits"], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("temperature", "bias"), [(2.0, 0.0), (0.5, BIAS), (TEMPERATURE, BIAS)])
def test_the_calibration_is_folded_in(temperature, bias, built, pictures_for):
    model = built(SMALL)
    answer = ask_onnx(to_onnx(Calibrated(model, temperature, bias)), pictures_for(model))
    expected = probabilities(answer["logits"], temperature, bias)
    np.testing.assert_allclose(answer["probabilities"], expected, rtol=0, atol=1e-6)


def test_an_onnx_file_is_whole_and_plain(built):
    model = onnx.load_from_string(to_onnx(Calibrated(built(SMALL), TEMPERATURE, BIAS)))
    assert [(each.domain, each.version) for each in model.opset_import] == [("", OPSET)]
    assert {node.domain for node in model.graph.node} == {""}
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    ends = [*model.graph.input, *model.graph.output]
    lengths = [[dim.dim_param or dim.dim_value for dim in each.type.tensor_type.shape.dim] for each in ends]
    assert dict(zip([each.name for each in ends], lengths, strict=True)) == {
        "pictures": ["n", 16, 16, 1],
        "logits": ["n", 6],
        "probabilities": ["n", 6],
    }


def test_a_large_matrix_is_put_back(built, pictures_for, monkeypatch):
    model = built(SMALL)
    monkeypatch.setattr(conversion, "LARGE", 1000)
    answer = ask_onnx(to_onnx(Calibrated(model, TEMPERATURE, BIAS)), pictures_for(model))
    np.testing.assert_allclose(answer["logits"], model.predict_on_batch(pictures_for(model)), rtol=0, atol=1e-5)


def test_a_litert_file_names_its_ends(built):
    interpreter = Interpreter(model_content=to_litert(Calibrated(built(SMALL), TEMPERATURE, BIAS)))
    [(name, ends)] = interpreter.get_signature_list().items()
    assert (name, ends["inputs"], sorted(ends["outputs"])) == (
        "serving_default",
        ["pictures"],
        ["logits", "probabilities"],
    )
    [pictures] = interpreter.get_input_details()
    assert (pictures["dtype"], pictures["shape_signature"].tolist()) == (np.uint8, [-1, 16, 16, 1])
