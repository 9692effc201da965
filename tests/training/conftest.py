"""Small pictures of three kinds, and a maker of jobs over them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode leaves helpers of a folder unimportable
from small_pictures import pictures

from fdsearch.training.job import JobMaker
from fdsearch.trial import TrialConfig


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
