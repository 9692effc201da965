"""Losses agree with Keras's, stay finite, and weigh nothing themselves."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from fdsearch.errors import ConfigError
from fdsearch.models.losses import LOSSES, MARGIN, ClassStatistics, loss, make_loss
from fdsearch.trial import TrialConfig

LABELS = np.array([0, 1, 2, 2])
LOGITS = np.random.default_rng(0).normal(0, 3, (4, 3)).astype(np.float32)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]
STATISTICS = ClassStatistics(np.array([80, 16, 4], np.float32), np.array([0.5, 0.3, 0.2], np.float32))
OWN = ["cross_entropy", "focal", "class_balanced", "logit_adjusted", "ldam", "soft_f1"]


def losses_of(name, labels=LABELS, logits=LOGITS, statistics=STATISTICS, **params):
    return make_loss(TrialConfig.from_params({"loss": name, **params}), 3, statistics)(labels, logits)


def slope_of(name, logits=LOGITS, **options):
    """The gradient of the sum of the losses."""
    import tensorflow as tf

    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = losses_of(name, logits=logits, **options)
    return tape.gradient(found, logits).numpy()


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


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


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_adjusted_logits_are_those_plus_the_log_of_the_shares(smoothing):
    adjusted = LOGITS + np.log(STATISTICS.shares)
    expected = -((ONE_HOT * (1 - smoothing) + smoothing / 3) * np.log(softmax(adjusted))).sum(axis=1)
    np.testing.assert_allclose(losses_of("logit_adjusted", label_smoothing=smoothing), expected, rtol=1e-4)
    np.testing.assert_allclose(slope_of("logit_adjusted"), softmax(adjusted) - ONE_HOT, atol=1e-5)


def test_an_absent_class_takes_no_part_in_adjusted_logits():
    statistics = ClassStatistics(np.array([8, 0, 8], np.float32), np.array([0.5, 0.0, 0.5], np.float32))
    labels = np.array([0, 0, 2, 2])
    found = losses_of("logit_adjusted", labels, statistics=statistics)
    two = softmax(LOGITS[:, [0, 2]])[np.arange(4), labels // 2]
    np.testing.assert_allclose(found, -np.log(two), rtol=1e-3, atol=1e-3)


def test_margins_grow_with_the_fourth_root_of_how_rare_a_class_is():
    shifted = LOGITS - ONE_HOT * MARGIN * (4 / STATISTICS.counts) ** 0.25
    expected = -np.log(softmax(shifted))[np.arange(4), LABELS]
    np.testing.assert_allclose(losses_of("ldam"), expected, rtol=1e-4)
    np.testing.assert_allclose(slope_of("ldam"), softmax(shifted) - ONE_HOT, atol=1e-5)


def test_margins_leave_an_absent_class_out():
    counts = np.array([80, 0, 4], np.float32)
    found = losses_of("ldam", statistics=ClassStatistics(counts, counts / 84))
    expected = losses_of("ldam")
    np.testing.assert_allclose(np.delete(found, 1), np.delete(expected, 1), rtol=1e-6)  # picture 1 is of that class


def soft_macro_f1(labels, logits):
    p, scores = softmax(logits), []
    for label in np.unique(labels):
        mine = labels == label
        scores.append(2 * p[mine, label].sum() / (p[:, label].sum() + mine.sum()))
    return np.mean(scores)


@pytest.mark.parametrize("labels", [LABELS, np.array([0, 0, 2, 2])], ids=["all classes", "one absent"])
def test_soft_f1_is_that_of_the_classes_in_the_batch(labels):
    np.testing.assert_allclose(losses_of("soft_f1", labels), 1 - soft_macro_f1(labels, LOGITS), rtol=1e-5)
    slope, step = np.empty(LOGITS.shape), 1e-5
    for place in np.ndindex(*LOGITS.shape):
        moved = np.zeros(LOGITS.shape)
        moved[place] = step
        ends = [soft_macro_f1(labels, LOGITS.astype(np.float64) + sign * moved) for sign in (-1, 1)]
        slope[place] = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(slope_of("soft_f1", labels=labels), len(labels) * slope, atol=1e-5)


def test_right_and_sure_is_a_soft_f1_of_one():
    np.testing.assert_allclose(losses_of("soft_f1", logits=100 * ONE_HOT), 0.0, atol=1e-6)


def test_class_balanced_is_the_cross_entropy_of_weights_that_are_the_trainers():
    np.testing.assert_array_equal(losses_of("class_balanced"), losses_of("cross_entropy"))


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_loss_and_slope_are_finite_at_the_extremes(name, gamma):
    logits, labels = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]], np.float32), np.array([0, 0])
    found = losses_of(name, labels, logits, focal_gamma=gamma)
    assert found.shape == (2,)
    assert np.isfinite(found).all()
    assert np.isfinite(slope_of(name, logits, labels=labels, focal_gamma=gamma)).all()


@pytest.mark.parametrize("name", OWN)
def test_half_precision_logits_give_float32(name):
    assert losses_of(name, logits=LOGITS.astype(np.float16)).dtype == "float32"


def test_a_loss_of_counts_is_not_made_without_them():
    with pytest.raises(ValueError, match="ldam needs the class statistics"):
        make_loss(TrialConfig.from_params({"loss": "ldam"}), 3)


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


@pytest.mark.usefixtures("clean_tables")
def test_a_plugin_loss_may_ask_for_the_statistics():
    @loss("rare")
    def rare(config, n_classes, statistics):
        return lambda y_true, logits: logits[:, 0] / statistics.counts[y_true]

    np.testing.assert_allclose(losses_of("rare"), LOGITS[:, 0] / STATISTICS.counts[LABELS], rtol=1e-6)
