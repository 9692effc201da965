from __future__ import annotations

import gc

import keras
import numpy as np
import pytest

from fdsearch.training.network import Network
from fdsearch.training.steps import MOMENTUM, TrainStep, make_optimizer
from fdsearch.trial import TrialConfig


def config(**params):
    return TrialConfig.from_params({"backbone": "piston_cnn", "image_size": 16, "dropout": 0.0, **params})


@pytest.fixture(scope="module")
def network():
    return Network(config(), n_classes=3)


def batch(n=6):
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (n, 16, 16, 1), dtype=np.uint8), np.arange(n) % 3


def test_one_step_of_sgd_is_the_gradient_of_the_weighted_mean(network):
    """Against Keras' own `fit`: same loss, same step."""
    network.reset(seed=0)
    before = network.weights()
    pictures, labels = batch()
    weights = np.array([1.0, 2, 0.5, 1, 1, 0.5])
    peer = keras.models.clone_model(network.model)
    peer.set_weights(before)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    peer.compile(keras.optimizers.SGD(0.1, momentum=MOMENTUM, nesterov=True), loss, jit_compile=False)
    peer_loss = peer.train_on_batch(pictures, labels, sample_weight=weights)
    step = TrainStep(None, network.model, config(optimizer="sgd"), 3)
    loss_sum, _ = step(pictures, labels, weights, rate=0.1, seed=0)
    assert float(loss_sum) / len(labels) == pytest.approx(float(peer_loss), rel=1e-5)
    for ours, theirs in zip(network.weights(), peer.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_restart_forgets_the_moments(network):
    pictures, labels = batch()
    step = TrainStep(None, network.model, config(), 3)
    after = []
    for _ in range(2):
        network.reset(seed=0)
        step.restart()
        for _ in range(3):
            step(pictures, labels, np.ones(6), rate=0.01, seed=0)
        after.append(network.weights())
    for first, second in zip(*after, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_weight_decay_shrinks_kernels_and_spares_biases(network, optimizer):
    network.reset(seed=0)
    logits = network.model.get_layer("logits")
    logits.bias.assign(np.ones(3))
    kernel = logits.kernel.numpy()
    pictures, labels = batch()
    step = TrainStep(None, network.model, config(optimizer=optimizer, weight_decay=0.5), 3)
    step(pictures, labels, np.zeros(6), rate=0.1, seed=0)  # without a gradient only the decay is left
    np.testing.assert_allclose(logits.kernel.numpy(), kernel * 0.95, rtol=1e-5)
    np.testing.assert_allclose(logits.bias.numpy(), 1.0)


def test_hits_are_counted_without_weights(network):
    network.reset(seed=0)
    pictures, labels = batch()
    predicted = network.logits(pictures, np.arange(6), None).argmax(axis=1)
    step = TrainStep(None, network.model, config(), 3)
    _, hits = step(pictures, labels, np.zeros(6), rate=0.0, seed=0)
    assert int(hits) == (predicted == labels).sum()


def test_the_rate_is_set_from_outside():
    optimizer = make_optimizer(config(learning_rate=0.5))
    assert float(optimizer.learning_rate) == 0.0


def test_a_dropped_step_leaves_no_graph_behind(network):
    """Else a search of many configurations fills the memory: TensorFlow keeps some graphs for the process's life."""
    pictures, labels = batch()

    def graphs_after(n_steps):
        for _ in range(n_steps):
            TrainStep(None, network.model, config(), 3)(pictures, labels, np.ones(6), rate=0.01, seed=0)
        gc.collect()
        return sum(type(thing).__name__ == "FuncGraph" for thing in gc.get_objects())

    assert graphs_after(3) == graphs_after(1)
