"""Losses agree with Keras's, stay finite, and weigh nothing themselves."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from fdsearch.errors import ConfigError
from fdsearch.models.losses import LOSSES, loss, make_loss
from fdsearch.trial import TrialConfig

LABELS = np.array([0, 1, 2, 2])
LOGITS = np.random.default_rng(0).normal(0, 3, (4, 3)).astype(np.float32)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]


def losses_of(name, labels=LABELS, logits=LOGITS, **params):
    return make_loss(TrialConfig.from_params({"loss": name, **params}), 3)(labels, logits)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_is_that_of_keras(smoothing):
    expected = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing, reduction=None)
    found = losses_of("cross_entropy", label_smoothing=smoothing)
    np.testing.assert_allclose(found, expected(ONE_HOT, LOGITS), rtol=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_is_that_of_keras_without_its_class_weight(gamma):
    expected = keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=gamma, from_logits=True, reduction=None)
    np.testing.assert_allclose(losses_of("focal", focal_gamma=gamma), expected(ONE_HOT, LOGITS), rtol=1e-4, atol=1e-6)


def test_focal_without_gamma_is_the_cross_entropy():
    np.testing.assert_allclose(losses_of("focal", focal_gamma=0.0), losses_of("cross_entropy"), rtol=1e-6)


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_loss_and_slope_are_finite_at_the_extremes(name, gamma):
    import tensorflow as tf

    logits = tf.constant([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = losses_of(name, np.array([0, 0]), logits, focal_gamma=gamma)
    assert found.shape == (2,)
    assert np.isfinite(found).all()
    assert np.isfinite(tape.gradient(found, logits)).all()


def test_half_precision_logits_give_float32():
    assert losses_of("cross_entropy", logits=LOGITS.astype(np.float16)).dtype == "float32"


def test_unknown_loss_gets_close_matches():
    with pytest.raises(ConfigError, match=r"\$\.loss: got 'focall'.*did you mean focal"):
        make_loss(TrialConfig.from_params({"loss": "focall"}), 3)


@pytest.mark.usefixtures("clean_tables")
def test_a_plugin_loss_sees_its_own_parameters():
    @loss("scaled")
    def scaled(config, n_classes):
        return lambda y_true, logits: config.custom["custom_factor"] * n_classes * logits[:, 0]

    np.testing.assert_allclose(losses_of("scaled", custom_factor=2.0), 6 * LOGITS[:, 0], rtol=1e-6)
    assert "scaled" in LOSSES
