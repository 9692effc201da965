"""``novelty.npz`` from writing to the verdict: every method, every runtime, every kind of damage."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fdsearch.decide import Verdict
from fdsearch.errors import IntegrityError
from fdsearch.novelty.measure import Novelty
from fdsearch.novelty.methods import METHODS
from fdsearch.novelty.space import Space
from fdsearch.registry.version import ModelVersion
from fdsearch.serving.contract import Contract
from fdsearch.serving.embedding import with_embedding
from fdsearch.serving.novelty import NOVELTY, dump, parse, withheld
from fdsearch.serving.predictor import NO_NOVELTY, Predictor
from fdsearch.serving.runtimes import runtime_from_bytes

CUT = "maps"


def fitted(method: str, width: int = 8, n_classes: int = 3, seed: int = 0) -> Novelty:
    rng = np.random.default_rng(seed)
    embedding, labels = rng.normal(size=(80, width)), np.arange(80) % n_classes
    logits = rng.normal(size=(80, n_classes)) + 3 * np.eye(n_classes)[labels]
    regular = labels == n_classes - 1
    return Novelty.fit(method, Space.of(embedding[regular]), (embedding, logits), labels, regular)


@pytest.mark.parametrize("method", METHODS)
def test_a_file_scores_as_what_was_written(method: str) -> None:
    novelty = fitted(method).scaled(np.linspace(-2, 2, 30))
    rng = np.random.default_rng(1)
    embedding, logits = rng.normal(size=(9, 8)), rng.normal(size=(9, 3))
    expected = novelty.score(embedding, logits)
    np.testing.assert_allclose(parse(dump(novelty)).score(embedding, logits), expected, rtol=1e-3)
    assert (expected > 0).all()


@pytest.mark.parametrize("method", ["mahalanobis", "vim", "pca"])
def test_what_is_further_away_is_more_novel(method: str) -> None:
    novelty = fitted(method)
    away = np.outer([1.0, 3.0, 9.0, 27.0], np.random.default_rng(2).normal(size=8))
    assert (np.diff(novelty.raw(away, np.zeros((4, 3)))) > 0).all()


def changed(**arrays: Any) -> bytes:
    with np.load(io.BytesIO(dump(fitted("mahalanobis")))) as archive:
        content = {**archive, **arrays}
    stream = io.BytesIO()
    np.savez(stream, **{name: array for name, array in content.items() if array is not None})
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no archive",
        changed(format=np.array(2)),
        changed(method=np.array(b"magic")),
        changed(method=None),
        changed(fit_root=None),
        changed(fit_root=np.eye(3, dtype=np.float32)),
        changed(space_mean=np.full(8, np.nan, np.float32)),
        changed(space_basis=np.zeros((5, 2), np.float32)),
        changed(spread=np.array(0.0)),
        changed(fit_means=np.array(["a"])),
    ],
)
def test_damage_is_refused(content: bytes) -> None:
    with pytest.raises(IntegrityError):
        parse(content)


def test_nothing_but_a_pass_is_withheld_and_parts_stay_whole() -> None:
    verdicts = [Verdict("pass"), Verdict("pass"), Verdict("reject", 1), Verdict("review")]
    told = withheld(verdicts, [0.2, 1.5, 9.0, 9.0], ["a", "a", "b", "c"])
    assert [each.decision for each in told] == ["review", "review", "reject", "review"]
    assert [each.decision for each in withheld(verdicts, [0.2, 1.5, 9.0, 9.0])] == [
        "pass",
        "review",
        "reject",
        "review",
    ]
    assert withheld(verdicts[:1], [np.nan])[0].decision == "review"


@pytest.fixture(scope="module")
def mapped() -> Any:
    """A small network with named maps."""
    import keras

    keras.utils.set_random_seed(5)
    pictures = keras.Input((24, 24, 1), dtype="uint8", name="pictures")
    x = keras.layers.Rescaling(1 / 255.0, name="preprocessing")(pictures)
    x = keras.layers.Conv2D(4, 3, activation="relu", name=CUT)(x)
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    return keras.Model(pictures, keras.layers.Dense(3, name="logits")(x))


def test_the_embedding_of_an_ensemble_is_that_of_its_first_network(mapped: Any) -> None:
    import keras

    inner = keras.Model(mapped.inputs[0], mapped.outputs[0], name="fold_0")
    pictures = keras.Input((24, 24, 1), dtype="uint8", name="pictures")
    logits = keras.layers.Average(name="logits")([inner(pictures), inner(pictures)])
    shown = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 1), dtype=np.uint8)
    expected, found = (
        with_embedding(each, [CUT])(shown)[1] for each in (mapped, keras.Model(pictures, logits, name="ensemble"))
    )
    assert expected.shape == (3, 8)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(IntegrityError):
        with_embedding(mapped, ["features"])


@pytest.fixture
def knowing(contract: Contract) -> Contract:
    rule = {
        "method": "mahalanobis",
        "threshold": 1.0,
        "false_alarm_rate": 0.05,
        "unit": "group",
        "cuts": [CUT],
        "dimensions": 8,
    }
    passing = {"pass_threshold": 0.5, "reject_below": 0.0, "unit": "group"}
    return Contract.model_validate(
        {**contract.model_dump(), "novelty": rule, "pass_classes": contract.classes, "decision": passing}
    )


@pytest.fixture
def registered(
    mapped: Any, knowing: Contract, register: Callable[..., ModelVersion], tmp_path: Path
) -> Callable[[Novelty], ModelVersion]:
    def make(novelty: Novelty) -> ModelVersion:
        mapped.save(tmp_path / "whole.keras")
        return register((tmp_path / "whole.keras").read_bytes(), knowing, {NOVELTY: dump(novelty)})

    return make


def test_a_novel_part_goes_to_a_person(
    mapped: Any, registered: Callable[[Novelty], ModelVersion], pictures: list[Path]
) -> None:
    predictor = Predictor.load(registered(fitted("mahalanobis")).path, format="keras")
    answer = predictor.runtime.run(np.stack([predictor.decode(path) for path in pictures]))
    assert answer.embedding is not None
    values = fitted("mahalanobis").score(answer.embedding, answer.logits)
    told = predictor.predict(pictures)
    np.testing.assert_allclose([each.novelty for each in told], values, rtol=1e-3)
    assert [each.decision for each in told] == ["review" if value > 1 else "pass" for value in values]
    assert all(each.novelty_why is None for each in told)
    novel = fitted("mahalanobis").scaled(np.linspace(-9e3, -8.9e3, 9))  # all scores are far above the threshold
    strict = Predictor.load(registered(novel).path, format="keras")
    assert {each.decision for each in strict.predict(pictures, groups=["a"] * len(pictures))} == {"review"}


def test_another_reference_than_the_contract_names_is_refused(registered: Callable[[Novelty], ModelVersion]) -> None:
    for wrong in (fitted("pca"), fitted("mahalanobis", width=6)):
        with pytest.raises(IntegrityError, match="does not fit"):
            Predictor.load(registered(wrong).path, format="keras")


def test_a_version_without_says_so(register: Callable[..., ModelVersion], pictures: list[Path]) -> None:
    [told] = Predictor.load(register().path).predict(pictures[:1])
    assert told.novelty is None and told.novelty_why == NO_NOVELTY


def test_every_export_answers_with_the_embedding(mapped: Any, knowing: Contract) -> None:
    from fdsearch.models.conversion import Calibrated, to_litert, to_onnx

    joined = with_embedding(mapped, [CUT])
    graph = Calibrated(joined, knowing.calibration.temperature, knowing.calibration.bias)
    shown = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 1), dtype=np.uint8)
    expected = np.asarray(joined(shown)[1])
    for format, content in (("onnx", to_onnx(graph)), ("litert", to_litert(graph))):
        answer = runtime_from_bytes(format, content, knowing, format).run(shown)
        assert answer.embedding is not None and answer.embedding.dtype == np.float32
        np.testing.assert_allclose(answer.embedding, expected, atol=1e-5)
        with pytest.raises(IntegrityError):
            other = knowing.model_copy(update={"novelty": knowing.novelty.model_copy(update={"dimensions": 9})})
            runtime_from_bytes(format, content, other, format)
