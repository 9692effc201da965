"""Leases: who is seen to live and who to have ended, from here, from elsewhere, and by whose clock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import optuna
import pytest

from fdsearch.search import leases
from fdsearch.search.leases import BEAT_S, LEASE, STALE_S, Leases, Parent, this_parent


class Clock:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def study() -> optuna.Study:
    return optuna.create_study()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until the test ends it."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as started:
        yield started
        started.kill()


def elsewhere(parent: Parent) -> Parent:
    return replace(parent, host=f"not-{parent.host}")


def parent_of(pid: int) -> Parent:
    return replace(this_parent(), pid=pid, start=leases._start_of(pid))


def watch(observer: Leases, clock: Clock, seconds: float, act: Callable[[], Any] = lambda: None) -> None:
    """Look once a second, as the search's loop does, after `act`."""
    for _ in range(round(seconds)):
        clock.now += 1
        act()
        observer.look()


def test_a_living_process_is_seen_to_live_from_its_own_machine_only() -> None:
    me = this_parent()
    assert me == this_parent()
    assert me.is_gone(me) is False
    for other in ("host", "boot", "pids"):
        assert me.is_gone(replace(me, **{other: "another"})) is None, other


def test_an_ended_process_is_seen_at_once_even_as_a_zombie(process: subprocess.Popen[bytes]) -> None:
    parent, me = parent_of(process.pid), this_parent()
    assert parent.is_gone(me) is False
    os.kill(process.pid, signal.SIGSTOP)
    assert parent.is_gone(me) is False
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked for its exit code
    assert parent.is_gone(me) is True
    process.wait()
    assert parent.is_gone(me) is True


def test_a_later_process_with_the_same_id_is_another(process: subprocess.Popen[bytes]) -> None:
    before = replace(parent_of(process.pid), start="1")
    assert before.is_gone(this_parent()) is True
    assert before.id != parent_of(process.pid).id


def test_a_machine_of_the_same_name_is_not_taken_for_this_one_before_a_restart() -> None:
    me = this_parent()
    twin = replace(me, boot="another", pid=1, start="1")
    assert twin.is_gone(me) is None


@pytest.mark.parametrize("field", ["host", "boot", "pids", "start"])
def test_parents_that_differ_have_different_names(field: str) -> None:
    me = this_parent()
    assert replace(me, **{field: "another"}).id != me.id
    assert replace(me, pid=me.pid + 1).id != me.id


def test_the_name_of_a_long_host_fits_into_a_key_of_the_database() -> None:
    assert len(LEASE + replace(this_parent(), host="h" * 253).id) < 512


def test_a_beat_that_stands_still_for_a_minute_ends_a_lease(study: optuna.Study, clock: Clock) -> None:
    other = elsewhere(this_parent())
    Leases(study, other, clock).beat()
    observer = Leases(study, this_parent(), clock)
    observer.look()
    watch(observer, clock, STALE_S - 1)
    assert not observer.is_dead(other.id)
    watch(observer, clock, 1)
    assert observer.is_dead(other.id)


def test_every_beat_renews_a_lease(study: optuna.Study, clock: Clock) -> None:
    owner = Leases(study, elsewhere(this_parent()), clock)
    owner.beat()
    observer = Leases(study, this_parent(), clock)
    observer.look()
    watch(observer, clock, 10 * STALE_S, owner.beat)
    assert not observer.is_dead(elsewhere(this_parent()).id)
    watch(observer, clock, STALE_S - 1)
    assert not observer.is_dead(elsewhere(this_parent()).id)


def test_beats_come_no_more_often_than_they_must(study: optuna.Study, clock: Clock) -> None:
    me = this_parent()
    owner = Leases(study, me, clock)
    for _ in range(1000):
        owner.beat()
        clock.now += BEAT_S / 100
    assert study.user_attrs[LEASE + me.id]["beat"] == 10


