"""Asking a run to stop: the right process, at the next step, and never somebody else's."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from fdsearch.errors import ConflictError, Interrupted
from fdsearch.pipeline.interruption import Interruption
from fdsearch.pipeline.run_status import RunLog, stop
from fdsearch.progress import Silent
from fdsearch.search.leases import Parent, this_parent
from fdsearch.search.ownership import holder

ELSEWHERE = replace(this_parent(), host="box2")
OTHER_CONTAINER = replace(this_parent(), pids="pid:[1]")


@pytest.mark.parametrize("content", [asdict(ELSEWHERE), asdict(OTHER_CONTAINER), {"pid": os.getpid(), "host": "box"}])
def test_a_run_of_another_machine_is_named_and_nobody_is_signalled(
    tmp_path: Path, content: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    signalled: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: signalled.append(pid))
    with held(tmp_path, content).open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConflictError) as caught:
            stop(tmp_path)
    assert caught.value.faults[0].where == "tiles"
    assert not signalled


def test_a_run_of_this_machine_is_signalled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signalled: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: signalled.append((pid, number)))
    with held(tmp_path, asdict(this_parent())).open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert stop(tmp_path)["studies"][0]["stopping"] is True
    assert signalled == [(os.getpid(), signal.SIGTERM)]


def held(root: Path, content: dict[str, object]) -> Path:
    folder = root / "runs" / "tiles"
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps({"study": "tiles", "state": "running"}))
    (folder / "lock").write_text(json.dumps(content))
    return folder / "lock"


def test_a_torn_lock_still_says_that_somebody_holds_it(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text('{"pid": 1')
    with (tmp_path / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert isinstance(holder(tmp_path), Parent)


def test_reading_and_decoding_hear_a_signal(tmp_path: Path) -> None:
    interruption = Interruption()
    log = RunLog(tmp_path, "tiles", Silent(), interruption.check)
    log.track("decoding pictures", 1, 100)
    interruption.signum = signal.SIGTERM
    with pytest.raises(Interrupted):
        log.track("decoding pictures", 2, 100)


@pytest.mark.parametrize("before", ["", "[]", '{"n_complete": 7, "state": "finished", "running": [1]}'])
def test_a_status_keeps_the_number_of_trials(tmp_path: Path, before: str) -> None:
    (tmp_path / "status.json").write_text(before)
    log = RunLog(tmp_path, "tiles", Silent())
    log.update(now=True, stage="repeats")
    state = json.loads((tmp_path / "status.json").read_text())
    assert state["state"] == "running"
    assert state.get("n_complete") == (7 if "7" in before else None)
    assert "running" not in state
