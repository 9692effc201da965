"""Rates by block, and the pull back: against Keras' optimizers, one for each block."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from fdsearch.training.batches import Batches
from fdsearch.training.network import Network
from fdsearch.training.optimizers import depths_from_head, make_optimizer
from fdsearch.trial import TrialConfig

RATE, DECAY = 0.01, 0.3


def config(**params):
    small = {"backbone": "s_cnn_02", "image_size": 16, "dropout": 0.0, "phases": "full"}
    return TrialConfig.from_params({**small, **params})


@pytest.fixture(scope="module")
def network():
    made = Network(config(), n_classes=3)
    made.set_trainable(config().phases[0], "frozen")
    return made


def one_batch(n=6, weight=1.0):
    pictures = np.random.default_rng(0).integers(0, 256, (n, 16, 16, 1), dtype=np.uint8)
    weights, draws = np.full(n, weight, np.float32), np.empty((n, 0), np.float32)
    starts, rates, seeds = np.array([0, n]), np.array([RATE], np.float32), np.zeros(1, np.int32)
    return pictures, Batches(np.arange(n), starts, np.arange(n) % 3, weights, rates, seeds, draws)


def trained(network, n_steps, weight=1.0, **params):
    """Weights before and after some steps of a new configuration."""
    network.reset(seed=0)
    before = network.weights()
    step = network.step(config(**params), "preprocessing", stored=False)
    pictures, batches = one_batch(weight=weight)
    for _ in range(n_steps):
        step(pictures, batches)
    return before, network.weights()


def by_keras(network, n_steps, **params):
    """The same steps by Keras, with an optimizer of its own for each block."""
    network.reset(seed=0)
    model, (pictures, batches) = network.model, one_batch()
    depths = depths_from_head(model)
    groups = {}
    for variable in model.trainable_variables:
        groups.setdefault(depths.get(id(variable), 0), []).append(variable)
    assert sorted(groups) == [0, 1, 2, 3]
    optimizers = {depth: make_optimizer(config(**params)) for depth in groups}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for _ in range(n_steps):
        gradients = gradients_of(model, loss, pictures, batches.labels)
        for depth, group in groups.items():
            optimizers[depth].learning_rate = RATE * DECAY**depth
            optimizers[depth].apply([gradients[id(variable)] for variable in group], group)
    return network.weights()


def gradients_of(model, loss, pictures, labels):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = loss(labels, model(pictures, training=True))
    variables = model.trainable_variables
    found = tape.gradient(value, [variable.value for variable in variables])
    return {id(variable): gradient for variable, gradient in zip(variables, found, strict=True)}


@pytest.mark.parametrize("optimizer", [pytest.param("adam", marks=pytest.mark.slow), "adamw", "sgd"])
def test_each_block_is_trained_as_by_an_optimizer_of_its_own_rate(network, optimizer):
    params = {"optimizer": optimizer, "weight_decay": 0.2}
    _, ours = trained(network, 4, layer_decay=DECAY, **params)
    for mine, theirs in zip(ours, by_keras(network, 4, **params), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["adamw", pytest.param("sgd", marks=pytest.mark.slow)])
def test_a_block_s_first_update_is_its_share_of_the_plain_one(network, optimizer):
    """Decay included; with Adam a smaller gradient would have given the same update."""
    params = {"optimizer": optimizer, "weight_decay": 0.2}
    before, plain = trained(network, 1, **params)
    _, graded = trained(network, 1, layer_decay=DECAY, **params)
    depths = depths_from_head(network.model)
    for variable, *values in zip(network.model.weights, before, plain, graded, strict=True):
        first, whole, part = (value.astype(np.float64) for value in values)
        share = DECAY ** depths.get(id(variable), 0)
        np.testing.assert_allclose(part - first, share * (whole - first), atol=2e-7, err_msg=variable.path)
        assert np.abs(whole - first).max() > 1e-4


def test_the_pull_is_the_rate_s_share_of_the_way_back(network):
    """Without a gradient nothing else is left; the head has nowhere to go back to."""
    before, _ = trained(network, 0)
    moved = [values + 1 for values in before]
    step = network.step(config(l2_sp=0.5, layer_decay=DECAY), "preprocessing", stored=False)
    network.model.set_weights(moved)
    pictures, batches = one_batch(weight=0.0)
    step(pictures, batches)
    depths = depths_from_head(network.model)
    for variable, origin, now in zip(network.model.weights, before, network.weights(), strict=True):
        depth = depths.get(id(variable))
        left = 1.0 if depth is None else 1 - 0.5 * RATE * DECAY**depth
        np.testing.assert_allclose(now - origin, left, rtol=1e-5, err_msg=variable.path)


def test_the_pull_keeps_weights_near_and_a_later_phase_is_pulled_to_the_same_place(network):
    before, free = trained(network, 6, optimizer="sgd")
    _, pulled = trained(network, 6, optimizer="sgd", l2_sp=1.0)

    def way(weights):
        return sum(np.linalg.norm(now - first) for now, first in zip(weights[:-2], before[:-2], strict=True))

    assert way(pulled) < way(free)
    again = network.step(config(l2_sp=1.0), "preprocessing", stored=False)  # as the next phase's
    for variable, origin in again._updates._origins.items():
        place = [id(weight) for weight in network.model.weights].index(variable)
        np.testing.assert_array_equal(origin.numpy(), before[place])


def test_methods_that_are_off_share_the_plain_trace(network):
    plain = network.step(config(), "preprocessing", stored=False)
    assert network.step(config(learning_rate=0.5, deferred_weighting=0.5), "preprocessing", stored=False) is plain
    for method in ({"layer_decay": 0.5}, {"l2_sp": 0.1}, {"mixup": 0.2}, {"weight_average": "ema"}):
        assert network.step(config(**method), "preprocessing", stored=False) is not plain
    graded = network.step(config(layer_decay=0.5), "preprocessing", stored=False)
    assert network.step(config(layer_decay=0.9), "preprocessing", stored=False) is graded


@pytest.mark.slow
def test_two_strengths_on_one_trace_are_each_their_own(network):
    _, strong = trained(network, 2, layer_decay=0.2)
    _, weak = trained(network, 2, layer_decay=0.9)
    network._steps.clear()
    _, alone = trained(network, 2, layer_decay=0.9)
    for first, second in zip(weak, alone, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-7)
    assert not np.allclose(strong[0], weak[0], atol=1e-4)
