from __future__ import annotations

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from fdsearch import metrics
from fdsearch.errors import ConfigError
from fdsearch.training.batches import class_weights
from fdsearch.training.features import as_stored
from fdsearch.training.job import Refit
from fdsearch.training.probe import fit_probe
from fdsearch.training.trainer import fit
from fdsearch.trial import TrialConfig

LITE0 = {"backbone": "efficientnet_lite0"}
SMALL = {"phases": "full"}
PROBE = pytest.param({"phases": "probe", **LITE0}, id="probe")
HEAD_TAIL = pytest.param({"phases": "head_tail", "unfreeze": 0.1, **LITE0}, id="head_tail")
FULL = pytest.param({**SMALL, "subsample": "balanced", "schedule": "plateau", "loss": "focal"}, id="full")
RANDOM_PREFIX = pytest.param({"phases": "head_tail", "unfreeze": 0.5}, id="random prefix")
LOOKS = {"phases": "head_tail", "unfreeze": 0.1, "probe_views": 3, "test_views": 2, **LITE0}
VIEWS = pytest.param(
    {**LOOKS, "augmentation": 1.0, "augmentation_policy": "flips", "augmentation_views": 2},
    id="views",
    marks=pytest.mark.slow,
)
RANDOM_VIEWS = pytest.param(
    {"phases": "head_tail", "unfreeze": 0.5, "probe_views": 5, "test_views": 4}, id="views of a random prefix"
)


def go_on(epoch, row):
    return True


def stored_weights(path):
    return keras.saving.load_model(path).get_weights()


@pytest.mark.parametrize("params", [PROBE, HEAD_TAIL, FULL, RANDOM_PREFIX, VIEWS, RANDOM_VIEWS])
def test_labels_of_the_validation_part_do_not_reach_the_weights(make_job, tmp_path, params):
    """The acceptance test of the evaluation: whatever stands on the validation rows, the weights are the same."""
    weights, logits = [], []
    for turn in range(2):
        job = make_job(params, save_to=tmp_path / f"{turn}.keras")
        labels = job.labels.copy()
        labels[job.validation] = np.roll(labels[job.validation], turn * 3)
        result = fit(replace(job, labels=labels), go_on)
        assert result.status == "done"
        weights.append(stored_weights(tmp_path / f"{turn}.keras"))
        logits.append(result.logits)
    for first, second in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(*logits)


@pytest.mark.parametrize("params", [HEAD_TAIL, FULL, RANDOM_PREFIX])
def test_a_job_does_not_depend_on_what_ran_before_it(make_job, params):
    from fdsearch.training import network

    network.forget()
    fit(make_job({**params, "dropout": 0.0}, seed=2), go_on)
    reused = [fit(make_job(params, seed=seed), go_on) for seed in (1, 2, 1)]
    network.forget()
    alone = fit(make_job(params, seed=1), go_on)
    np.testing.assert_array_equal(reused[0].logits, reused[2].logits)
    np.testing.assert_allclose(reused[0].logits, alone.logits, atol=1e-5)
    assert not np.array_equal(reused[0].logits, reused[1].logits)


@pytest.mark.parametrize("params", [PROBE, HEAD_TAIL, FULL, VIEWS, RANDOM_VIEWS])
def test_saved_model_takes_raw_pictures_and_gives_the_logits(make_job, tmp_path, params):
    job = make_job(params, save_to=tmp_path / "model.keras")
    result = fit(job, go_on)
    model = keras.saving.load_model(job.save_to, safe_mode=True)
    pictures = np.load(job.pixels)[job.validation]
    assert model.inputs[0].dtype == "uint8"
    np.testing.assert_allclose(model.predict(pictures, verbose=0), result.logits, rtol=0.02, atol=0.02)
    assert result.n_parameters == model.count_params()
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_a_probe_of_several_views_is_fitted_on_all_of_them_at_once(make_job, tmp_path):
    probe = {"phases": "probe", "probe_c": 0.01}
    job = make_job({**probe, "probe_views": 5}, save_to=tmp_path / "model.keras")
    fit(job, go_on)
    model = keras.saving.load_model(job.save_to)
    features_of = keras.Model(model.inputs, model.get_layer("features").output)
    pictures = np.load(job.pixels)[job.train]
    looks = [pictures, pictures[:, :, ::-1], pictures[:, ::-1], pictures[:, ::-1, ::-1]]
    looks.append(np.round(255 * (pictures / 255) ** 0.7))
    stacked = np.concatenate([features_of.predict_on_batch(look.astype(np.uint8)) for look in looks])
    labels = job.labels[job.train]
    weights = class_weights(labels, 3, job.config.class_weighting)
    head = fit_probe(as_stored(stacked), np.tile(labels, 5), weights / 5, job.config.probe_c)
    kernel, bias = model.get_layer("logits").get_weights()
    np.testing.assert_allclose(kernel, head.kernel, atol=0.02 * np.abs(head.kernel).max())
    np.testing.assert_allclose(bias, head.bias, atol=0.02)
    alone = fit(make_job(probe), go_on)
    assert not np.allclose(alone.logits, head.logits(features_of.predict_on_batch(np.load(job.pixels)[job.validation])))


