"""What a phase reads: pictures, or what is stored of its frozen layers, and whose views."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fdsearch.layers import FEATURES, PREPROCESSING
from fdsearch.training.costs import Costs
from fdsearch.training.features import PrefixCache
from fdsearch.training.feeds import cuts, feeds_of
from fdsearch.training.job import Job
from fdsearch.training.network import Network
from fdsearch.training.views import fixed_views
from fdsearch.trial import TrialConfig

LITE0 = {"backbone": "efficientnet_lite0", "image_size": 32}


COSTS = Costs(macs_per_s=1e10, written_per_s=1e9, read_per_s=1e9)


def job(trial, n_fits=1):
    labels, none = np.arange(5) % 3, np.empty(0, np.int64)
    return Job("job", trial, Path("none"), "none", labels, 3, np.arange(5), none, none, 0, Path("none"), n_fits=n_fits)


@pytest.fixture(scope="module")
def lite0():
    network = Network(TrialConfig.from_params(LITE0), n_classes=3)
    network.reset(seed=0)
    return network


def config(**params):
    return TrialConfig.from_params({**LITE0, **params})


def test_a_prefix_ends_before_what_its_phase_trains(lite0):
    ends = cuts(lite0, config(phases="head_mid_deep", unfreeze=0.6, epochs=10))
    order = [lite0.cut_names.index(end) for end in ends]
    assert ends[:2] == (FEATURES, FEATURES)
    assert order == sorted(order, reverse=True)
    assert len(set(ends)) == 3


def test_a_prefix_never_covers_what_an_earlier_phase_trained(lite0):
    ends = cuts(lite0, config(phases="head_mid_deep", unfreeze_layers=[60, 20], epochs=10))
    assert ends[2] == ends[3] != FEATURES


def test_with_everything_open_the_prefix_is_the_preprocessing(lite0):
    assert cuts(lite0, config(phases="full", epochs=2)) == (PREPROCESSING,)


@pytest.mark.parametrize(
    ("params", "stored"),
    [
        ({"phases": "head"}, [True, True]),
        ({"phases": "head_tail", "unfreeze": 0.2}, [True, True, True]),
        ({"phases": "head_tail", "unfreeze": 1.0}, [True, True, False]),
    ],
)
def test_which_phases_read_stored_activations(lite0, tmp_path, params, stored):
    pictures = np.zeros((5, 32, 32, 1), np.uint8)
    cache = PrefixCache(tmp_path, {}, "avg", len(pictures))
    feeds = feeds_of(lite0, job(config(**params, epochs=4)), pictures, cache, COSTS)
    assert [feed.stored for feed in feeds] == stored
    for feed in feeds:
        assert feed.array.dtype == (np.float16 if feed.stored else np.uint8)
        assert feed.start == (feed.cut if feed.stored else None)


@pytest.mark.parametrize(("n_fits", "stored"), [(1, False), (5, True)])
def test_views_are_stored_where_several_fits_share_them(lite0, tmp_path, n_fits, stored):
    pictures = np.zeros((5, 32, 32, 1), np.uint8)
    cache = PrefixCache(tmp_path, {}, "avg", len(pictures))
    augmented = job(config(phases="head_tail", unfreeze=0.2, augmentation=0.5, epochs=4), n_fits=n_fits)
    feeds = feeds_of(lite0, augmented, pictures, cache, COSTS)
    assert [feed.stored for feed in feeds] == [True, stored, stored]
    assert [feed.varied is not None for feed in feeds[1:]] == [stored, stored]


def test_another_pooling_reads_what_the_first_one_stored(lite0, tmp_path, monkeypatch):
    pictures = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1), np.uint8)
    other = Network(config(pooling="max"), n_classes=3)
    other.reset(seed=0)
    alone = feeds_of(other, job(config(phases="head", pooling="max")), pictures, None, COSTS)[0].array
    feeds_of(lite0, job(config(phases="head")), pictures, PrefixCache(tmp_path, {}, "avg", 5), COSTS)
    monkeypatch.setattr(Network, "activations", lambda *arguments, **options: pytest.fail("computed again"))
    cache = PrefixCache(tmp_path, {}, "max", 5)
    shared = feeds_of(other, job(config(phases="head", pooling="max")), pictures, cache, COSTS)[0].array
    np.testing.assert_allclose(shared, alone, rtol=2e-3, atol=2e-3)


def test_a_probe_stores_what_deeper_trials_of_the_study_read(lite0, tmp_path, monkeypatch):
    pictures = np.zeros((5, 32, 32, 1), np.uint8)
    cache = PrefixCache(tmp_path, {}, "avg", len(pictures))
    probe = replace(job(config(phases="probe"), n_fits=5), depths=(0.05, 0.33))
    feeds_of(lite0, probe, pictures, cache, COSTS)
    monkeypatch.setattr(Network, "activations", lambda *arguments, **options: pytest.fail("computed again"))
    for unfreeze in (0.05, 0.15, 0.33):
        deeper = job(config(phases="head_tail", unfreeze=unfreeze, epochs=4), n_fits=5)
        assert all(feed.stored for feed in feeds_of(lite0, deeper, pictures, cache, COSTS))


def test_what_is_cheaper_to_compute_than_to_read_is_not_stored(lite0, tmp_path):
    pictures = np.zeros((5, 32, 32, 1), np.uint8)
    cache = PrefixCache(tmp_path, {}, "avg", len(pictures))
    slow_disk = Costs(macs_per_s=1e12, written_per_s=1e3, read_per_s=1e3)
    feeds = feeds_of(lite0, job(config(phases="head_tail", unfreeze=0.2, epochs=4)), pictures, cache, slow_disk)
    assert [feed.stored for feed in feeds] == [True, True, False]  # the features are there for the probe


def test_features_of_random_networks_are_kept_in_memory_alone():
    trial = TrialConfig.from_params({"backbone": "piston_cnn", "image_size": 16, "phases": "head_tail", "epochs": 4})
    network = Network(trial, n_classes=3)
    feeds = feeds_of(network, job(trial), np.zeros((5, 16, 16, 1), np.uint8), None, COSTS)
    assert [feed.stored for feed in feeds] == [True, True, False]
    assert not isinstance(feeds[0].array, np.memmap)


@pytest.mark.parametrize("pretrained", [True, False])
def test_mirrored_pictures_are_read_as_the_pictures_are(lite0, tmp_path, pretrained):
    pictures = np.random.default_rng(1).integers(0, 256, (5, 32, 32, 1), np.uint8)
    cache = PrefixCache(tmp_path, {}, "avg", len(pictures)) if pretrained else None
    trial = config(phases="head_tail", unfreeze=0.5, epochs=4)
    [probe, _, tail] = feeds_of(lite0, job(trial, n_fits=5), pictures, cache, COSTS)
    assert tail.stored == pretrained
    rows = np.array([4, 1])
    for view in fixed_views(4)[::3]:
        for feed in (probe, tail):
            seen = feed.seen(view)
            assert (seen.cut, seen.start) == (feed.cut, feed.start)
            expected = lite0.logits(np.flip(pictures, view.mirrored), rows, None)
            np.testing.assert_allclose(lite0.logits(seen.array, rows, seen.start), expected, atol=0.02)
    assert probe.seen(fixed_views(1)[0]) is probe


def test_a_single_fit_reads_mirrored_pictures(lite0, tmp_path):
    """It judges few of them, and their prefix would be computed for all."""
    pictures = np.zeros((5, 32, 32, 1), np.uint8)
    cache = PrefixCache(tmp_path, {}, "avg", len(pictures))
    [probe, _, tail] = feeds_of(lite0, job(config(phases="head_tail", unfreeze=0.2, epochs=8)), pictures, cache, COSTS)
    mirror = fixed_views(2)[1]
    assert tail.stored and not tail.seen(mirror).stored
    assert probe.seen(mirror).stored


def test_without_room_features_are_kept_in_memory_and_pictures_read(lite0, tmp_path, monkeypatch):
    pictures = np.zeros((5, 32, 32, 1), np.uint8)
    cache = PrefixCache(tmp_path, {}, "avg", len(pictures))
    [probe, _, tail] = feeds_of(
        lite0, job(config(phases="head_tail", unfreeze=0.2, epochs=4), n_fits=5), pictures, cache, COSTS
    )
    monkeypatch.setenv("FDSEARCH_CACHE_GB", "0")
    mirror = fixed_views(2)[1]
    features = probe.seen(mirror)
    assert features.stored and not isinstance(features.array, np.memmap)
    assert not tail.seen(mirror).stored
