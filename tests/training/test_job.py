"""What names a fit, and what reaches the jobs that a `JobMaker` makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fdsearch.data.folds import Fold
from fdsearch.training.job import Refit, job_digest
from fdsearch.trial import TrialConfig


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "retry"},
        {"checkpoint": Path("c.npz")},
        {"save_to": Path("m.keras")},
        {"prefix_cache": Path("elsewhere")},
        {"pixels": Path("moved.npy")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_where_files_lie_does_not_name_a_fit(make_job, changes):
    job = make_job({})
    assert job_digest(replace(job, **changes)) == job_digest(job)


@pytest.mark.parametrize(
    "changes",
    [{"seed": 4}, {"monitor": np.array([3])}, {"validation": np.array([3])}, {"refit": Refit(2)}, {"n_classes": 4}],
    ids=lambda changes: next(iter(changes)),
)
def test_what_decides_the_result_names_a_fit(make_job, changes):
    job = make_job({})
    assert job_digest(replace(job, **changes)) != job_digest(job)


@pytest.mark.parametrize("single_split", [True, False])
def test_a_fold_has_the_checkpoint_it_was_given(maker, single_split):
    config = TrialConfig.from_params({"backbone": "piston_cnn", "image_size": 16, "early_stopping": "loss"})
    folds = [Fold(np.arange(24), np.arange(24, 32))]
    fixed = {"random_state": 1, "repeat": 0, "single_split": single_split}
    jobs = [maker.fold_job("job", config, folds, 0, checkpoint=path, **fixed) for path in (None, Path("c.npz"))]
    assert [job.checkpoint for job in jobs] == [None, Path("c.npz")]
    assert job_digest(jobs[0]) == job_digest(jobs[1])