def test_fixed_views_are_computed_once_for_all_fits(make_job, monkeypatch):
    """Whatever their seeds, folds and deeper phases: probes on their features, test views on the tail's inputs too."""
    from fdsearch.training import network

    params = {**LOOKS, "unfreeze": 0.15, "probe_views": 4, "test_views": 4}
    fit(replace(make_job(params), n_fits=5), go_on)
    monkeypatch.setattr(network.Network, "activations", lambda *arguments, **options: pytest.fail("computed again"))
    other = replace(make_job({**params, "probe_c": 0.01}, seed=9), n_fits=5, train=np.arange(8, 28))
    assert fit(replace(other, validation=np.arange(8)), go_on).status == "done"
    assert fit(make_job({"phases": "probe", "probe_views": 3, "test_views": 2, **LITE0}), go_on).status == "done"


def test_rows_that_choose_the_weights_are_judged_as_the_model_answers(make_job, tmp_path):
    """Early stopping looks at the mean over test views; the curve's record of an epoch at the pictures alone."""
    params = {**SMALL, "epochs": 6, "learning_rate": 0.02, "early_stopping": "loss", "patience": 6, "test_views": 4}
    job = make_job(params, monitor=True, save_to=tmp_path / "model.keras")
    result = fit(job, go_on)
    best = min(result.curve, key=lambda row: row["monitor_loss"])
    model, pictures = keras.saving.load_model(job.save_to), np.load(job.pixels)
    logits = model.predict_on_batch(pictures[job.monitor])
    assert best["monitor_loss"] == pytest.approx(metrics.log_loss(job.labels[job.monitor], logits), abs=1e-4)
    np.testing.assert_allclose(model.predict_on_batch(pictures[job.validation]), result.logits, atol=1e-4)
    alone = model.get_layer("network").predict_on_batch(pictures[job.validation])
    assert best["val_loss"] == pytest.approx(metrics.log_loss(job.labels[job.validation], alone), abs=1e-4)


def test_in_one_split_the_record_is_what_chose_the_weights(make_job):
    params = {**SMALL, "epochs": 3, "early_stopping": "loss", "test_views": 2}
    job = make_job(params, monitor=True)
    result = fit(replace(job, monitor=job.validation), go_on)
    assert [row["val_loss"] for row in result.curve] == [row["monitor_loss"] for row in result.curve]


def test_curve_says_what_each_epoch_did(make_job):
    rows = []
    job = make_job({"phases": "head_tail", "unfreeze": 0.1, "epochs": 4, "phase_decay": 0.5, **LITE0}, monitor=True)
    result = fit(job, lambda epoch, row: rows.append((epoch, row)) or True)
    assert [epoch for epoch, _ in rows] == [0, 1, 2, 3]
    assert result.curve == tuple(row for _, row in rows)
    assert [row["phase"] for row in result.curve] == ["head", "tail", "tail", "tail"]
    assert result.learning_rates == pytest.approx([1e-3, 5e-4, 5e-4, 5e-4])
    assert (result.epochs, result.phase_epochs) == (4, (0, 1, 3))
    last = result.curve[-1]
    truth = job.labels[job.validation]
    assert last["val_macro_f1"] == metrics.macro_f1(truth, metrics.predict(result.logits), 3)
    assert last["val_loss"] == metrics.log_loss(truth, result.logits)
    assert last["val_f1"] == metrics.f1_per_class(truth, metrics.predict(result.logits), 3).tolist()
    assert {"accuracy", "val_accuracy", "monitor_loss", "monitor_macro_f1", "seconds"} < set(last)


