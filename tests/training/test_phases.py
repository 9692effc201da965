"""How long phases are."""

from __future__ import annotations

import pytest

from fdsearch.training import phases
from fdsearch.training.job import Refit
from fdsearch.trial import TrialConfig


def config(**params):
    return TrialConfig.from_params({"backbone": "efficientnet_lite0", "image_size": 32, **params})


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
