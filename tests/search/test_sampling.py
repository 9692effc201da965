"""Samplers are functions of (random state, trial number), in every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import optuna
import pytest

from fdsearch.config import SearchSpec
from fdsearch.errors import ConfigError
from fdsearch.search.sampling import check_sampler, make_sampler
from fdsearch.space_reader import parse_space

SAMPLE = """
import json, sys
import optuna
from fdsearch.config import SearchSpec
from fdsearch.search.sampling import make_sampler
optuna.logging.set_verbosity(optuna.logging.WARNING)
search = SearchSpec(sampler=sys.argv[1], random_state=int(sys.argv[2]))
points = []
study = optuna.create_study(direction="maximize")
for number in range(20):
    study.sampler = make_sampler(search)
    trial = study.ask()
    rate, kind = trial.suggest_float("rate", 1e-5, 1.0, log=True), trial.suggest_categorical("kind", ["a", "b", "c"])
    points.append([rate, kind])
    study.tell(trial, rate + 0.1 * ord(kind))
print(json.dumps(points))
"""


def points(sampler: str, random_state: int, hash_seed: str) -> list[list[object]]:
    """Twenty points of a new process."""
    command = [sys.executable, "-c", SAMPLE, sampler, str(random_state)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    drawn: list[list[object]] = json.loads(done.stdout)
    return drawn


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_points_are_functions_of_random_state_and_number(sampler: str) -> None:
    once = points(sampler, 7, "1")
    assert points(sampler, 7, "2") == once
    assert len({rate for rate, _ in once}) == 20, "two numbers gave the same point"
    other = points(sampler, 8, "1")
    assert not {rate for rate, _ in once} & {rate for rate, _ in other}


def test_a_number_s_point_does_not_depend_on_what_was_asked_before() -> None:
    search = SearchSpec(sampler="random", random_state=1)
    whole, gap = optuna.create_study(), optuna.create_study()
    drawn: list[dict[int, float]] = [{}, {}]
    for points_of, study, skipped in ((drawn[0], whole, ()), (drawn[1], gap, (0, 2))):
        study.sampler = make_sampler(search)
        for trial in (study.ask() for _ in range(4)):
            if trial.number not in skipped:
                points_of[trial.number] = trial.suggest_float("x", 0, 1)
    assert drawn[1].items() <= drawn[0].items()
    assert len(set(drawn[0].values())) == 4


@pytest.mark.parametrize(
    ("distribution", "refused"),
    [
        ({"type": "float", "low": 0.0, "high": 1.0}, True),
        ({"type": "float", "low": 0.0, "high": 1.0, "step": 0.5}, False),
        ({"type": "int", "low": 1, "high": 3}, False),
        ({"type": "categorical", "choices": ["a", "b"]}, False),
    ],
)
def test_a_grid_over_a_range_is_refused(distribution: dict[str, object], refused: bool) -> None:
    space = parse_space({"custom_x": distribution})
    check_sampler(SearchSpec(sampler="random"), space)
    if refused:
        with pytest.raises(ConfigError) as caught:
            check_sampler(SearchSpec(sampler="grid"), space)
        assert [fault.where for fault in caught.value.faults] == ["$.space.custom_x"]
    else:
        check_sampler(SearchSpec(sampler="grid"), space)
