"""The mean of the weights, by hand; it is what figures, best weights, checkpoints and the saved model hold."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from fdsearch import metrics
from fdsearch.training import averaging, life
from fdsearch.training.averaging import WeightAverage, ema_decay
from fdsearch.training.job import Refit
from fdsearch.training.network import borrow
from fdsearch.training.trainer import fit

SMALL = {"phases": "full", "epochs": 8, "learning_rate": 3e-3, "batch_size": 20, "dropout": 0.3}
"""One step an epoch, so that the ends of epochs are all the weights there are."""
KINDS = [pytest.param("ema", marks=pytest.mark.slow), "swa"]


@pytest.fixture(autouse=True)
def _a_mean_over_more_than_one_step(monkeypatch):
    monkeypatch.setattr(averaging, "EMA_SHARE", 0.5)


def go_on(epoch, row):
    return True


def weights_of(job):
    return borrow(job.config, job.n_classes, job.plugins).weights()


@pytest.fixture
def ends(make_job):
    """``ends(**params)``: the weights after each epoch of a fit without an average."""

    def train(**params):
        job, found = make_job({**SMALL, **params}), []
        fit(job, lambda epoch, row: found.append(weights_of(job)) or True)
        return found

    return train


def assert_equal_weights(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def mean_of(ends):
    return [np.mean(arrays, axis=0) for arrays in zip(*ends, strict=True)]


def exponential_mean(ends, decay):
    factors = decay ** np.arange(len(ends))[::-1]
    return [np.average(arrays, axis=0, weights=factors) for arrays in zip(*ends, strict=True)]


def test_ema_is_the_mean_of_all_steps_the_later_the_heavier(make_job, ends):
    steps, decay = ends(), 1 - 1 / (0.5 * 8)
    job, found = make_job({**SMALL, "weight_average": "ema"}), []
    result = fit(job, lambda epoch, row: found.append(weights_of(job)) or True)
    for epoch in range(8):
        assert_equal_weights(found[epoch], exponential_mean(steps[: epoch + 1], decay))
    truth = job.labels[job.validation]
    assert result.curve[-1]["val_loss"] == metrics.log_loss(truth, result.logits)
    assert result.curve[-1]["val_loss"] != fit(make_job(SMALL), go_on).curve[-1]["val_loss"]


def test_swa_is_the_mean_of_the_last_quarter_s_ends(make_job, ends):
    plain = ends(epochs=9)
    job, found = make_job({**SMALL, "epochs": 9, "weight_average": "swa"}), []
    fit(job, lambda epoch, row: found.append(weights_of(job)) or True)
    for epoch in range(9):
        members = plain[6 : epoch + 1] or [plain[epoch]]  # a quarter of 9, rounded up, is 3
        assert_equal_weights(found[epoch], mean_of(members))


@pytest.mark.parametrize("kind", KINDS)
def test_the_saved_model_is_the_mean(make_job, tmp_path, kind):
    job = make_job({**SMALL, "weight_average": kind}, save_to=tmp_path / "m.keras")
    result = fit(job, go_on)
    model = keras.saving.load_model(job.save_to)
    pictures = np.load(job.pixels)[job.validation]
    np.testing.assert_allclose(model.predict(pictures, verbose=0), result.logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_best_mean_is_what_early_stopping_keeps(make_job, kind):
    params = {**SMALL, "learning_rate": 0.03, "early_stopping": "loss", "patience": 8, "weight_average": kind}
    job, found = make_job(params, monitor=True), []
    result = fit(job, lambda epoch, row: found.append(weights_of(job)) or True)
    best = int(np.argmin([row["monitor_loss"] for row in result.curve]))
    assert result.epochs == best + 1
    assert_equal_weights(weights_of(job), found[best])


@pytest.mark.parametrize("kind", KINDS)
def test_a_refit_that_ends_sooner_averages_what_its_folds_did(make_job, kind):
    job, found = make_job({**SMALL, "weight_average": kind}), []
    fit(job, lambda epoch, row: found.append(weights_of(job)) or True)
    fit(replace(job, refit=Refit(7, phase_epochs=(7,))), go_on)
    assert_equal_weights(weights_of(job), found[6])


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_statistics_of_trained_normalisation_are_averaged_and_of_frozen_not_touched(make_job, monkeypatch, kind):
    from fdsearch.models.builders import BUILDERS
    from fdsearch.models.frame import classifier, picture_input, pooled

    def normalised(config, input_shape, n_classes):
        pictures, maps = picture_input(input_shape, scale=[1 / 255], offset=[0.0])
        maps = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(maps))
        return classifier(pictures, pooled(maps, config.pooling), config, n_classes)

    monkeypatch.setitem(BUILDERS, "normalised", normalised)
    monkeypatch.setattr(averaging, "SWA_SHARE", 0.5)
    params = {**SMALL, "backbone": "normalised", "epochs": 4}
    ends = {}
    for average, setting in (("none", "trained"), (kind, "trained"), (kind, "frozen")):
        job = make_job({**params, "batch_norm": setting, "weight_average": average})
        found = ends.setdefault((average, setting), [])
        fit(job, lambda epoch, row, job=job, found=found: found.append(weights_of(job)) or True)
    plain = ends["none", "trained"][-2:]
    expected = exponential_mean(ends["none", "trained"], ema_decay(4)) if kind == "ema" else mean_of(plain)
    assert_equal_weights(ends[kind, "trained"][-1], expected)
    of_frozen = [array for array in ends[kind, "frozen"][-1] if array.shape == (4,)][-2:]
    np.testing.assert_array_equal(of_frozen, [np.zeros(4), np.ones(4)])


def test_only_the_last_phase_is_averaged(make_job):
    phases = {**SMALL, "phases": "head_tail", "unfreeze": 0.5, "epochs": 3, "batch_size": 4}
    curves = [fit(make_job({**phases, "weight_average": kind}), go_on).curve for kind in ("none", "ema")]
    assert [row["phase"] for row in curves[0]] == ["head", "tail", "tail"]
    same = [first["val_loss"] == second["val_loss"] for first, second in zip(*curves, strict=True)]
    assert same == [True, same[1], False]


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_of_a_cosine_head_is_in_unit_vectors_again(make_job, kind):
    lengths = []
    for average in ("none", kind):
        job = make_job({**SMALL, "head": "cosine", "learning_rate": 0.05, "weight_average": average})
        fit(job, go_on)
        lengths.append(np.linalg.norm(weights_of(job)[-2], axis=0))
    np.testing.assert_allclose(lengths, 1.0, atol=1e-5)


def test_an_epoch_that_was_asked_to_end_before_it_began_leaves_the_mean(make_job):
    job = make_job({**SMALL, "epochs": 2, "weight_average": "swa"})
    network = borrow(job.config, job.n_classes, ())
    network.reset(seed=0)
    network.set_trainable(job.config.phases[0], "frozen")
    average = WeightAverage("swa", network.step(job.config, "preprocessing", stored=False), n_epochs=1)
    held = []
    for change in (1.0, 2.0):
        with average.training(0):
            network.model.set_weights([array + change for array in network.weights()])
        held.append(network.weights())
    with pytest.raises(life.Stopped), average.training(0):
        assert_equal_weights(network.weights(), [array + 2.0 for array in held[0]])
        raise life.Stopped
    assert_equal_weights(network.weights(), held[1])


def test_the_mean_reaches_back_over_a_share_of_the_phase():
    assert ema_decay(1000) == 1 - 1 / 500
    assert ema_decay(1) == 0.0
