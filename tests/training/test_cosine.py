"""Class vectors of one length: what they keep of a probe, and that training keeps them so."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fdsearch.models.frame import COSINE_SCALE
from fdsearch.training.cosine import with_unit_vectors
from fdsearch.training.probe import ABSENT_LOGIT, Head
from fdsearch.training.trainer import fit


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def random_head(n_features, n_classes, seed):
    generator = np.random.default_rng(seed)
    kernel = generator.normal(size=(n_features, n_classes)) * generator.uniform(0.2, 5, n_classes)
    return Head(kernel.astype(np.float32), generator.normal(size=n_classes).astype(np.float32))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 7), st.integers(8, 30), st.integers(0, 1000))
def test_they_decide_as_the_head_did(n_classes, n_features, seed):
    head = random_head(n_features, n_classes, seed)
    made = with_unit_vectors(head)
    np.testing.assert_allclose(np.linalg.norm(made.kernel, axis=0), 1.0, atol=1e-5)
    features = np.random.default_rng(seed + 1).normal(size=(50, n_features))
    before, after = head.logits(features), made.logits(features)
    # One temperature for all pictures and classes: differences of logits are in one proportion.
    differences = [logits - logits[:, :1] for logits in (before, after)]
    ratio = np.linalg.norm(differences[0]) / np.linalg.norm(differences[1])
    np.testing.assert_allclose(differences[1] * ratio, differences[0], atol=1e-3 * np.abs(differences[0]).max())
    np.testing.assert_allclose(softmax(after * ratio), softmax(before), atol=0.02)


def test_classes_without_a_picture_stay_below_all_others():
    head = random_head(10, 5, 0)
    head.kernel[:, [1, 3]] = 0.0
    head.bias[[1, 3]] = ABSENT_LOGIT - 10.0
    made = with_unit_vectors(head)
    features = np.random.default_rng(0).normal(size=(30, 10))
    np.testing.assert_array_equal(made.logits(features).argmax(axis=1), head.logits(features).argmax(axis=1))


def test_a_head_that_knows_one_class_alone_is_taken():
    head = Head(np.zeros((4, 3), np.float32), np.array([0.0, ABSENT_LOGIT, ABSENT_LOGIT], np.float32))
    made = with_unit_vectors(head)
    np.testing.assert_allclose(np.linalg.norm(made.kernel, axis=0), 1.0)
    np.testing.assert_array_equal(made.bias, head.bias)


def logits_of(path, job):
    pictures = np.load(job.pixels)[job.validation]
    model = keras.saving.load_model(path, compile=False)
    kernel = model.get_layer("logits").kernel
    features = keras.Model(model.inputs[0], model.get_layer("features").output)
    np.testing.assert_allclose(np.linalg.norm(features(pictures), axis=1), COSINE_SCALE, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(kernel, axis=0), 1.0, rtol=1e-4)
    return np.asarray(model(pictures))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_training_keeps_the_vectors_at_one_length(make_job, tmp_path, optimizer):
    params = {"head": "cosine", "exposure": "standardise", "optimizer": optimizer, "weight_decay": 0.1}
    job = make_job({**params, "learning_rate": 0.01}, save_to=tmp_path / "model.keras")
    result = fit(job, lambda epoch, row: True)
    assert result.status == "done"
    np.testing.assert_allclose(logits_of(job.save_to, job), result.logits, atol=1e-3)


@pytest.mark.parametrize(
    "params",
    [
        {"phases": "probe"},
        pytest.param({"phases": "head_tail", "unfreeze": 0.1}, marks=pytest.mark.slow),
        pytest.param({"phases": "probe", "feature_layers": "multi", "test_views": 2}, marks=pytest.mark.slow),
    ],
)
def test_a_backbone_answers_as_its_record_says(make_job, tmp_path, params):
    job = make_job(
        {"backbone": "efficientnet_lite0", "head": "cosine", "pooling": "gem", **params},
        save_to=tmp_path / "model.keras",
    )
    result = fit(job, lambda epoch, row: True)
    assert result.status == "done"
    if params.get("test_views"):
        pictures = np.load(job.pixels)[job.validation]
        answered = np.asarray(keras.saving.load_model(job.save_to, compile=False)(pictures))
    else:
        answered = logits_of(job.save_to, job)
    np.testing.assert_allclose(answered, result.logits, atol=0.05 * np.abs(answered).max())
    np.testing.assert_array_equal(answered.argmax(axis=1), result.logits.argmax(axis=1))
