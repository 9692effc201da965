from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fdsearch.training.batches import class_weights
from fdsearch.training.probe import fit_probe


def features(n, d, n_classes, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.sort(np.arange(n) % n_classes)
    centres = generator.normal(size=(n_classes, d)) * 2
    return (generator.normal(size=(n, d)) + centres[labels]) * np.geomspace(0.01, 100, d) + 5, labels


@pytest.mark.parametrize("shape", [(60, 7), (40, 90)], ids=["more pictures", "more features"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_head_is_scikit_learns_regression_on_standardised_features(shape, n_classes, exponent):
    values, labels = features(*shape, n_classes)
    labels[: shape[0] // 3] = 0
    weights = class_weights(labels, n_classes, exponent)
    head = fit_probe(values, labels, weights, c=0.1)
    deviation = values.std(axis=0)
    # Features that move less than the middle one are not blown up.
    scaled = (values - values.mean(axis=0)) / np.maximum(deviation, np.median(deviation))
    peer = LogisticRegression(C=0.1, max_iter=5000, tol=1e-8)
    peer.fit(scaled, labels, sample_weight=weights[labels])
    logits = head.logits(values).astype(np.float64)
    ours = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(ours / ours.sum(axis=1, keepdims=True), peer.predict_proba(scaled), atol=2e-3)


def test_a_class_without_pictures_is_never_chosen():
    values, labels = features(40, 5, 2)
    head = fit_probe(values, labels * 2, class_weights(labels * 2, 4, 1.0), c=1.0)
    logits = head.logits(values)
    assert np.isfinite(logits).all()
    assert set(logits.argmax(axis=1)) == {0, 2}


def test_one_class_alone_is_always_chosen():
    values, _ = features(10, 5, 2)
    labels = np.ones(10, np.int64)
    head = fit_probe(values, labels, class_weights(labels, 3, 1.0), c=1.0)
    assert (head.logits(values).argmax(axis=1) == 1).all()


def test_a_feature_that_hardly_moves_gets_no_huge_kernel():
    values, labels = features(40, 9, 2)
    values[:, 4] = 5 + 1e-4 * (labels + 1e-3 * np.random.default_rng(1).normal(size=40))  # and yet tells the classes
    head = fit_probe(values, labels, np.ones(2), c=1.0)
    others = np.abs(np.delete(head.kernel, 4, axis=0)).max()
    assert np.abs(head.kernel[4]).max() <= others


def test_a_feature_that_never_moves_does_no_harm():
    values, labels = features(40, 5, 2)
    values[:, 2] = 7.0
    assert np.isfinite(fit_probe(values, labels, np.ones(2), c=1.0).logits(values)).all()


@pytest.mark.parametrize("shape", [(40, 5), (8, 20)])
def test_pictures_that_are_all_alike_do_no_harm(shape):
    labels = np.arange(shape[0]) % 2
    assert np.isfinite(fit_probe(np.ones(shape), labels, np.ones(2), c=1.0).logits(np.ones(shape))).all()


def test_same_pictures_give_the_same_head():
    values, labels = features(40, 60, 3)
    first, second = (fit_probe(values, labels, np.ones(3), c=0.1) for _ in range(2))
    np.testing.assert_array_equal(first.kernel, second.kernel)
