from __future__ import annotations

import gc
from dataclasses import replace

import keras
import numpy as np
import pytest

from fdsearch.models.augmentation import draw_variations
from fdsearch.training.batches import Batches
from fdsearch.training.network import Network
from fdsearch.training.optimizers import MOMENTUM, make_optimizer
from fdsearch.training.steps import TrainStep, traced_for
from fdsearch.training.tracing import make_forward
from fdsearch.trial import Phase, TrialConfig


def config(**params):
    return TrialConfig.from_params({"backbone": "piston_cnn", "image_size": 16, "dropout": 0.0, **params})


@pytest.fixture(scope="module")
def network():
    return Network(config(), n_classes=3)


def batch(n=6):
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (n, 16, 16, 1), dtype=np.uint8), np.arange(n) % 3


def make_step(network, config):
    whole = keras.Model(network.model.inputs, network.model.get_layer("features").output)
    return TrainStep(None, whole, network.model.get_layer("logits"), config, 3)


def batches(labels, weights, *, size=None, rate=0.01):
    """One batch, or several of some size, in the order of the rows."""
    starts = np.append(np.arange(0, len(labels), size or len(labels)), len(labels))
    n = len(starts) - 1
    rates, seeds = np.full(n, rate, np.float32), np.arange(n, dtype=np.int32)
    draws = np.empty((len(labels), 0), np.float32)
    return Batches(np.arange(len(labels)), starts, labels, weights.astype(np.float32), rates, seeds, draws)


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
    step = make_step(network, config(optimizer="sgd"))
    losses, _ = step(pictures, batches(labels, weights, rate=0.1))
    assert float(losses[0]) / len(labels) == pytest.approx(float(peer_loss), rel=1e-5)
    for ours, theirs in zip(network.weights(), peer.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_restart_forgets_the_moments(network):
    pictures, labels = batch()
    step = make_step(network, config())
    after = []
    for _ in range(2):
        network.reset(seed=0)
        step.restart(config())
        for _ in range(3):
            step(pictures, batches(labels, np.ones(6)))
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
    step = make_step(network, config(optimizer=optimizer, weight_decay=0.5))
    step(pictures, batches(labels, np.zeros(6), rate=0.1))  # without a gradient only the decay is left
    np.testing.assert_allclose(logits.kernel.numpy(), kernel * 0.95, rtol=1e-5)
    np.testing.assert_allclose(logits.bias.numpy(), 1.0)


def test_hits_are_counted_without_weights(network):
    network.reset(seed=0)
    pictures, labels = batch()
    predicted = network.logits(pictures, np.arange(6), None).argmax(axis=1)
    step = make_step(network, config())
    _, hits = step(pictures, batches(labels, np.zeros(6), rate=0.0))
    assert hits == (predicted == labels).sum()


def test_batches_in_one_call_are_batches_in_several(network):
    """However many steps a call takes, they are the same steps, on the rows that were meant."""
    pictures, labels = batch(7)
    shuffled = np.array([4, 0, 6, 2, 5, 1, 3])
    whole = batches(labels, np.linspace(0.5, 2, 7), size=3)
    ends = []
    for parts in ([(0, 3)], [(0, 1), (1, 3)], [(0, 2), (2, 3)]):
        network.reset(seed=0)
        step = make_step(network, config(dropout=0.4))
        losses = []
        for first, last in parts:
            part = whole.part(first, last)
            losses += list(step(pictures[shuffled], replace(part, rows=np.argsort(shuffled)[part.rows]))[0])
        ends.append([np.array(losses), *network.weights()])
    for other in ends[1:]:
        for first, second in zip(ends[0], other, strict=True):
            np.testing.assert_allclose(first, second, atol=1e-6)


def test_a_mixed_batch_is_the_mixture_of_inputs_and_of_losses(network):
    """Against Keras' own step on mixed pictures with the losses of both labels."""
    pictures, labels = batch()
    weights, mixes, partners = (
        np.linspace(0.5, 2, 6),
        np.linspace(0.5, 1, 6, dtype=np.float32),
        np.roll(np.arange(6), 2),
    )
    network.reset(seed=0)
    network.set_trainable(Phase("full", unfreeze=1.0), "frozen")
    step = network.step(config(optimizer="sgd", mixup=0.3), "preprocessing", stored=False)
    mixing = {"partners": partners.astype(np.int32), "mixes": mixes}
    losses, _ = step(pictures, replace(batches(labels, weights, rate=0.1), **mixing))
    found = network.weights()
    network.reset(seed=0)
    prefix, tail = network._split("preprocessing")
    inputs, shares = np.asarray(prefix(pictures)), mixes[:, None, None, None]
    peer = keras.models.clone_model(tail)
    peer.set_weights(tail.get_weights())
    # A picture's two labels are two pictures that look the same.
    twice = np.concatenate([shares * inputs + (1 - shares) * inputs[partners]] * 2)
    both = np.concatenate([labels, labels[partners]])
    of_both = np.concatenate([weights * mixes, weights[partners] * (1 - mixes)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    peer.compile(keras.optimizers.SGD(0.2, momentum=MOMENTUM, nesterov=True), loss, jit_compile=False)
    peer_loss = peer.train_on_batch(twice, both, sample_weight=of_both)
    assert float(losses[0]) / 6 == pytest.approx(2 * float(peer_loss), rel=1e-5)
    for ours, theirs in zip(found, peer.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_batches_of_two_folds_see_their_own_counts_on_one_trace(network):
    """As each alone: counts are no part of a trace."""
    pictures, labels = batch()
    folds = [(np.array([90.0, 9, 1]), np.array([0.9, 0.09, 0.01])), (np.ones(3) * 8, np.ones(3) / 3)]

    def losses_of(step, fold):
        network.reset(seed=0)
        step.prepare(*fold, ema_decay=0.0)
        return step(pictures, batches(labels, np.ones(6), rate=0.0))[0]

    for name in ("ldam", "logit_adjusted"):
        shared = make_step(network, config(loss=name))
        together = [losses_of(shared, fold) for fold in folds]
        alone = [losses_of(make_step(network, config(loss=name)), fold) for fold in folds]
        np.testing.assert_allclose(together, alone, rtol=1e-6)
        assert abs(together[0] - together[1]) > 0.1


KNOBS = [
    {"label_smoothing": 0.2},
    {"loss": "focal", "focal_gamma": 1.5},
    {"weight_decay": 0.3},
    {"dropout": 0.6},
    {"augmentation": 0.8},
]


@pytest.mark.parametrize("change", KNOBS, ids=lambda change: list(change)[-1])
def test_a_step_that_is_used_again_takes_the_numbers_of_its_new_configuration(network, change):
    """It trains as one made for that configuration, and not as it did before."""
    first = config(**{**change, **{name: value / 2 for name, value in change.items() if name != "loss"}})
    pictures, labels = batch()
    draws = draw_variations(6, 0, 0)

    def trained(step):
        network.reset(seed=0)
        step(pictures, replace(batches(labels, np.ones(6), rate=0.1), draws=draws))
        return np.concatenate([array.ravel() for array in network.weights()])

    used = make_step(network, first)
    before = trained(used)
    used.restart(config(**change))
    np.testing.assert_allclose(trained(used), trained(make_step(network, config(**change))), atol=1e-6)
    assert not np.allclose(before, trained(used), atol=1e-6)


def test_a_plugin_s_loss_is_traced_for_each_configuration():
    """It may read any number of the configuration as a Python number."""
    named = [replace(config(label_smoothing=value), loss="own") for value in (0.1, 0.2)]
    assert traced_for(named[0]) != traced_for(named[1])
    assert traced_for(config(label_smoothing=0.1)) == traced_for(config(label_smoothing=0.2))


def test_the_rate_is_set_from_outside():
    optimizer = make_optimizer(config(learning_rate=0.5))
    assert float(optimizer.learning_rate) == 0.0


def test_a_dropped_step_leaves_no_graph_behind(network):
    """Else a search of many configurations fills the memory: TensorFlow keeps some graphs for the process's life."""
    pictures, labels = batch()

    def graphs_after(n_steps):
        for _ in range(n_steps):
            make_step(network, config())(pictures, batches(labels, np.ones(6)))
        gc.collect()
        return sum(type(thing).__name__ == "FuncGraph" for thing in gc.get_objects())

    assert graphs_after(3) == graphs_after(1)


def test_functions_with_gradients_of_their_own_are_not_kept_either():
    """As silu of EfficientNetV2: TensorFlow registers such a gradient, and with it the graph it was traced in."""
    inputs = keras.Input((16, 16, 1), dtype="uint8")
    features = keras.layers.Dense(4, activation="silu")(keras.layers.Flatten()(keras.ops.cast(inputs, "float32")))
    outputs = keras.layers.Dense(3, name="logits")(features)
    model, trunk = keras.Model(inputs, outputs), keras.Model(inputs, features)
    pictures, labels = batch()

    def graphs_after(n_steps):
        for _ in range(n_steps):
            step = TrainStep(None, trunk, model.get_layer("logits"), config(), 3)
            losses, _ = step(pictures, batches(labels, np.ones(6)))
            assert np.isfinite(losses).all()
            make_forward(model)(pictures, np.arange(6))
        del step
        gc.collect()
        return sum(type(thing).__name__ == "FuncGraph" for thing in gc.get_objects())

    assert graphs_after(3) == graphs_after(1)


def test_constant_weights_give_the_same_and_stay():
    inputs = keras.Input((16, 16, 1), dtype="uint8")
    maps = keras.layers.Conv2D(4, 3, use_bias=False)(keras.ops.cast(inputs, "float32") / 255.0)
    maps = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(maps))
    features = keras.layers.GlobalAveragePooling2D()(maps)
    model = keras.Model(inputs, {"maps": maps, "features": features})
    generator = np.random.default_rng(0)
    model.set_weights([generator.uniform(0.5, 1.5, array.shape) for array in model.get_weights()])
    pictures, rows = batch()[0], np.array([4, 0, 1])
    plain, constant = make_forward(model), make_forward(model, constant=True)
    before = plain(pictures, rows)
    for name, values in constant(pictures, rows).items():
        np.testing.assert_allclose(values, before[name], rtol=1e-5, atol=1e-5)
    model.set_weights([2 * array for array in model.get_weights()])
    np.testing.assert_allclose(constant(pictures, rows)["features"], before["features"], rtol=1e-5, atol=1e-5)
    assert not np.allclose(plain(pictures, rows)["features"], before["features"])


def test_a_restarted_step_is_as_new(network):
    pictures, labels = batch()
    used, new = (make_step(network, config(optimizer=name)) for name in ("adamw", "adamw"))
    used(pictures, batches(labels, np.ones(6)))
    used.restart(config())
    for left, right in zip(used.state(), new.state(), strict=True):
        np.testing.assert_array_equal(left, right)