def test_a_job_without_validation_rows_is_a_fit_alone(make_job):
    result = fit(replace(make_job({**SMALL, "test_views": 2}), validation=np.empty(0, np.int64)), go_on)
    assert result.logits.shape == (0, 3)
    assert not [key for key in result.curve[0] if key.startswith("val_")]


def test_training_learns(make_job):
    result = fit(make_job({**SMALL, "epochs": 25, "learning_rate": 3e-3, "dropout": 0.0}), go_on)
    assert result.curve[-1]["loss"] < result.curve[0]["loss"] / 3
    assert result.curve[-1]["accuracy"] > 0.9


def test_report_stops_the_job_and_the_last_logits_are_kept(make_job):
    result = fit(make_job({**SMALL, "epochs": 5}), lambda epoch, row: epoch < 1)
    assert (result.status, result.epochs, len(result.curve)) == ("stopped", 2, 2)
    assert result.logits.shape == (8, 3)


def test_numbers_that_run_away_are_a_failure(make_job, tmp_path):
    job = make_job({**SMALL, "optimizer": "sgd", "learning_rate": 10.0, "epochs": 12}, save_to=tmp_path / "m.keras")
    values = np.load(job.pixels)
    job = replace(job, labels=np.random.default_rng(0).integers(0, 3, len(values)))
    result = fit(replace(job, config=replace(job.config, loss="cross_entropy", weight_decay=1.0)), go_on)
    if result.status == "done":
        pytest.fail(f"a rate of 10 was expected to run away: {result.curve[-1]}")
    assert (result.status, result.failure, result.logits) == ("failed", "non_finite", None)
    assert "lower learning_rate" in result.message
    assert not job.save_to.exists()


@pytest.mark.parametrize("monitor", ["macro_f1", "loss", "both"])
def test_best_weights_of_the_monitored_rows_are_restored(make_job, monitor):
    params = {**SMALL, "epochs": 12, "learning_rate": 0.02, "early_stopping": monitor, "patience": 3}
    job = make_job(params, monitor=True)
    result = fit(job, go_on)
    scores = [
        (-row["monitor_loss"],) if monitor == "loss" else (row["monitor_macro_f1"], -row["monitor_loss"])
        for row in result.curve
    ]
    best = scores.index(max(scores))
    assert result.epochs == best + 1 == len(result.learning_rates)
    assert result.curve[best]["val_loss"] == pytest.approx(metrics.log_loss(job.labels[job.validation], result.logits))


def test_a_probe_that_no_epoch_improves_is_what_remains(make_job):
    params = {"phases": "head", "learning_rate": 5.0, "early_stopping": "loss", "patience": 1, "epochs": 4, **LITE0}
    job = make_job(params, monitor=True)
    # Every monitored label is wrong, so that the surer the head is, the worse it looks.
    labels = job.labels.copy()
    labels[job.monitor] = (labels[job.monitor] + 1) % 3
    tuned = fit(replace(job, labels=labels), go_on)
    probe = fit(make_job({"phases": "probe", **LITE0}), go_on)
    assert (tuned.epochs, tuned.phase_epochs, len(tuned.curve)) == (0, (0, 0), 2)
    np.testing.assert_allclose(tuned.logits, probe.logits, atol=1e-4)


def test_without_early_stopping_monitored_rows_decide_nothing(make_job):
    watched, alone = (fit(make_job(SMALL, monitor=monitor), go_on) for monitor in (True, False))
    np.testing.assert_array_equal(watched.logits, alone.logits)


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_refit_stops_early_on_the_same_path(make_job, schedule):
    params = {**SMALL, "epochs": 6, "schedule": schedule}
    job = make_job(params)
    whole = fit(job, go_on)
    part = fit(replace(job, refit=Refit(epochs=4)), go_on)
    assert [row["loss"] for row in part.curve] == [row["loss"] for row in whole.curve[:4]]
    assert part.learning_rates == whole.learning_rates[:4]


