"""A bound on the latency: what is too slow is trained and told, but it is no answer, and the sampler turns away."""

from __future__ import annotations

from typing import Any

from optuna.trial import TrialState
from search_bench import LABELS, PROBES, Bench
from search_targets import MILLISECONDS

from fdsearch.search.history import best, pareto, read_records, table
from fdsearch.search.sampling import make_sampler
from fdsearch.search.study import COPY_OF, LATENCY, OVER_LATENCY, RECIPE, previous_best
from fdsearch.training.latency import Architecture, Latency, keep
from fdsearch.trial import TrialConfig


def records(bench: Bench, study: Any) -> Any:
    return read_records(study, bench.folder / "trials", len(LABELS), 2)


def test_what_is_too_slow_is_no_answer(bench: Any) -> None:
    study = bench.search(bench.opening_task(5, max_latency_ms=12.0), PROBES, n_deeper=3)
    trials = study.trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 5, "it counts as a trial and has a value"
    for trial in trials:
        expected = MILLISECONDS[trial.params["pooling"]]
        assert (trial.user_attrs[LATENCY], trial.constraints) == (expected, {"latency": expected - 12.0})
    assert max(trials, key=lambda trial: trial.value).params["pooling"] == "max", "the fit's best is too slow"
    assert {record.params["pooling"] for record in best(records(bench, study), 9)} == {"avg", "avg_max"}
    assert trials[3].user_attrs[RECIPE] == "head_tail after trial 1", "the best of those that are fast enough"
    front = pareto(table(study))
    assert [(point["trial"], point["latency_ms"], point["feasible"]) for point in front] == [
        (0, 5.0, True),
        (1, 10.0, True),
        (2, 20.0, False),
    ]
    assert [point["value"] for point in front] == [trial.value for trial in trials[:3]]
    [first, *_] = previous_best(study._storage, "trivial", "later", 3)
    assert first["pooling"] == "avg_max"


def test_a_copy_costs_what_its_twin_does(bench: Any) -> None:
    study = bench.search(bench.opening_task(1, max_latency_ms=12.0), PROBES[2:])
    study.enqueue_trial(study.trials[0].params)
    study = bench.search(bench.opening_task(2, max_latency_ms=12.0))
    assert study.trials[1].user_attrs[COPY_OF] == 0
    assert [trial.constraints for trial in study.trials] == [{"latency": 8.0}] * 2


def test_without_a_bound_nothing_is_measured(bench: Any) -> None:
    task = bench.opening_task(1)
    study = bench.search(bench.task(task.search.model_copy(update={"max_latency_ms": None})), [{}])
    assert not (bench.folder / "latencies").exists()
    assert (study.trials[0].constraints, table(study)[0]["feasible"]) == ({}, True)
    assert pareto(table(study)) == []


def test_killed_while_it_told_the_cost(bench: Any) -> None:
    bench.die("attributes are set", nth=2, fault="opening")
    study = bench.search(bench.opening_task(3), PROBES)
    assert [trial.constraints["latency"] for trial in study.trials[:3]] == [-95.0, -90.0, -80.0]


def test_a_lost_measurement_holds_no_bound(bench: Any) -> None:
    task = bench.opening_task(1, max_latency_ms=12.0)
    config = TrialConfig.from_params({"pooling": "avg"})
    assert task.cost(config) == {OVER_LATENCY: 12.0}
    keep(task.latencies, Architecture(config, 2), Latency(5.0, "keras", "here"))
    assert task.cost(config) == {LATENCY: 5.0, OVER_LATENCY: -7.0}


def test_the_sampler_turns_away_from_what_is_too_slow(bench: Any) -> None:
    task = bench.opening_task(99, max_latency_ms=12.0)
    for pooling, latency in MILLISECONDS.items():
        config = TrialConfig.from_params({"pooling": pooling})
        keep(task.latencies, Architecture(config, 2), Latency(latency, "keras", "here"))
    counts = []
    for bounded in (False, True):
        study = bench.study()
        study.sampler = make_sampler(task.search)
        ledger = bench.ledger(study)
        for _ in range(26):
            trial = ledger.ask(99)
            pooling = task.space.sample(trial)["pooling"]
            cost = task.cost(TrialConfig.from_params({"pooling": pooling})) if bounded else {}
            ledger.complete(trial.number, MILLISECONDS[pooling] / 20, trial.params, [], cost)
        drawn = [trial.params["pooling"] for trial in study.trials[-12:]]
        counts.append(drawn.count("max"))
        bench.folder = bench.folder / "second"
        bench.folder.mkdir()
    free, bound = counts
    assert free > 6 > bound
