"""What a study tries first: who has an opening, and in which order the points come."""

from __future__ import annotations

from typing import Any

import pytest

from fdsearch.config import SearchSpec
from fdsearch.pipeline.first_points import CARRIED_OVER, first_points
from fdsearch.shipped import shipped
from fdsearch.space_reader import parse_space
from fdsearch.yaml_reader import read_yaml

QUICK = parse_space(read_yaml(shipped("search_spaces") / "quick.yaml"))
RECIPES = [{"name": f"mine {i}", "params": {"phases": "head"}} for i in range(2)]
EARLIER = [{"phases": "probe", "image_size": 160, "pooling": pooling} for pooling in ("avg", "avg_max")]


def names(search: dict[str, Any], earlier: list[Any], space: Any = QUICK) -> list[str]:
    return [name for name, _ in first_points(SearchSpec.model_validate(search), space, earlier).points]


def test_the_order() -> None:
    found = names({"n_trials": 14, "enqueue": RECIPES}, EARLIER)
    assert found == ["baseline", "probe 1", "probe 2", "probe 3", "earlier-1", "earlier-2", "mine 0", "mine 1"]


def test_recipes_that_nobody_wrote_down_come_last() -> None:
    search = SearchSpec.model_validate({"n_trials": 14, "enqueue": RECIPES})
    known = [("recipe of bonds:0002", {"phases": "head", "epochs": 7})]
    points = [name for name, _ in first_points(search, QUICK, EARLIER, known).points]
    # Each of them leaves the probes a third of a trial less.
    own = ["earlier-1", "earlier-2", "mine 0", "mine 1"]
    assert points == ["baseline", "probe 1", "probe 2", *own, "recipe of bonds:0002"]


@pytest.mark.parametrize(
    ("search", "earlier"),
    [
        ({"sampler": "random"}, []),
        ({"sampler": "grid"}, []),
        ({"opening": "none"}, []),
        ({"n_trials": 5}, []),
        ({}, EARLIER[:1] * CARRIED_OVER),
    ],
    ids=str,
)
def test_who_has_no_opening(search: dict[str, Any], earlier: list[Any]) -> None:
    first = first_points(SearchSpec.model_validate({"n_trials": 30, "enqueue": RECIPES, **search}), QUICK, earlier)
    expected = ["baseline", *(f"earlier-{i + 1}" for i in range(len(earlier))), "mine 0", "mine 1"]
    assert [name for name, _ in first.points] == expected
    assert first.opening.n_deeper == 0


def test_a_space_without_a_probe_has_none() -> None:
    space = parse_space(read_yaml(shipped("search_spaces") / "seed_cnn.yaml"))
    assert names({"n_trials": 50, "enqueue": RECIPES}, [], space) == ["mine 0", "mine 1"]