def test_refit_replays_learning_rates_and_phases(make_job):
    job = make_job({"phases": "head_tail", "unfreeze": 0.1, "epochs": 8, **LITE0})
    result = fit(replace(job, refit=Refit(3, (0.1, 0.01, 0.001), phase_epochs=(0, 1, 2))), go_on)
    assert result.learning_rates == pytest.approx((0.1, 0.01, 0.001))
    assert [row["phase"] for row in result.curve] == ["head", "tail", "tail"]


def test_stored_activations_and_pictures_train_alike(make_job, monkeypatch, tmp_path):
    """A tail behind stored activations is the network with a frozen prefix, up to the rounding to float16."""
    from fdsearch.training import feeds

    params = {"phases": "head_tail", "unfreeze": 0.1, "dropout": 0.0, **LITE0}
    stored = fit(make_job(params), go_on)
    monkeypatch.setattr(feeds, "_worth_storing", lambda *arguments: set())
    whole = fit(make_job(params), go_on)
    np.testing.assert_allclose(stored.logits, whole.logits, rtol=0.05, atol=0.05)


def test_a_long_pass_over_the_pictures_gives_what_a_short_one_gives(make_job, monkeypatch):
    from fdsearch.training import network

    job = make_job({"phases": "head", **LITE0})
    pictures, found = np.load(job.pixels), []
    for bound in (10**15, 0):
        monkeypatch.setattr(network, "LONG_PASS", bound)
        made = network.Network(job.config, job.n_classes)
        made.reset(seed=0)
        cuts = [made.cut_names[-4], "features"]
        found.append({cut: np.concatenate([part[cut] for part in made.activations(pictures, cuts)]) for cut in cuts})
    assert len(found[0]) == 2
    for cut, values in found[0].items():
        np.testing.assert_allclose(found[1][cut], values, rtol=1e-3, atol=1e-3)


def test_augmentation_trains_on_pictures_that_vary(make_job):
    results = [
        fit(make_job({"phases": "head_tail", "unfreeze": 0.05, "epochs": 2, "augmentation": strength, **LITE0}), go_on)
        for strength in (0.5, 0.5, 0.0)
    ]
    np.testing.assert_array_equal(results[0].logits, results[1].logits)
    assert not np.allclose(results[0].logits, results[2].logits, atol=1e-3)


AUGMENTED = {"phases": "head_tail", "unfreeze": 0.1, "augmentation": 0.6, "epochs": 4, "dropout": 0.3, **LITE0}


