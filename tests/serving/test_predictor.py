"""The predictor against Keras itself, and its answers to what people pass in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fdsearch import imaging
from fdsearch.errors import ConfigError, DataError, IntegrityError, ResourceError
from fdsearch.registry.store import Registry
from fdsearch.registry.version import ModelVersion
from fdsearch.serving.contract import Contract, DecisionRule
from fdsearch.serving.pictures import BATCH
from fdsearch.serving.predictor import Predictor


@pytest.fixture
def predictor(register: Callable[..., ModelVersion]) -> Predictor:
    return Predictor.load(register().path)


def test_logits_are_those_of_keras(predictor: Predictor, model: Any, pictures: list[Path]) -> None:
    prepared = np.stack([imaging.load(path, 24, "pad") for path in pictures])
    expected = np.asarray(model(prepared, training=False))
    logits = predictor.logits(pictures)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)


def test_paths_bytes_and_pixels_give_the_same(predictor: Predictor, pictures: list[Path]) -> None:
    as_bytes = [path.read_bytes() for path in pictures]
    as_pixels = [imaging.decode(path).pixels for path in pictures]
    expected = predictor.logits(pictures)
    np.testing.assert_array_equal(predictor.logits(as_bytes), expected)
    np.testing.assert_array_equal(predictor.logits(as_pixels), expected)


def test_order_and_batches_do_not_matter(predictor: Predictor, pictures: list[Path]) -> None:
    many = pictures * (BATCH // 2)
    logits = predictor.logits(many)
    np.testing.assert_allclose(logits, np.tile(predictor.logits(pictures), (BATCH // 2, 1)), rtol=0, atol=1e-5)


def test_a_prediction_follows_the_contract(predictor: Predictor, pictures: list[Path]) -> None:
    logits = predictor.logits(pictures).astype(np.float64)
    scores = np.exp(logits / 1.5 + np.array([-0.5, 0.0, 0.5]))
    scores /= scores.sum(axis=1, keepdims=True)
    for row, score, path, prediction in zip(logits, scores, pictures, predictor.predict(pictures), strict=True):
        assert prediction.filename == str(path)
        # The label is that of the largest logit, whose score was measured; calibration moves only the probabilities.
        assert prediction.label == ["bent", "crack", "free"][row.argmax()]
        np.testing.assert_allclose(list(prediction.probabilities.values()), score, rtol=1e-6)
        good = prediction.probabilities["free"]
        assert prediction.decision == ("pass" if good >= 0.6 else "reject" if good < 0.5 else "review")
        assert prediction.reject_as == (["bent", "crack"][score[:2].argmax()] if good < 0.5 else None)
        assert prediction.novelty is None and prediction.novelty_why
        json.dumps(prediction.to_json(), allow_nan=False)


def test_the_worst_picture_decides_for_its_part(predictor: Predictor, pictures: list[Path]) -> None:
    alone = predictor.predict(pictures)
    together = predictor.predict(pictures, groups=["part"] * len(pictures))
    order = ["reject", "review", "pass"]
    worst = min((prediction.decision for prediction in alone), key=order.index)
    assert {prediction.decision for prediction in together} == {worst}
    assert [each.probabilities for each in together] == [each.probabilities for each in alone]


def test_costs_and_a_temperature_for_each_class_are_obeyed(
    register: Callable[..., ModelVersion], contract: Contract, pictures: list[Path]
) -> None:
    changed = Contract.model_validate(
        {
            **contract.model_dump(),
            "calibration": {"temperature": [1.0, 2.0, 0.5], "bias": [0.0, 0.3, -0.2]},
            "decision": {"unit": "group", "costs": [[5, 1, 0], [5, 1, 0], [0, 1, 3]]},
        }
    )
    predictor = Predictor.load(register(contract=changed).path)
    scores = predictor.logits(pictures) / np.array([1.0, 2.0, 0.5]) + np.array([0.0, 0.3, -0.2])
    scores = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    expected = np.array([[5, 1, 0], [5, 1, 0], [0, 1, 3]])
    for score, prediction in zip(scores, predictor.predict(pictures), strict=True):
        np.testing.assert_allclose(list(prediction.probabilities.values()), score, rtol=1e-5)
        assert prediction.decision == ["pass", "review", "reject"][(score @ expected).argmin()]


def test_without_a_rule_nothing_passes(register: Callable[..., ModelVersion], contract: Contract) -> None:
    bare = contract.model_copy(update={"decision": None, "decision_why": "too few defective parts"})
    predictions = Predictor.load(register(contract=bare).path).predict([np.full((9, 9), v, np.uint8) for v in (0, 255)])
    assert "pass" not in {prediction.decision for prediction in predictions}
    assert [prediction.filename for prediction in predictions] == ["picture 1", "picture 2"]


def test_the_threshold_decides(register: Callable[..., ModelVersion], contract: Contract, pictures: list[Path]) -> None:
    always = contract.model_copy(
        update={"pass_classes": tuple(contract.classes), "decision": DecisionRule(pass_threshold=0.9, unit="picture")}
    )
    assert {each.decision for each in Predictor.load(register(contract=always).path).predict(pictures)} == {"pass"}


def test_nothing_in_nothing_out(predictor: Predictor) -> None:
    assert predictor.predict([]) == []
    assert predictor.logits([]).shape == (0, 3)


def test_all_pictures_that_cannot_be_read_are_listed(
    predictor: Predictor, pictures: list[Path], tmp_path: Path
) -> None:
    truncated = tmp_path / "truncated.png"
    truncated.write_bytes(pictures[0].read_bytes()[:60])
    text = tmp_path / "text.png"
    text.write_text("no picture")
    sources = [tmp_path / "missing.png", *pictures * 10, truncated, b"", np.zeros((3, 3, 3), np.uint8), text]
    with pytest.raises(DataError) as caught:
        predictor.predict(sources)
    assert caught.value.exit_code == 3
    where = [Path(fault.where).name for fault in caught.value.faults]
    assert where == ["missing.png", "truncated.png", "picture 53", "picture 54", "text.png"]


def test_sixteen_bit_and_colour_pictures_are_converted_as_for_training(predictor: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((30, 30), 257 * 100, np.uint16)).save(path)
    np.testing.assert_array_equal(predictor.logits([path]), predictor.logits([np.full((30, 30), 100, np.uint8)]))


def test_groups_must_match_pictures(predictor: Predictor, pictures: list[Path]) -> None:
    with pytest.raises(ConfigError, match="differ in number"):
        predictor.predict(pictures, groups=["a"])


def test_references_go_through_the_registry(
    register: Callable[..., ModelVersion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register()
    root = tmp_path / "registry"
    assert Predictor.load("tiles:1", root).version.version == 1
    with pytest.raises(ConfigError, match="no champion"):
        Predictor.load("tiles", root)
    Registry(root).promote("tiles", 1, by="kim", reason="test")
    monkeypatch.setenv("FDSEARCH_ROOT", str(tmp_path))
    assert Predictor.load("tiles").version.aliases == ("champion",)


@pytest.mark.parametrize("name", ["model.keras", "contract.json", "manifest.json"])
def test_a_flipped_byte_exits_5(register: Callable[..., ModelVersion], name: str) -> None:
    version = register()
    path = version.path / name
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError):
        Predictor.load("tiles:1", version.path.parents[2])


def test_another_decoder_is_refused(register: Callable[..., ModelVersion], contract: Contract) -> None:
    old = contract.model_copy(update={"input": contract.input.model_copy(update={"decoder": "0"})})
    with pytest.raises(ResourceError, match="other pixels"):
        Predictor.load(register(contract=old).path)


def test_a_model_that_answers_nan_exits_5(register: Callable[..., ModelVersion], model: Any, tmp_path: Path) -> None:
    import keras

    broken = keras.models.clone_model(model)
    broken.get_layer("logits").set_weights([np.full((4, 3), np.nan), np.zeros(3)])
    broken.save(tmp_path / "broken.keras")
    predictor = Predictor.load(register((tmp_path / "broken.keras").read_bytes()).path)
    with pytest.raises(IntegrityError, match="not finite"):
        predictor.predict([np.zeros((9, 9), np.uint8)])
