"""The real trainer in a worker and in this process."""

from __future__ import annotations

import os

import numpy as np
import pytest

from fdsearch.execution.in_process import InProcess
from fdsearch.execution.supervisor import Supervisor
from fdsearch.training import life
from fdsearch.trial import TrialConfig

PARAMS = {"backbone": "piston_cnn", "weights": "random", "phases": "full", "image_size": 32, "epochs": 2}


@pytest.fixture
def job(make_job, tmp_path):
    labels = np.arange(60) % 2
    pixels = np.random.default_rng(0).integers(0, 120, (60, 32, 32, 1), np.uint8)
    pixels[labels == 1, 8:20] += 100
    np.save(tmp_path / "pixels.npy", pixels)
    return make_job(
        "a", config=TrialConfig.from_params(PARAMS), labels=labels, train=np.arange(40), validation=np.arange(40, 60)
    )


@pytest.mark.slow
def test_a_worker_trains_what_this_process_trains(job, tmp_path):
    threads = len(os.sched_getaffinity(0))  # sums in another order round differently
    with Supervisor(1, threads, log=tmp_path / "log.txt") as supervisor:
        apart = supervisor.run_all([job])["a"]
    with InProcess() as executor:
        here = executor.run_all([job])["a"]
    assert (apart.status, apart.message, apart.epochs) == ("done", "", 2)
    assert len(apart.curve) == 2
    np.testing.assert_allclose(apart.logits, here.logits, atol=1e-5)


@pytest.mark.slow
def test_each_batch_is_a_sign_of_life_and_no_epoch_is_cut(job):
    reported, signs = [], []

    def listener() -> bool:
        signs.append(len(reported))
        return False  # asks for the end, which the next report is for

    with InProcess() as executor, life.heard_by(listener):
        result = executor.run_all([job], on_report=lambda event: reported.append(event) or True)["a"]
    n_batches = -(-len(job.train) // job.config.batch_size)
    assert (result.status, result.epochs) == ("done", 2)
    assert [signs.count(epoch) >= n_batches + 1 for epoch in (0, 1)] == [True, True]  # the validation rows as well
