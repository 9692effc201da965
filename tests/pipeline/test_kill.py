"""SIGKILL of a whole run in the middle of its search, then the same command."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import yaml
from small_set import study

import fdsearch

TRIALS = 6


def command(file: Path, root: Path, *flags: str) -> list[str]:
    return [sys.executable, "-m", "fdsearch", "search", str(file), "--root", str(root), *flags]


def wait_for_trials(root: Path, n_complete: int) -> dict[str, object]:
    """The status once so many trials are complete and another one is running."""
    for _ in range(1200):
        try:
            state: dict[str, object] = json.loads((root / "runs" / "tiles" / "status.json").read_text())
        except (OSError, ValueError):
            state = {}
        if int(str(state.get("n_complete", 0))) >= n_complete and state.get("running"):
            return state
        time.sleep(0.1)
    raise AssertionError("the search did not get going")


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["tree", "parent"])
def test_no_finished_trial_is_lost_or_repeated(pictures: Path, tmp_path: Path, victim: str) -> None:
    raw = study(pictures, search={"n_trials": TRIALS, "pruner": "none", "sampler": "random"})
    raw["space"] |= {"epochs": {"type": "int", "low": 20, "high": 40}, "phases": "head"}
    raw["space"]["learning_rate"].pop("when")
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(raw, sort_keys=False))
    process = subprocess.Popen(command(file, tmp_path), stderr=subprocess.DEVNULL)
    wait_for_trials(tmp_path, 2)
    workers = psutil.Process(process.pid).children(recursive=True)
    if victim == "tree":
        os.kill(process.pid, signal.SIGSTOP)  # all at once: the parent must not see its workers die
        for worker in workers:
            worker.kill()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert workers
    assert not alive, "workers outlived their parent"

    left = fdsearch.load_study("tiles", tmp_path).trials
    done = {trial.number: trial.value for trial in left if trial.state.name == "COMPLETE"}
    interrupted = [trial for trial in left if trial.state.name == "RUNNING"]
    assert len(done) >= 2

    result = subprocess.run(command(file, tmp_path, "--json"), capture_output=True, text=True, check=True)
    document = json.loads(result.stdout)
    trials = fdsearch.load_study("tiles", tmp_path).trials
    assert {number: trials[number].value for number in done} == done
    assert Counter(trial.state.name for trial in trials) == {"COMPLETE": TRIALS, "FAIL": len(interrupted)}
    assert document["n_complete"] == TRIALS
    complete = [trial.params.items() for trial in trials if trial.state.name == "COMPLETE"]
    for trial in interrupted:  # one that was killed while it drew has only a part of its parameters
        assert any(trial.params.items() <= params for params in complete)
    params = [json.dumps(trial.params, sort_keys=True) for trial in trials if trial.state.name == "COMPLETE"]
    assert len(set(params)) == TRIALS


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["repeats", "holdout"])
def test_a_run_killed_after_its_search_goes_on_and_opens_the_holdout_once(
    pictures: Path, tmp_path: Path, moment: str
) -> None:
    raw = study(pictures, search={"n_trials": 2, "pruner": "none"}, selection={"top_k": 2, "n_repeats": 4})
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(raw, sort_keys=False))
    run = [sys.executable, "-m", "fdsearch", "run", str(file), "--root", str(tmp_path)]
    folder = tmp_path / "runs" / "tiles"
    process = subprocess.Popen(run, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    for _ in range(3000):
        if list((folder / "repeats").glob("*.npz"))[2:] if moment == "repeats" else openings(tmp_path):
            break
        time.sleep(0.05)
    process.kill()
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in (folder / "repeats").glob("*.npz")}
    assert kept
    assert not (folder / "result.json").exists()

    seen = watch_repeats(run, folder / "repeats", kept)
    assert seen == kept, "a finished fit was trained again"
    assert openings(tmp_path) == 1
    stored = json.loads((folder / "result.json").read_text())["document"]
    assert stored["holdout"]["openings"] == 1
    assert stored["champion"]["version"] == 1
    assert not (folder / "repeats").exists()
    assert not (folder / "drafts").exists()


def openings(root: Path) -> int:
    """How often the holdout was opened."""
    log = root / "registry" / "holdouts.jsonl"
    return len(log.read_text().splitlines()) if log.is_file() else 0


def watch_repeats(run: list[str], folder: Path, kept: dict[Path, int]) -> dict[Path, int]:
    """Run to the end and return when the kept files were last written, as long as they were there."""
    seen = dict(kept)
    with subprocess.Popen(run, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            with contextlib.suppress(FileNotFoundError):
                seen |= {path: path.stat().st_mtime_ns for path in kept}
            time.sleep(0.05)
    assert process.returncode == 0
    return seen


@pytest.mark.slow
def test_sigterm_saves_and_names_its_exit_code(pictures: Path, tmp_path: Path) -> None:
    raw = study(pictures, search={"n_trials": 50, "pruner": "none", "sampler": "random"})
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(raw, sort_keys=False))
    process = subprocess.Popen(command(file, tmp_path), stderr=subprocess.DEVNULL)
    wait_for_trials(tmp_path, 1)
    second = subprocess.run(command(file, tmp_path), capture_output=True, text=True, check=False)
    assert second.returncode == 6
    assert str(process.pid) in second.stderr
    process.terminate()
    assert process.wait(timeout=60) == 143
    assert json.loads((tmp_path / "runs" / "tiles" / "status.json").read_text())["state"] == "interrupted"
    states = Counter(trial.state.name for trial in fdsearch.load_study("tiles", tmp_path).trials)
    assert states["RUNNING"] == 0
    assert states["WAITING"] <= 1
