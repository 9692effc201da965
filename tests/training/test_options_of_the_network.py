"""What phases read of stored outputs answers as the whole model, whatever stands before and behind the backbone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fdsearch.training.costs import Costs
from fdsearch.training.features import PrefixCache
from fdsearch.training.feeds import feeds_of
from fdsearch.training.job import Job
from fdsearch.training.latency import Architecture
from fdsearch.training.network import Network, borrow, forget
from fdsearch.training.probe import Head
from fdsearch.trial import TrialConfig

N = 5
LITE0 = {"backbone": "efficientnet_lite0", "image_size": 32, "epochs": 6, "unfreeze": 0.1}
STORING_PAYS = Costs(macs_per_s=1e6, written_per_s=1e9, read_per_s=1e9)
PICTURES = np.random.default_rng(0).integers(0, 256, (N, 32, 32, 1), np.uint8)
EVERYTHING = {"exposure": "local_contrast", "pooling": "gem", "feature_layers": "multi", "head": "cosine"}
OPTIONS = [
    EVERYTHING,
    *(
        pytest.param(option, marks=pytest.mark.slow)
        for option in (
            {},
            {"exposure": "standardise"},
            {"exposure": "local_contrast"},
            {"pooling": "gem"},
            {"feature_layers": "multi", "pooling": "avg_max"},
            {"head": "cosine", "pooling": "avg_max"},
        )
    ),
]


def job_of(config):
    labels, none = np.arange(N) % 3, np.empty(0, np.int64)
    return Job("job", config, Path("none"), "none", labels, 3, np.arange(N), none, none, 0, Path("none"), n_fits=5)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: ", ".join(map(str, option.values())) or "plain")
def test_stored_outputs_answer_as_the_whole_model_in_every_phase(option, tmp_path):
    config = TrialConfig.from_params({**LITE0, **option, "phases": "head_mid_deep", "unfreeze": 0.9})
    network = Network(config, n_classes=3)
    network.reset(seed=0)
    generator = np.random.default_rng(1)
    kernel, bias = generator.normal(size=network.model.get_layer("logits").kernel.shape), np.zeros(3)
    network.set_head(Head(kernel.astype(np.float32), bias.astype(np.float32)))
    whole = network.logits(PICTURES, np.arange(N), None)
    for unfreeze in (0.1, 0.9):
        deeper = replace(
            config, phases=tuple(replace(phase, unfreeze=phase.unfreeze * unfreeze) for phase in config.phases)
        )
        feeds = feeds_of(network, job_of(deeper), PICTURES, PrefixCache(tmp_path, {}, config.pooling, N), STORING_PAYS)
        assert all(feed.stored for feed in feeds)
        for feed in feeds:
            stored = network.logits(feed.array, np.arange(N), feed.start)
            np.testing.assert_allclose(stored, whole, rtol=0, atol=5e-3 * np.abs(whole).max(), err_msg=feed.cut)


def test_pools_of_several_stages_are_kept_apart_from_those_of_the_last(tmp_path):
    names = []
    for layers in ("last", "multi"):
        network = Network(TrialConfig.from_params({**LITE0, "feature_layers": layers}), n_classes=3)
        names.append(network.stored_as("features"))
    assert len(set(names)) == 2


@pytest.mark.parametrize(
    "option", [{"exposure": "standardise"}, {"feature_layers": "multi"}, {"head": "cosine"}, {"pooling": "gem"}]
)
def test_each_option_has_a_network_and_a_latency_of_its_own(option):
    plain, other = (
        TrialConfig.from_params({"backbone": "piston_cnn", "image_size": 16, **params}) for params in ({}, option)
    )
    assert Architecture(plain, 3).key != Architecture(other, 3).key
    forget()
    assert borrow(plain, 3, ()) is not borrow(other, 3, ())
    assert borrow(plain, 3, ()) is borrow(plain, 3, ())
    forget()


def test_a_cosine_head_is_drawn_in_vectors_of_one_length():
    network = Network(TrialConfig.from_params({**LITE0, "head": "cosine"}), n_classes=3)
    kernels = []
    for seed in (1, 1, 2):
        network.reset(seed)
        kernels.append(network.model.get_layer("logits").get_weights()[0])
    np.testing.assert_allclose(np.linalg.norm(kernels, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])
