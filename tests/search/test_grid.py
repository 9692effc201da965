"""Grids: each point once, whatever else is in the study."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from fdsearch.config import SearchSpec
from fdsearch.progress import Silent
from fdsearch.search import retries
from fdsearch.search.loop import SearchLoop
from fdsearch.search.study import COPY_OF, FAILURE

GRID = SearchSpec(n_trials=50, sampler="grid", pruner="none")
QUALITIES = [0.2, 0.5, 0.8]
EPOCHS = [1, 2]


def grid(bench: Any, **distributions: Any) -> Any:
    """Six points, of two parameters."""
    space = {
        "custom_quality": {"type": "categorical", "choices": QUALITIES},
        "custom_epochs": {"type": "categorical", "choices": EPOCHS},
    }
    return bench.task(GRID, **space, **distributions)


def check(study: optuna.Study) -> None:
    """Each point is complete once, and nothing is a copy."""
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    points = sorted(
        (trial.params["custom_quality"], trial.params["custom_epochs"]) for trial in complete if trial.params
    )
    assert points == [(quality, epochs) for quality in QUALITIES for epochs in EPOCHS]
    assert not [trial.number for trial in study.trials if COPY_OF in trial.user_attrs]


def drew(study: optuna.Study, *names: str) -> optuna.trial.FrozenTrial:
    """A trial that drew only some parameters, all their first choices."""
    choices = {"custom_quality": QUALITIES, "custom_epochs": EPOCHS}
    study.enqueue_trial({name: choices[name][0] for name in names})
    trial = study.ask()
    for name in names:
        trial.suggest_categorical(name, choices[name])
    return study.get_trials()[trial.number]


@pytest.mark.parametrize("names", [(), ("custom_quality",)])
@pytest.mark.parametrize("when", ["first", "last"])
def test_a_trial_that_failed_while_it_drew_is_no_point(bench: Any, names: tuple[str, ...], when: str) -> None:
    study = bench.study()
    if when == "last":
        bench.search(replace(grid(bench), search=GRID.model_copy(update={"n_trials": 3})))
    retries.mark_failed(study, drew(study, *names), retries.DUPLICATE, "another attempt came first")
    check(bench.search(grid(bench)))


def test_a_row_of_somebody_else_is_no_point(bench: Any) -> None:
    bench.study().add_trial(create_trial(value=0.5))
    check(bench.search(grid(bench)))


def test_a_point_that_fails_is_tried_once(bench: Any) -> None:
    faults = {"custom_fault": {"type": "categorical", "choices": ["none", "raise"]}}
    study = bench.search(grid(bench, **faults))
    failed = [trial for trial in study.trials if trial.state is TrialState.FAIL]
    assert len({tuple(trial.params.values()) for trial in failed}) == len(failed) == 6
    check(study)


def test_a_point_that_makes_no_configuration_is_drawn_once(bench: Any) -> None:
    study = bench.search(grid(bench, dropout={"type": "categorical", "choices": [0.1, 7.0]}))
    failed = [trial for trial in study.trials if trial.state is TrialState.FAIL]
    assert {trial.user_attrs[FAILURE] for trial in failed} == {"configuration"}
    assert len({tuple(trial.params.values()) for trial in failed}) == len(failed) == 6
    check(study)


def test_more_workers_than_points_train_nothing_twice(bench: Any) -> None:
    study = bench.study()
    slow = {"custom_pause": {"fixed": 0.1}}
    SearchLoop(study, grid(bench, **slow), bench.supervisor(8), Silent()).run()
    check(study)
    assert len(study.trials) == 6
    assert Counter(bench.calls()).most_common(1)[0][1] == 1
    assert len(bench.calls()) == 18


def test_a_search_on_an_exhausted_grid_adds_nothing(bench: Any) -> None:
    before = bench.search(grid(bench)).trials
    assert bench.search(grid(bench)).trials == before


def test_a_retry_that_was_queued_before_counts_once(bench: Any) -> None:
    study = bench.study()
    trial = drew(study, "custom_quality", "custom_epochs")
    assert retries.requeue(study, trial) is retries.Queued.NOW  # killed here, before it was failed
    ledger = bench.ledger(study)
    ledger.open()
    assert ledger.n_waiting == 1
    assert ledger.counts["FAIL"] == 1
    study = bench.search(grid(bench))
    check(study)
    assert len(study.trials) == 7
