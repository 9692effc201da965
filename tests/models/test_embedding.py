"""Where the embedding is taken: never behind what a phase trains."""

from __future__ import annotations

from typing import Any

import pytest

from fdsearch.models.builders import build_model
from fdsearch.models.embedding import embedding_cut, embedding_cuts
from fdsearch.trial import TrialConfig


@pytest.mark.parametrize(
    ("params", "cut", "cuts"),
    [
        ({"phases": "probe"}, "features", ("block10_add", "block14_add")),
        ({"phases": "head_tail", "unfreeze": 0.05}, "block15_project_bn", ("block10_add", "block14_add")),
        ({"phases": "head_tail", "unfreeze": 0.33}, "block10_add", ("block10_add",)),
        ({"phases": "full"}, "preprocessing", ()),
    ],
)
def test_cuts_lie_before_what_is_trained(params: dict[str, Any], cut: str, cuts: tuple[str, ...]) -> None:
    fixed = {"backbone": "efficientnet_lite0", "weights": "random", "image_size": 32}
    config = TrialConfig.from_params({**fixed, **params})
    model = build_model(config, 3)
    assert embedding_cut(model, config) == cut
    assert embedding_cuts(model, config) == cuts


def test_a_network_without_pretrained_layers_has_none() -> None:
    config = TrialConfig.from_params({"backbone": "piston_cnn", "image_size": 32})
    assert embedding_cuts(build_model(config, 3), config) == ()
