"""The best probes are trained deeper once all probes have ended: once, whatever is killed, and whoever looks."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from optuna.trial import TrialState
from search_bench import PROBES, Bench

from fdsearch.search import study as names
from fdsearch.search.deepening import Deepening
from fdsearch.search.study import enqueue_first

DEEPER = ["head_tail after trial 2", "head_tail after trial 1"]
"""Of the probes with the best pooling and the second best; see ``search_targets.BONUS``."""


def recipes(study: Any, *, begin: str = "") -> list[str]:
    """Names of the queued points that were not given up, in order."""
    kept = [trial.user_attrs.get(names.RECIPE, "") for trial in study.trials if trial.state is not TrialState.FAIL]
    return [name for name in kept if name and name.startswith(begin)]


def deepening(bench: Bench, study: Any, ledger: Any) -> Deepening:
    return Deepening(study, bench.opening_task().space, ledger, lambda text: None)


def test_the_best_probes_are_trained_deeper_then_the_sampler_goes_on(bench: Any) -> None:
    bench.search(bench.opening_task(6), PROBES, n_deeper=2)
    study = bench.search(bench.opening_task(8), PROBES, n_deeper=2)  # goes on, and opens no second time
    trials = study.trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 8, "queued points count as trials"
    assert [trial.user_attrs.get(names.RECIPE) for trial in trials] == ["point-0", "point-1", "point-2", *DEEPER] + [
        None
    ] * 3
    assert [trial.params["pooling"] for trial in trials[3:5]] == ["max", "avg_max"]
    assert all(trial.params["phases"] == "head_tail" for trial in trials[3:5])
    assert [trial.params["unfreeze"] for trial in trials[3:5]] == [pytest.approx(0.3)] * 2, "the middle"


def test_no_search_is_deepened_that_began_without_an_opening(bench: Any) -> None:
    study = bench.search(bench.opening_task(5), PROBES)
    assert recipes(study, begin="head_tail") == []


def test_deeper_points_wait_for_every_probe_while_new_trials_go_on(bench: Any) -> None:
    study = bench.study()
    task = bench.opening_task()
    wide = {"phases": "head_tail", "unfreeze": 0.2, "pooling": "avg"}
    enqueue_first(study, task.space, [*((f"probe {i}", p) for i, p in enumerate(PROBES)), ("wide", wide)], n_deeper=1)
    ledger = bench.ledger(study)
    ledger.open()
    deeper = deepening(bench, study, ledger)
    trials = [ledger.ask(9) for _ in PROBES]
    for trial in trials:
        task.space.sample(trial)
    ledger.complete(trials[0].number, 0.5, trials[0].params, [], {})
    ledger.failed(trials[1].number, "signal", "lost with its process")  # and is queued again
    ledger.complete(trials[2].number, 0.4, trials[2].params, [], {})
    deeper.look()
    assert ledger.ask(9).user_attrs[names.RECIPE] == "wide", "which is no probe, so nobody waits for it"
    again = ledger.ask(9)
    deeper.look()
    assert recipes(study, begin="head_tail") == []
    drawn = ledger.ask(9)
    assert names.RECIPE not in drawn.user_attrs, "the sampler goes on meanwhile"
    task.space.sample(again)
    ledger.complete(again.number, 0.6, again.params, [], {})
    deeper.look()
    assert recipes(study, begin="head_tail") == [f"head_tail after trial {again.number}"]
    assert ledger.ask(9).user_attrs[names.RECIPE] == f"head_tail after trial {again.number}"


@pytest.mark.parametrize(
    ("point", "nth"),
    [
        ("a point is queued", len(PROBES) + 1),
        pytest.param("a point is queued", len(PROBES) + 2, marks=pytest.mark.slow),
        pytest.param("deeper points are queued", 1, marks=pytest.mark.slow),
    ],
)
def test_killed_while_deeper_points_were_queued(bench: Any, point: str, nth: int) -> None:
    bench.die(point, nth=nth, fault="opening")
    study = bench.search(bench.opening_task(), PROBES, n_deeper=2)
    assert recipes(study, begin="head_tail") == DEEPER
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 8


@pytest.mark.slow
def test_killed_in_a_deeper_trial_or_a_probe(bench: Any) -> None:
    bench.die("epoch is logged", nth=6 + 1, fault="opening")  # the second probe's first
    bench.die("epoch is logged", nth=2 * 6 + 1, fault="opening")  # the first deeper trial's
    study = bench.search(bench.opening_task(), PROBES, n_deeper=2)
    probes = [study.trials[int(name.rpartition(" ")[2])] for name in recipes(study, begin="head_tail")]
    assert sorted(probe.params["pooling"] for probe in probes) == ["avg_max", "max"]
    assert sum(trial.state is TrialState.COMPLETE for trial in study.trials) == 8


def test_probes_that_all_fail_are_not_trained_deeper(bench: Any) -> None:
    study = bench.study()
    task = bench.opening_task()
    enqueue_first(study, task.space, [("probe", PROBES[0])], n_deeper=3)
    ledger = bench.ledger(study)
    ledger.open()
    trial = ledger.ask(9)
    task.space.sample(trial)
    ledger.failed(trial.number, "non_finite", "loss is nan")
    deepening(bench, study, ledger).look()
    assert recipes(study) == []
    assert study.user_attrs[names.DEEPER] == 0


def test_several_parents_queue_deeper_points_once(bench: Any, postgres_url: str) -> None:
    bench.location = postgres_url
    task = bench.opening_task()
    study = bench.study()
    enqueue_first(study, task.space, [(f"probe {i}", point) for i, point in enumerate(PROBES)], n_deeper=3)
    for value in (0.3, 0.5, 0.4):
        trial = study.ask()
        task.space.sample(trial)
        study.tell(trial, value)
    barrier = threading.Barrier(4)

    def look(parent: Any) -> None:
        ledger = bench.ledger(parent)
        ledger.open()
        deeper = deepening(bench, parent, ledger)
        barrier.wait()
        deeper.look()
        if ledger.n_waiting != 3:
            unseen.append(ledger.n_waiting)

    unseen: list[int] = []
    threads = [threading.Thread(target=look, args=(bench.study(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recipes(study, begin="head_tail") == [f"head_tail after trial {n}" for n in (1, 2, 0)]
    assert unseen == [], "each parent knows what there is to take"
