"""A fit that was cut off and resumed is the fit that was not, to 1e-6."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from fdsearch.errors import ResourceError
from fdsearch.training import checkpoint
from fdsearch.training.trainer import fit

SMALL = {"phases": "full", "epochs": 5, "dropout": 0.4, "augmentation": 0.5}
LITE0 = {"backbone": "efficientnet_lite0", "phases": "head_tail", "unfreeze": 0.1, "epochs": 4}


@pytest.fixture
def in_child(tmp_path, request):
    """``in_child(*runs)``: does fits in a new process (see resuming.py); its exit code and their results."""

    def run(*runs):
        script = request.path.with_name("resuming.py")
        command = [sys.executable, str(script), str(tmp_path), json.dumps(runs)]
        quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        answer = subprocess.run(command, capture_output=True, text=True, env=quiet)
        assert answer.returncode in (0, -signal.SIGKILL), answer.stderr
        return answer.returncode, json.loads(answer.stdout) if answer.returncode == 0 else []

    return run


def assert_same_fit(resumed, whole):
    assert resumed["status"] == whole["status"] == "done"
    np.testing.assert_allclose(resumed["logits"], whole["logits"], rtol=0, atol=1e-6)
    assert len(resumed["curve"]) == len(whole["curve"])
    for ours, theirs in zip(resumed["curve"], whole["curve"], strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours.keys() - {"seconds", "phase"}:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=1e-6, err_msg=f"{name} of {ours}")
        assert ours["phase"] == theirs["phase"]
    for name in ("epochs", "phase_epochs", "learning_rates"):
        assert resumed[name] == whole[name]


def assert_stops_change_nothing(in_child, cases):
    """Stop each case at some epochs, one after the other, and at each alone; all fits are whole in the end."""
    runs = [{"case": case} for case in cases]
    for case, epochs in cases.items():
        runs += [{"case": case, "stop": epoch, "checkpoint": f"{case}.npz"} for epoch in (*epochs, None)]
    _, results = in_child(*runs)
    wholes = dict(zip(cases, results, strict=False))
    parts = iter(results[len(cases) :])
    for case, epochs in cases.items():
        attempts = [next(parts) for _ in range(len(epochs) + 1)]
        assert [attempt["status"] for attempt in attempts] == ["stopped"] * len(epochs) + ["done"]
        # No epoch is trained or reported twice, and what came before is in every curve.
        assert [epoch for attempt in attempts for epoch in attempt["reported"]] == wholes[case]["reported"]
        assert [len(attempt["curve"]) for attempt in attempts[:-1]] == [epoch + 1 for epoch in epochs]
        assert_same_fit(attempts[-1], wholes[case])
    return wholes


def test_stopped_and_resumed(in_child):
    wholes = assert_stops_change_nothing(in_child, {"full": (1, 4, 7), "best before": (2, 5, 7)})
    rates = [row["learning_rate"] for row in wholes["full"]["curve"]]
    assert rates[0] == rates[4] > rates[7], "the plateau was to be counted before the stop and found after it"
    assert wholes["best before"]["epochs"] - 1 < 5 < len(wholes["best before"]["curve"]) - 1 < 11


@pytest.mark.slow
def test_stopped_and_resumed_with_averaged_weights(in_child):
    assert_stops_change_nothing(in_child, {"ema": (2,), "swa": (3, 6)})


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_stopped_and_resumed_in_every_kind_of_phase(in_child):
    cases = {"full sgd": (0, 1, 2), "head": (0, 3), "head_tail": (0, 1, 3)}
    wholes = assert_stops_change_nothing(in_child, cases)
    assert {row["phase"] for row in wholes["head_tail"]["curve"]} == {"head", "tail"}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("case", "epochs"), [("full", (1, 6)), ("ema", (2,)), ("swa", (6,)), ("head", (2,)), ("head_tail", (1, 4))]
)
def test_killed_and_resumed_in_another_process(in_child, tmp_path, case, epochs):
    _, [whole] = in_child({"case": case})
    for epoch in epochs:
        code, _ = in_child({"case": case, "checkpoint": "c.npz", "kill": epoch})
        assert code == -signal.SIGKILL
    _, [resumed] = in_child({"case": case, "checkpoint": "c.npz"})
    # The last checkpoint is of the epoch before: its report was the last that was answered.
    assert resumed["reported"] == whole["reported"][epochs[-1] :]
    assert_same_fit(resumed, whole)


def stop_after(n_epochs):
    return lambda epoch, row: epoch + 1 < n_epochs


def go_on(epoch, row):
    return True


def reported(job):
    """The epochs that a fit reports when nobody stops it, and its result."""
    epochs = []
    result = fit(job, lambda epoch, row: epochs.append(epoch) or True)
    assert result.status == "done"
    assert len(result.curve) == 5
    return epochs


@pytest.mark.parametrize(
    "changes", [{"seed": 8}, {"train": np.arange(19)}, {"labels": None}], ids=lambda changes: next(iter(changes))
)
def test_only_the_very_same_fit_is_resumed(make_job, tmp_path, changes):
    job = replace(make_job(SMALL), checkpoint=tmp_path / "c.npz")
    assert fit(job, stop_after(3)).status == "stopped"
    other = {name: np.roll(job.labels, 1) if value is None else value for name, value in changes.items()}
    assert reported(replace(job, **other)) == [0, 1, 2, 3, 4]
    elsewhere = replace(job, id="retry", save_to=tmp_path / "m.keras")
    assert reported(elsewhere) == [3, 4]


def test_a_torn_checkpoint_is_a_fit_from_the_start(make_job, tmp_path):
    job = replace(make_job(SMALL), checkpoint=tmp_path / "c.npz")
    fit(job, stop_after(3))
    content = job.checkpoint.read_bytes()
    job.checkpoint.write_bytes(content[: len(content) // 2])
    assert reported(job) == [0, 1, 2, 3, 4]


def test_a_short_fit_writes_none_and_a_long_one_after_reports(make_job, tmp_path, monkeypatch):
    job = replace(make_job(SMALL), checkpoint=tmp_path / "c.npz")
    fit(job, go_on)
    assert not job.checkpoint.exists()
    monkeypatch.setattr(checkpoint, "INTERVAL", 0.0)
    monkeypatch.setattr(checkpoint, "MAX_SHARE", float("inf"))
    seen = []
    fit(job, lambda epoch, row: seen.append(job.checkpoint.exists()) or True)
    assert seen == [False, True, True, True, True]
    assert reported(job) == []  # trained to its end, and only to be told


def test_frozen_weights_are_not_written(make_job, tmp_path):
    job = replace(make_job({**LITE0, "phases": "head"}), checkpoint=tmp_path / "c.npz")
    fit(job, stop_after(2))
    with np.load(job.checkpoint) as stored:
        changed = [name for name in stored.files if name.startswith("weights.")]
        assert len(changed) == 2
        assert sum(stored[name].size for name in changed) == (2 * 1280 + 1) * 3
    assert job.checkpoint.stat().st_size < 200_000


def test_a_checkpoint_does_not_reach_the_prefix_cache(make_job, tmp_path):
    """Activations are kept for all fits, so they are those of the initial weights even where training goes on."""
    job = replace(make_job(LITE0), checkpoint=tmp_path / "c.npz", prefix_cache=tmp_path / "first")
    fit(job, stop_after(3))
    fit(replace(job, prefix_cache=tmp_path / "second"), go_on)
    fresh = {path.name: path.read_bytes() for path in (tmp_path / "first").glob("*.npy")}
    resumed = {path.name: path.read_bytes() for path in (tmp_path / "second").glob("*.npy")}
    assert fresh == resumed
    assert fresh


def test_a_full_disk_ends_the_fit_and_spares_the_checkpoint(make_job, tmp_path):
    job = replace(make_job(SMALL), checkpoint=tmp_path / "c.npz")
    fit(job, stop_after(2))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(epoch, row):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 10, before[1]))
        return False

    try:
        with pytest.raises(ResourceError, match="disk is full"):
            fit(job, full)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]
    assert reported(job) == [2, 3, 4]
