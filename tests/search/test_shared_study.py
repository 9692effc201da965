"""One study on a real PostgreSQL, shared by parents that are killed, stopped, and cut off from the server."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from postgres_server import PostgresServer

from fdsearch.config import SearchSpec
from fdsearch.search import retries
from fdsearch.search import study as names
from fdsearch.search.leases import PARENT, this_parent
from fdsearch.search.ledger import Ledger
from fdsearch.search.sampling import make_sampler
from fdsearch.search.scores import Scores
from fdsearch.search.spool import Spool

RANDOM = {"sampler": "random", "pruner": "none"}
END_S = 240.0
IMPATIENT = {"leases.BEAT_S": 0.5, "leases.STALE_S": 2.0, "ledger.READ_S": 0.5}


@pytest.fixture
def shared(bench: Any, postgres_url: str) -> Any:
    """A bench whose study is on the server."""
    bench.location = postgres_url
    return bench


@pytest.fixture
def parents(tmp_path: Path, postgres_url: str, bench: Any) -> Iterator[Any]:
    from sharing import Parents

    with Parents(tmp_path, postgres_url) as started:
        yield started


def wait_until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + END_S
    while not holds():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.05)


def end_well(*processes: subprocess.Popen[bytes]) -> None:
    assert [process.wait(END_S) for process in processes] == [0] * len(processes)


def trials(url: str) -> list[optuna.trial.FrozenTrial]:
    storage = optuna.storages.RDBStorage(url)
    try:
        return optuna.load_study(study_name=f"trivial@{'0' * 12}", storage=storage).get_trials()
    finally:
        storage.engine.dispose()


def states(found: list[optuna.trial.FrozenTrial]) -> Counter[str]:
    return Counter(trial.state.name for trial in found)


def check(found: list[optuna.trial.FrozenTrial], n_trials: int) -> None:
    """What holds at the end of every search."""
    assert [trial.number for trial in found] == list(range(len(found)))
    assert {"COMPLETE", "FAIL"} >= set(states(found))
    assert states(found)["COMPLETE"] == n_trials
    complete = [trial for trial in found if trial.state is TrialState.COMPLETE]
    assert len({trial.params["custom_quality"] for trial in complete}) == n_trials


def ledger(study: optuna.Study, folder: Path, name: str, of_grid: bool = False) -> Ledger:
    """A parent on a machine of its own."""
    me = replace(this_parent(), host=name)
    options = {"scores": Scores(3, 9), "of_grid": of_grid, "say": lambda text: None}
    return Ledger(study, Spool(folder / name), me, shared=True, **options)


def orphan(study: optuna.Study, owner: Ledger) -> optuna.trial.FrozenTrial:
    """A trial that a parent was training when it ended."""
    owner.open()
    trial = owner.ask(100)
    assert trial is not None
    trial.suggest_float("custom_quality", 0.0, 1.0)
    owner.close()
    return study.get_trials()[trial.number]


def test_two_parents_share_the_trials(parents: Any, postgres_url: str) -> None:
    end_well(*(parents.start(name, 12, n_workers=2, points=3) for name in ("a", "b")))
    found = trials(postgres_url)
    assert states(found) == {"COMPLETE": 12}
    check(found, 12)
    assert len(parents.calls()) == len(set(parents.calls())) == 36
    owners = Counter(trial.user_attrs[PARENT] for trial in found)
    assert len(owners) == 2
    assert [trial.user_attrs.get(names.RECIPE) for trial in found[:4]] == ["point-0", "point-1", "point-2", None]


def test_the_other_parent_takes_over_at_once_where_one_is_killed(parents: Any, postgres_url: str) -> None:
    victim = parents.start("a", 4, fixed={"pause": 1.0, "epochs": 300})
    wait_until(lambda: len(parents.calls()) >= 1, "a trains")
    other = parents.start("b", 4)
    wait_until(lambda: "trial 1" in parents.said("b"), "b is there")
    victim.kill()
    end_well(other)
    found = trials(postgres_url)
    check(found, 4)
    lost = [trial for trial in found if trial.state is TrialState.FAIL]
    assert [trial.user_attrs[names.FAILURE] for trial in lost] == ["lost"]
    assert "was left by a parent that ended; queued again" in parents.said("b")
    assert len(found) == 5


@pytest.mark.parametrize("host", ["", "another-machine"])
def test_a_parent_that_stood_still_drops_its_late_result_and_lives_on(
    parents: Any, postgres_url: str, host: str
) -> None:
    slow = {"pause": 0.4, "epochs": 5}
    sleeper = parents.start("a", 8, fixed=slow, constants=IMPATIENT, host=host)
    wait_until(lambda: len(parents.calls()) >= 1, "a trains")
    sleeper.send_signal(signal.SIGSTOP)
    other = parents.start("b", 8, constants=IMPATIENT, host="yet-another-machine")
    wait_until(lambda: "was left by a parent that ended" in parents.said("b"), "b gives a's trial up")
    sleeper.send_signal(signal.SIGCONT)
    end_well(sleeper, other)
    found = trials(postgres_url)
    check(found, 8)
    assert "was dropped: somebody else had ended" in parents.said("a")
    [given_up] = [trial for trial in found if trial.state is TrialState.FAIL]
    [again] = [trial for trial in found if trial.user_attrs.get(names.RETRY_OF) == given_up.number]
    assert again.state is TrialState.COMPLETE
    assert again.params == given_up.params


def test_two_parents_give_up_one_trial_at_the_same_moment(shared: Any, tmp_path: Path) -> None:
    study = shared.study()
    lost = orphan(study, ledger(study, tmp_path, "ended"))
    for _ in range(2):  # both have read before either queues
        waiting = list(study.get_trials(states=(TrialState.WAITING,)))
        study.enqueue_trial(lost.params, user_attrs={names.RETRY_OF: lost.number, names.ATTEMPT: 2})
        assert len(waiting) < 2
    retries.mark_failed(study, lost, "lost", "first")
    retries.mark_failed(study, lost, "lost", "second")
    shared.search(shared.task(SearchSpec(n_trials=2, **RANDOM)))
    found = study.get_trials()
    attempts = [trial for trial in found if trial.params == lost.params]
    assert states(attempts) == {"FAIL": 1, "COMPLETE": 1}
    dropped = [trial for trial in found if trial.user_attrs.get(names.FAILURE) == retries.DUPLICATE]
    assert len(dropped) == 1
    assert states(found) == {"COMPLETE": 2, "FAIL": 2}
    assert retries.own_failures(study).total() == 0


def test_a_reaper_killed_between_queueing_and_failing(shared: Any, tmp_path: Path) -> None:
    study = shared.study()
    lost = orphan(study, ledger(study, tmp_path, "ended"))
    assert retries.requeue(study, lost)  # killed here
    shared.search(shared.task(SearchSpec(n_trials=2, **RANDOM)))
    found = study.get_trials()
    assert states(found) == {"COMPLETE": 2, "FAIL": 1}
    assert states([trial for trial in found if trial.params == lost.params]) == {"FAIL": 1, "COMPLETE": 1}


def test_a_retry_is_needless_where_its_owner_came_first(shared: Any, tmp_path: Path) -> None:
    study = shared.study()
    owner, reaper = ledger(study, tmp_path, "owner"), ledger(study, tmp_path, "reaper")
    owner.open()
    trial = owner.ask(100)
    assert trial is not None
    trial.suggest_float("custom_quality", 0.0, 1.0)
    frozen = study.get_trials()[0]
    assert retries.requeue(study, frozen)
    owner.complete(trial.number, 0.5, trial.params, [0.5], {})
    retries.mark_failed(study, frozen, "lost", "too late")
    reaper.read()
    assert reaper.ask(100) is None
    assert states(study.get_trials()) == {"COMPLETE": 1, "FAIL": 1}
    assert (reaper.n_finished, reaper.counts["RUNNING"]) == (1, 0)
    assert retries.own_failures(study).total() == 0


def test_a_retry_in_training_gives_way_to_its_owner_that_came_back(shared: Any, tmp_path: Path) -> None:
    study = shared.study()
    owner, other = ledger(study, tmp_path, "owner"), ledger(study, tmp_path, "other")
    first = owner.ask(100)
    assert first is not None
    first.suggest_float("custom_quality", 0.0, 1.0)
    assert retries.requeue(study, study.get_trials()[0])
    second = other.ask(100)  # before the reaper has failed the first
    assert second is not None
    second.suggest_float("custom_quality", 0.0, 1.0)
    owner.complete(first.number, 0.5, first.params, [0.5], {})
    other.complete(second.number, 0.5, second.params, [0.5], {})
    assert states(study.get_trials()) == {"COMPLETE": 1, "FAIL": 1}
    assert study.get_trials()[1].user_attrs[names.FAILURE] == retries.DUPLICATE


@pytest.mark.parametrize("act", ["complete", "pruned", "failed", "interrupted"])
def test_nothing_is_told_about_a_trial_that_was_given_up(shared: Any, tmp_path: Path, act: str) -> None:
    study = shared.study()
    owner = ledger(study, tmp_path, "owner")
    trial = owner.ask(100)
    assert trial is not None
    params = {"custom_quality": trial.suggest_float("custom_quality", 0.0, 1.0)}
    retries.give_up(study, study.get_trials()[0], "lost", "its parent process ended", again=True)
    {
        "complete": lambda: owner.complete(0, 0.5, params, [0.5], {}),
        "pruned": lambda: owner.pruned(0, {}),
        "failed": lambda: owner.failed(0, "signal", "killed"),
        "interrupted": lambda: owner.interrupted(0, "stopped"),
    }[act]()
    owner.read()
    found = study.get_trials()
    assert states(found) == {"FAIL": 1, "WAITING": 1}
    assert found[0].user_attrs[names.FAILURE] == "lost"
    assert dict(owner.failures) == {"lost": 1}
    assert not list((tmp_path / "owner").glob("*.json"))


def test_a_broken_off_search_of_the_same_process_leaves_nothing_running(shared: Any, tmp_path: Path) -> None:
    study = shared.study()
    trial = shared.ledger(study).ask(100)  # its loop ended with an error, and its lease could not be given back
    assert trial is not None
    trial.suggest_float("custom_quality", 0.0, 1.0)
    shared.search(shared.task(SearchSpec(n_trials=2, **RANDOM)))
    assert states(study.get_trials()) == {"COMPLETE": 2, "FAIL": 1}


def test_the_last_trial_is_taken_once(shared: Any, tmp_path: Path) -> None:
    study = shared.study()
    both = [ledger(study, tmp_path, name) for name in ("a", "b")]
    for parent in both:
        parent.open()
    taken = [parent.ask(3) for _ in range(3) for parent in both]
    assert len([trial for trial in taken if trial is not None]) == 3
    assert len(study.get_trials()) == 3


def test_the_last_point_of_a_grid_is_taken_once(shared: Any, tmp_path: Path) -> None:
    study = shared.study()
    study.sampler = make_sampler(SearchSpec(sampler="grid"))
    both = [ledger(study, tmp_path, name, of_grid=True) for name in ("a", "b")]
    drawn = []
    for parent in both:
        parent.open()
    for parent in 2 * both:
        trial = parent.ask(500)
        if trial is not None:
            drawn.append(trial.suggest_categorical("custom_quality", [0.2, 0.5, 0.8]))
    assert sorted(drawn) == [0.2, 0.5, 0.8]
    assert len(study.get_trials()) == 3


def test_what_an_owner_completed_counts_though_it_was_being_given_up(shared: Any, tmp_path: Path) -> None:
    study = shared.study()
    owner, reaper = ledger(study, tmp_path, "owner"), ledger(study, tmp_path, "reaper")
    owner.open()
    trial = owner.ask(100)
    assert trial is not None
    trial.suggest_float("custom_quality", 0.0, 1.0)
    stale = study.get_trials()[0]
    owner.complete(0, 0.5, trial.params, [0.5], {})
    reaper._reap(stale)  # it had read before the owner told
    reaper.read()
    assert reaper.n_finished == 1
    assert not reaper.failures


def test_a_server_that_is_away_too_long_ends_the_search_and_no_result_is_lost(
    parents: Any, postgres: PostgresServer, postgres_url: str
) -> None:
    brief = {"patience.PATIENCE_S": 2.0, "patience.OPENING_S": 0.5}
    first = parents.start("a", 3, fixed={"pause": 0.5, "epochs": 2}, constants=brief)
    wait_until(lambda: len(parents.calls()) >= 3, "a is at the last fold of its first trial")
    postgres.stop("immediate")
    try:
        assert first.wait(END_S) == 4
        assert parents.start("a", 3, constants=brief).wait(END_S) == 4
    finally:
        postgres.start()
    assert "StorageError: the database server does not answer" in parents.said("a")
    before = parents.calls()
    end_well(parents.start("a", 3, constants=brief))
    found = trials(postgres_url)
    check(found, 3)
    repeated = set(before) & set(parents.calls()[len(before) :])
    assert len(before) == len(set(before))
    assert not repeated


def test_a_result_on_its_way_is_told_by_the_next_parent_and_not_trained_again(
    parents: Any, shared: Any, tmp_path: Path
) -> None:
    from fdsearch.search.spool import Entry

    study = shared.study()
    ended = ledger(study, tmp_path, "ended")
    trial = ended.ask(100)
    assert trial is not None
    trial.suggest_float("custom_quality", 0.0, 1.0)
    Spool(tmp_path / "next").keep(
        Entry(study.study_name, 0, trial.study.get_trials()[0].user_attrs[PARENT], "COMPLETE", 0.75, {names.SECONDS: 1})
    )
    following = ledger(study, tmp_path, "next")
    following.open()
    [told] = study.get_trials()
    assert (told.state, told.value, told.user_attrs[names.SECONDS]) == (TrialState.COMPLETE, 0.75, 1)
    assert following.n_finished == 1
    assert not list((tmp_path / "next").glob("*.json"))
    following.open()
    assert following.n_finished == 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_restarts_of_the_server_lose_nothing_and_repeat_nothing(
    parents: Any, postgres: PostgresServer, postgres_url: str, seed: int
) -> None:
    rng = random.Random(seed)
    started = [parents.start(name, 100, n_workers=2, fixed={"pause": 0.02}) for name in "ab"]
    wait_until(lambda: all("opened" in parents.said(name) for name in "ab"), "both are there")
    restarts = 0
    while any(process.poll() is None for process in started):
        time.sleep(rng.uniform(2.0, 5.0))
        postgres.restart(rng.choice(["fast", "immediate"]), pause=rng.uniform(0.0, 1.0))
        restarts += 1
        assert restarts < 60, parents.said("a") + parents.said("b")
    end_well(*started)
    found = trials(postgres_url)
    check(found, 100)
    assert restarts >= 2
    assert len(parents.calls()) == len(set(parents.calls())) == 300, "a fit ran twice, or for nothing"
    # A trial whose taking was not answered is nobody's: it is given up without a fit, and its point is tried again.
    assert all(trial.user_attrs[names.FAILURE] == "lost" for trial in found if trial.state is TrialState.FAIL)
    told = Counter(line for name in "ab" for line in parents.said(name).splitlines() if "macro F1" in line)
    assert sum(told.values()) == 100


@pytest.mark.slow
def test_many_short_trials_are_not_too_many(parents: Any, postgres_url: str) -> None:
    end_well(*(parents.start(name, 150, n_workers=2, fixed={"epochs": 1}) for name in ("a", "b", "c")))
    found = trials(postgres_url)
    assert states(found) == {"COMPLETE": 150}
    check(found, 150)
