"""Small pictures of three kinds, and a maker of jobs over them."""

from __future__ import annotations

import numpy as np
import pytest

from fdsearch.training.job import JobMaker
from fdsearch.trial import TrialConfig

N_PER_CLASS = {0: 16, 1: 8, 2: 8}


def pictures(size, seed=0):
    """Noise (0), with a bright bar (1), with a dark corner (2): shape (32, size, size, 1), and labels."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(list(N_PER_CLASS), list(N_PER_CLASS.values()))
    values = generator.normal(120, 25, (len(labels), size, size, 1))
    third = size // 3
    values[labels == 1, third : 2 * third] += 80
    values[labels == 2, :third, :third] -= 90
    order = generator.permutation(len(labels))
    return np.clip(values[order], 0, 255).astype(np.uint8), labels[order].astype(np.int64)


@pytest.fixture(scope="session")
def maker(tmp_path_factory):
    """Jobs on pictures of 16 pixels (for small networks) and 64 (for a backbone)."""
    folder = tmp_path_factory.mktemp("training")
    for size in (16, 64):
        values, labels = pictures(size)
        np.save(folder / f"{size}.npy", values)
    return JobMaker(
        labels=labels,
        groups=np.arange(len(labels)),
        n_classes=3,
        pixels={(size, "stretch"): folder / f"{size}.npy" for size in (16, 64)},
        data_digest="generated",
        prefix_cache=folder / "prefix",
    )


@pytest.fixture
def make_job(maker):
    """``make_job(params, **changes)``: train on 20 rows, stop on the next 4 where `monitor`, validate on the last 8."""

    def make(params, *, monitor=False, seed=3, save_to=None):
        small = {"backbone": "piston_cnn", "image_size": 16, "weights": "random", "batch_size": 8, "epochs": 3}
        lite0 = {"backbone": "efficientnet_lite0", "image_size": 64, "batch_size": 8, "epochs": 3, "pooling": "avg_max"}
        defaults = lite0 if params.get("backbone") == "efficientnet_lite0" else small
        config = TrialConfig.from_params({**defaults, **params})
        train, watched, validation = np.arange(20), np.arange(20, 24), np.arange(24, 32)
        return maker.job(
            "job",
            config,
            train,
            validation,
            seed=seed,
            monitor=watched if monitor else None,
            save_to=save_to,
        )

    return make
