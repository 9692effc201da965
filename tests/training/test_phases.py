from __future__ import annotations

import numpy as np
import pytest

from fdsearch.layers import FEATURES, PREPROCESSING
from fdsearch.training import phases
from fdsearch.training.features import PrefixCache
from fdsearch.training.job import Refit
from fdsearch.training.network import Network
from fdsearch.trial import TrialConfig

LITE0 = {"backbone": "efficientnet_lite0", "image_size": 32}


@pytest.fixture(scope="module")
def lite0():
    network = Network(TrialConfig.from_params(LITE0), n_classes=3)
    network.reset(seed=0)
    return network


def config(**params):
    return TrialConfig.from_params({**LITE0, **params})


def test_a_prefix_ends_before_what_its_phase_trains(lite0):
    ends = phases.cuts(lite0, config(phases="head_mid_deep", unfreeze=0.6, epochs=10))
    order = [lite0.cut_names.index(end) for end in ends]
    assert ends[:2] == (FEATURES, FEATURES)
    assert order == sorted(order, reverse=True)
    assert len(set(ends)) == 3


def test_a_prefix_never_covers_what_an_earlier_phase_trained(lite0):
    ends = phases.cuts(lite0, config(phases="head_mid_deep", unfreeze_layers=[60, 20], epochs=10))
    assert ends[2] == ends[3] != FEATURES


def test_with_everything_open_the_prefix_is_the_preprocessing(lite0):
    assert phases.cuts(lite0, config(phases="full", epochs=2)) == (PREPROCESSING,)


@pytest.mark.parametrize(
    ("params", "stored"),
    [
        ({"phases": "head"}, [True, True]),
        ({"phases": "head_tail", "unfreeze": 0.2}, [True, True, True]),
        ({"phases": "head_tail", "unfreeze": 0.2, "augmentation": 0.5}, [True, False, False]),
        ({"phases": "head_tail", "unfreeze": 1.0}, [True, True, False]),
    ],
)
def test_which_phases_read_stored_activations(lite0, tmp_path, params, stored):
    pictures = np.zeros((5, 32, 32, 1), np.uint8)
    feeds = phases.feeds(lite0, config(**params, epochs=4), pictures, PrefixCache(tmp_path, {}, "avg", len(pictures)))
    assert [feed.stored for feed in feeds] == stored
    for feed in feeds:
        assert feed.array.dtype == (np.float16 if feed.stored else np.uint8)
        assert feed.start == (feed.cut if feed.stored else None)


def test_activations_that_take_too_much_room_are_not_stored(lite0):
    trial = config(phases="head_tail", unfreeze=0.2, epochs=4)
    assert phases.reads_stored(lite0, trial, trial.phases[2], "block10_add", 1000)
    assert not phases.reads_stored(lite0, trial, trial.phases[2], "block10_add", 10**9)


def test_features_of_random_networks_are_kept_in_memory_alone():
    trial = TrialConfig.from_params({"backbone": "piston_cnn", "image_size": 16, "phases": "head_tail", "epochs": 4})
    network = Network(trial, n_classes=3)
    feeds = phases.feeds(network, trial, np.zeros((5, 16, 16, 1), np.uint8), cache=None)
    assert [feed.stored for feed in feeds] == [True, False, False]


@pytest.mark.parametrize(
    ("refit", "epochs"),
    [
        (None, (0, 3, 9)),
        (Refit(12), (0, 3, 9)),
        (Refit(2), (0, 2, 0)),
        (Refit(7), (0, 3, 4)),
        (Refit(7, None, (0, 1, 6)), (0, 1, 6)),
    ],
)
def test_planned_epochs(refit, epochs):
    assert phases.planned_epochs(config(phases="head_tail", epochs=12), refit) == epochs
