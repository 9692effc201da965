"""Search spaces: reading, drawing, completing."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsearch.errors import ConfigError
from fdsearch.parameters import parameter_faults
from fdsearch.shipped import shipped
from fdsearch.space import SearchSpace
from fdsearch.space_reader import parse_space
from fdsearch.trial import TrialConfig
from fdsearch.yaml_reader import read_yaml

SPACES = sorted(shipped("search_spaces").glob("*.yaml"))

NESTED = parse_space(
    {
        "epochs": {"type": "int", "low": 2, "high": 8, "when": {"schedule": ["cosine"]}},
        "schedule": {"type": "categorical", "choices": ["cosine", "step"], "when": {"phases": ["head"]}},
        "phases": {"type": "categorical", "choices": ["probe", "head"]},
        "unfreeze_layers": [30, 100],
        "batch_size": 16,
    }
)


class RandomTrial:
    """The three methods of a trial, over `random`."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return self.random.choice(choices)

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return self.random.uniform(low, high)

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        return self.random.randrange(low, high + 1, step)


def test_parents_come_before_children() -> None:
    assert NESTED.names == ("phases", "schedule", "epochs", "unfreeze_layers", "batch_size")


@given(st.integers(0, 2**32))
def test_a_child_exists_exactly_where_its_parents_say(seed: int) -> None:
    params = NESTED.sample(RandomTrial(seed))
    assert ("schedule" in params) == (params["phases"] == "head")
    assert ("epochs" in params) == (params.get("schedule") == "cosine")
    assert params["unfreeze_layers"] == [30, 100]
    assert NESTED.complete(params) == params


def test_optuna_draws_what_it_is_given() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    params = NESTED.sample(trial)
    drawn = {name: value for name, value in params.items() if name not in ("unfreeze_layers", "batch_size")}
    assert trial.params == drawn


@pytest.mark.parametrize("file", SPACES, ids=lambda path: path.stem)
def test_every_shipped_space_draws_valid_configurations(file: Path) -> None:
    space = parse_space(read_yaml(file), str(file))
    for seed in range(200):
        params = space.sample(RandomTrial(seed))
        assert parameter_faults(params) == []
        config = TrialConfig.from_params(params)
        assert TrialConfig.from_json(config.to_json()) == config
    assert parse_space(space.to_json()) == space


@pytest.mark.parametrize(
    ("entry", "where", "got"),
    [
        ({"type": "float", "low": 1, "high": 0}, "space.x.low", "1"),
        ({"type": "float", "low": 0, "high": 1, "log": True}, "space.x.low", "0"),
        ({"type": "float", "low": 0, "high": 1, "log": "yes"}, "space.x.log", "'yes'"),
        ({"type": "float", "low": "a", "high": 1}, "space.x.low", "'a'"),
        ({"type": "float", "high": 1}, "space.x.low", "None"),
        ({"type": "int", "low": 0.5, "high": 1}, "space.x.low", "0.5"),
        ({"type": "int", "low": 0, "high": 4, "step": 0}, "space.x.step", "0"),
        ({"type": "categorical", "choices": []}, "space.x.choices", "[]"),
        ({"type": "categorical", "choices": [1, 1]}, "space.x.choices", "[1, 1]"),
        ({"type": "categorical", "choices": [[1, 2]]}, "space.x.choices", "[[1, 2]]"),
        ({"type": "flaot", "low": 0, "high": 1}, "space.x.type", "'flaot'"),
        ({"low": 0, "high": 1}, "space.x.type", "None"),
        ({"type": "int", "low": 0, "high": 1, "hihg": 2}, "space.x.hihg", "an unknown key"),
        ({"fixed": 1, "when": {"y": [1]}}, "space.x.when.y", "an unknown parameter"),
        ({"fixed": 1, "when": "y"}, "space.x.when", "'y'"),
    ],
)
def test_faults_name_the_key_and_what_stood_there(entry: dict[str, Any], where: str, got: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_space({"x": entry})
    assert (where, got) in [(fault.where, fault.got) for fault in caught.value.faults]


def test_all_faults_come_at_once_and_a_circle_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_space(
            {"a": {"type": "int", "low": 3, "high": 1}, "b": {"type": "x"}, "c": {"fixed": 1, "when": {"d": [1]}}}
        )
    assert [fault.where for fault in caught.value.faults] == ["space.a.low", "space.b.type", "space.c.when.d"]
    circle = {
        "a": {"type": "categorical", "choices": [1], "when": {"b": [1]}},
        "b": {"type": "categorical", "choices": [1], "when": {"a": [1]}},
    }
    with pytest.raises(ConfigError, match="circle"):
        parse_space(circle)


@pytest.mark.parametrize(
    ("partial", "where"),
    [
        ({"phases": "prob"}, "phases"),
        ({"phases": "probe", "epochs": 4}, "epochs"),
        ({"phases": "head", "epochs": 9}, "epochs"),
        ({"phases": "head", "epochs": True}, "epochs"),
        ({"bacth_size": 16}, "bacth_size"),
    ],
)
def test_a_point_outside_is_refused(partial: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        NESTED.complete(partial)
    assert [fault.where for fault in caught.value.faults] == [where]


def test_dropping_choices() -> None:
    smaller = NESTED.without("phases", ["probe"])
    assert isinstance(smaller, SearchSpace)
    assert smaller.values("phases") == ("head",)
    assert NESTED.without("phases", ["probe", "head"]) is None