@pytest.mark.parametrize("views", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_stored_views_and_pictures_varied_in_each_step_train_alike(make_job, monkeypatch, views):
    """Up to the rounding of what is stored: rounded likewise in the step, the curves are equal."""
    from fdsearch.training import feeds, network, steps

    job = replace(make_job({**AUGMENTED, "augmentation_views": views}), n_fits=5)
    stored = fit(job, go_on)
    monkeypatch.setattr(feeds, "_worth_storing", lambda *arguments: set())
    in_full = fit(job, go_on)
    frozen = steps._Network.frozen
    monkeypatch.setattr(
        steps._Network, "frozen", lambda self, *inputs: tf.cast(tf.cast(frozen(self, *inputs), "float16"), "float32")
    )
    network.forget()
    rounded = fit(job, go_on)
    for name in ("loss", "val_loss"):
        of_each = [[row[name] for row in result.curve] for result in (stored, rounded, in_full)]
        np.testing.assert_allclose(of_each[0], of_each[1], rtol=1e-3)
        np.testing.assert_allclose(of_each[0], of_each[2], rtol=0.2)


def test_folds_share_views_and_few_views_come_again(make_job):
    """The frozen layers compute each view once: for whoever comes first."""
    job = replace(make_job({**AUGMENTED, "augmentation": 0.55, "augmentation_views": 2}), n_fits=5)
    before = set(job.prefix_cache.glob("*.npy"))
    fit(job, go_on)
    after = set(job.prefix_cache.glob("*.npy"))
    fit(replace(job, seed=9, train=np.arange(8, 28), validation=np.arange(8)), go_on)
    assert set(job.prefix_cache.glob("*.npy")) == after
    computed = [json.loads(path.with_suffix(".json").read_text())["view"] for path in after - before]
    assert sorted({view["view"] for view in computed if view}) == [0, 1]


def test_trials_of_one_shape_share_what_was_traced(make_job, monkeypatch):
    """Rates, dropout, smoothing, decay, weighting, schedule, epochs and batch size cost no new trace."""
    from fdsearch.training import network

    made = []

    class Counted(network.TrainStep):
        def __init__(self, *arguments):
            made.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr(network, "TrainStep", Counted)
    network.forget()
    shape = {"phases": "head_tail", "unfreeze": 0.1, "optimizer": "adamw", **LITE0}
    fit(make_job(shape), go_on)
    assert len(made) == 2
    numbers = {"learning_rate": 3e-4, "dropout": 0.1, "label_smoothing": 0.05, "weight_decay": 0.02, "batch_size": 4}
    fit(make_job({**shape, **numbers, "class_weighting": 0.3, "schedule": "cosine", "epochs": 5}, seed=4), go_on)
    assert len(made) == 2


def test_a_set_too_large_for_the_device_trains_alike(make_job, monkeypatch):
    from fdsearch.training import phases, resident

    params = {"phases": "head_tail", "unfreeze": 0.1, **LITE0}
    kept = fit(make_job(params), go_on)
    monkeypatch.setattr(resident, "MAX_BYTES", 0)
    monkeypatch.setattr(phases, "_CALL_BYTES", 1)
    sent = fit(make_job(params), go_on)
    np.testing.assert_allclose(kept.logits, sent.logits, atol=1e-5)


@pytest.mark.parametrize(
    "params",
    [
        FULL,
        HEAD_TAIL,
        pytest.param({"phases": "head_tail", "augmentation": 0.5, **LITE0}, marks=pytest.mark.slow),
    ],
)
def test_pictures_are_the_same_as_halves_on_a_gpu(make_job, monkeypatch, params):
    from fdsearch.training import network, resident, views

    def trained(on_gpu):
        monkeypatch.setattr(resident, "on_gpu", lambda: on_gpu)
        for forget in (network.forget, views._vary.cache_clear, resident._kept.clear):
            forget()
        result = fit(make_job(params), go_on)
        kinds = {array.dtype.name for _, array in resident._kept.values()}
        return result.logits, kinds

    (halves, kinds), (bytes_, _) = trained(True), trained(False)
    network.forget()
    assert kinds == {"float16"}
    np.testing.assert_allclose(halves, bytes_, atol=1e-5)


def test_weighting_and_its_shares(make_job):
    plain, weighted, balanced = (
        fit(make_job({"phases": "probe", **LITE0, **change}), go_on).effective_shares
        for change in (
            {"class_weighting": 0.0},
            {"class_weighting": 1.0},
            {"subsample": "balanced", "class_weighting": 0.0},
        )
    )
    job = make_job({})
    assert plain == pytest.approx(np.bincount(job.labels[job.train], minlength=3) / len(job.train))
    assert weighted == pytest.approx([1 / 3] * 3)
    assert balanced == pytest.approx([1 / 3] * 3)


def test_unknown_names_are_refused(make_job):
    with pytest.raises(ConfigError, match="piston_cnn"):
        fit(make_job({"backbone": "piston_cn", "phases": "full"}), go_on)
    with pytest.raises(ConfigError, match="cross_entropy"):
        fit(make_job({**SMALL, "loss": "cross_entropi"}), go_on)


METHODS = [{"loss": "logit_adjusted", "class_weighting": 0.0}, {"loss": "ldam", "deferred_weighting": 0.5}]


@pytest.mark.parametrize("params", METHODS, ids=lambda params: params["loss"])
def test_folds_of_other_counts_give_what_each_gives_in_a_process_of_its_own(make_job, params):
    """They share a traced step; the counts are not in it."""
    from fdsearch.training import network

    job = make_job({**SMALL, **params})
    rows = [np.flatnonzero(job.labels != 2)[:12], np.arange(20)]
    jobs = [replace(job, train=np.sort(train)) for train in rows]
    network.forget()
    together = [fit(fold, go_on) for fold in jobs]
    for fold, shared in zip(jobs, together, strict=True):
        network.forget()
        alone = fit(fold, go_on)
        np.testing.assert_allclose(alone.logits, shared.logits, atol=1e-5)
        assert alone.effective_shares == shared.effective_shares
        present = np.bincount(fold.labels[fold.train], minlength=3) > 0
        assert [share > 0 for share in shared.effective_shares] == present.tolist()


@pytest.mark.parametrize("params", [{"mixup": 0.3}, {"layer_decay": 0.3}, {"l2_sp": 1.0}, {"sampling": "balanced"}])
def test_each_method_trains_otherwise_and_twice_alike(make_job, params):
    plain, first, second = (fit(make_job({**SMALL, **method}), go_on) for method in ({}, params, params))
    np.testing.assert_array_equal(first.logits, second.logits)
    assert not np.allclose(plain.logits, first.logits, atol=1e-4)
    assert [row["learning_rate"] for row in first.curve] == [row["learning_rate"] for row in plain.curve]


@pytest.mark.slow
def test_mixup_mixes_what_the_frozen_layers_give_stored_or_not(make_job, monkeypatch):
    from fdsearch.training import feeds

    params = {"phases": "head_tail", "unfreeze": 0.1, "dropout": 0.0, "mixup": 0.4, **LITE0}
    stored = fit(make_job(params), go_on)
    monkeypatch.setattr(feeds, "_worth_storing", lambda *arguments: set())
    whole = fit(make_job(params), go_on)
    np.testing.assert_allclose(stored.logits, whole.logits, rtol=0.05, atol=0.05)


@pytest.mark.slow
def test_piston_write_up(shared_data, tmp_path):
    """25 epochs of the write-up's network find 56 of 57 pistons in at least 4 of 5 splits."""
    import csv

    from sklearn.model_selection import train_test_split

    from fdsearch.training.job import JobMaker

    with (shared_data / "pistons" / "defect_log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    values = [np.asarray(Image.open(shared_data / "pistons" / row["image_path"]).convert("L")) for row in rows]
    np.save(tmp_path / "80.npy", np.stack(values)[..., None])
    labels = np.array([int(row["target"]) for row in rows])
    maker = JobMaker(labels, np.arange(285), 3, {(80, "stretch"): tmp_path / "80.npy"}, "pistons", tmp_path)
    params = {
        "backbone": "piston_cnn",
        "weights": "random",
        "epochs": 25,
        "batch_size": 32,
        "dropout": 0.0,
        "class_weighting": 0.0,
    }
    hits = []
    for seed in range(5):
        train, validation = train_test_split(np.arange(285), test_size=57, stratify=labels, random_state=seed)
        result = fit(maker.job("p", TrialConfig.from_params(params), train, validation, seed=seed), go_on)
        hits.append(int((metrics.predict(result.logits) == labels[validation]).sum()))
    assert sum(hit >= 56 for hit in hits) >= 4, hits


def test_normalisation_inside_a_builders_block_is_frozen_or_trained_as_asked(make_job, monkeypatch, tmp_path):
    """A network that was traced for the one is not taken for the other."""
    from fdsearch.models.builders import BUILDERS
    from fdsearch.models.frame import classifier, picture_input, pooled

    def nested(config, input_shape, n_classes):
        pictures, maps = picture_input(input_shape, scale=[1 / 255], offset=[0.0])
        block = [keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(name="inside")]
        return classifier(pictures, pooled(keras.Sequential(block)(maps), config.pooling), config, n_classes)

    monkeypatch.setitem(BUILDERS, "nested", nested)
    statistics = {}
    for setting in ("frozen", "trained", "frozen"):
        path = tmp_path / f"{setting}.keras"
        params = {"backbone": "nested", "phases": "full", "batch_norm": setting, "epochs": 1}
        assert fit(make_job(params, save_to=path), go_on).status == "done"
        found = [array for array in stored_weights(path) if array.shape == (4,)]  # bias, gamma, beta, mean, variance
        statistics.setdefault(setting, []).append(found[-2:])
    (first, again), (trained,) = statistics["frozen"], statistics["trained"]
    np.testing.assert_array_equal(first, [np.zeros(4), np.ones(4)])
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(trained[0], 0.0)