def test_the_owner_comes_back_to_life_with_its_next_beat(study: optuna.Study, clock: Clock) -> None:
    other = elsewhere(this_parent())
    owner, observer = Leases(study, other, clock), Leases(study, this_parent(), clock)
    owner.beat()
    observer.look()
    watch(observer, clock, STALE_S)
    assert observer.is_dead(other.id)
    owner.beat()
    observer.look()
    assert not observer.is_dead(other.id)


def test_an_observer_that_stood_still_itself_learns_nothing_from_that_time(study: optuna.Study, clock: Clock) -> None:
    """The server was away for five minutes, for all parents alike: nobody could beat."""
    other = elsewhere(this_parent())
    owner, observer = Leases(study, other, clock), Leases(study, this_parent(), clock)
    owner.beat()
    observer.look()
    observer.is_dead("nobody yet, trial 7")
    clock.now += 300
    observer.look()
    assert not observer.is_dead(other.id)
    assert not observer.is_dead("nobody yet, trial 7")
    owner.beat()
    watch(observer, clock, STALE_S - 1)
    assert not observer.is_dead(other.id)


def test_the_clocks_of_the_wall_play_no_part(
    study: optuna.Study, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, true_time = elsewhere(this_parent()), time.time
    owner, observer = Leases(study, other, clock), Leases(study, this_parent(), clock)
    owner.beat()
    observer.look()
    for hours in (1, -1):
        monkeypatch.setattr(time, "time", lambda hours=hours: true_time() + 3600 * hours)
        owner.beat()
        observer.look()
        assert not observer.is_dead(other.id)
        assert not observer.is_dead("nobody yet, trial 3")
    stored = study.user_attrs[LEASE + other.id]
    assert stored == {**vars(other), "beat": 1}  # nothing of a lease is a time of day


def test_a_trial_that_nobody_has_claimed_is_given_up_a_minute_after_it_was_seen(
    study: optuna.Study, clock: Clock
) -> None:
    observer = Leases(study, this_parent(), clock)
    observer.look()
    watch(observer, clock, 10 * STALE_S)
    assert not observer.is_dead("nobody yet, trial 3")
    watch(observer, clock, STALE_S - 1)
    assert not observer.is_dead("nobody yet, trial 3")
    watch(observer, clock, 1)
    assert observer.is_dead("nobody yet, trial 3")
    assert not observer.is_dead("nobody yet, trial 4")


def test_a_lease_that_was_given_back_is_dead_at_once(study: optuna.Study, clock: Clock) -> None:
    other = elsewhere(this_parent())
    owner, observer = Leases(study, other, clock), Leases(study, this_parent(), clock)
    owner.beat()
    observer.look()
    owner.end()
    observer.look()
    assert observer.is_dead(other.id)


def test_a_parent_that_never_took_a_lease_gives_none_back(study: optuna.Study) -> None:
    Leases(study, this_parent()).end()
    assert not study.user_attrs


def test_a_second_search_of_the_same_process_lives(study: optuna.Study, clock: Clock) -> None:
    other = elsewhere(this_parent())
    observer = Leases(study, this_parent(), clock)
    first = Leases(study, other, clock)
    first.beat()
    observer.look()
    first.end()
    watch(observer, clock, 10 * STALE_S)
    assert observer.is_dead(other.id)
    Leases(study, other, clock).beat()
    observer.look()
    assert not observer.is_dead(other.id)


def test_a_parent_is_dead_at_once_where_its_process_is_seen_to_be_gone(
    study: optuna.Study, clock: Clock, process: subprocess.Popen[bytes]
) -> None:
    parent = parent_of(process.pid)
    Leases(study, parent, clock).beat()
    observer = Leases(study, this_parent(), clock)
    observer.look()
    assert not observer.is_dead(parent.id)
    process.kill()
    process.wait()
    observer.look()
    assert observer.is_dead(parent.id)


def test_a_parent_never_takes_itself_for_dead(study: optuna.Study, clock: Clock) -> None:
    me = this_parent()
    own = Leases(study, me, clock)
    own.beat()
    own.look()
    watch(own, clock, 10 * STALE_S)
    assert not own.is_dead(me.id)
