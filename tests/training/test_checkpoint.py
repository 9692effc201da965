"""The file of a checkpoint: whole or absent, of one fit, and not written too often."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import pickle
import resource
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fdsearch.errors import ResourceError, StorageError
from fdsearch.training import checkpoint
from fdsearch.training.checkpoint import Checkpoint, CheckpointFile, discard
from fdsearch.training.stopping import Step

STATE = Checkpoint(
    phase=1,
    seconds=0.1 + 0.2,
    curve=({"epoch": 0, "phase": "head", "loss": 1 / 3, "val_f1": [0.1, 2 / 3]},),
    path=(Step(0, 1e-3 / 3), Step(1, 5e-324)),
    descent={"epoch": 2, "schedule": {"scale": 0.3**5, "best": math.inf, "stale": 1}},
    best={"score": [-math.inf], "path": []},
    weights={0: np.float32([[0.1, -2.5]]), 17: np.float32([3.0])},
    best_weights={17: np.float32([4.0])},
    optimizer=(np.int64(9), np.float32([0.5, 1e-30])),
    logits=np.float32([[1.0, 2.0]]),
)


def same(first, second):
    """Whether two checkpoints are equal, arrays with their bytes and types."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [plain(each) for each in value]
        if isinstance(value, np.ndarray | np.generic):
            return value.dtype.str, value.shape, value.tobytes()
        return value

    return plain(dataclasses.asdict(first)) == plain(dataclasses.asdict(second))


@pytest.mark.parametrize("changes", [{}, {"best": None, "best_weights": None}, {"best_weights": {}}, {"curve": ()}])
def test_a_checkpoint_comes_back_bit_by_bit(tmp_path, changes):
    state = dataclasses.replace(STATE, **changes)
    file = CheckpointFile(tmp_path / "deep" / "c.npz", "fit")
    assert file.read() is None
    file.write(STATE)
    file.write(state)
    assert same(file.read(), state)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["c.npz"]


def test_the_checkpoint_of_another_fit_counts_as_absent(tmp_path):
    CheckpointFile(tmp_path / "c.npz", "fit").write(STATE)
    assert CheckpointFile(tmp_path / "c.npz", "other").read() is None


def as_npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def as_npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def text(value):
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


class Trap:
    """An object whose unpickling would be noticed."""

    def __reduce__(self):
        return pytest.fail, ("the file was unpickled",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        b"\x93NUMPY",
        pickle.dumps(Trap()),
        as_npy(np.zeros(3)),
        as_npz(x=np.zeros(3)),
        as_npz(plain=np.array([Trap()], object)),
        as_npz(plain=text([])),
        as_npz(plain=text({"format": 1})),
        as_npz(plain=text({"format": 1, "identity": "fit", "phase": 0})),
        as_npz(plain=text({"format": 1, "identity": "fit"}), **{"../../etc/passwd.0": np.zeros(3)}),
        as_npz(plain=text({"format": 1, "identity": "fit"}), **{"weights.x": np.zeros(3)}),
        as_npz(plain=np.frombuffer(b"\xff{", np.uint8)),
    ],
)
def test_what_is_no_checkpoint_counts_as_absent(tmp_path, content):
    (tmp_path / "c.npz").write_bytes(content)
    assert CheckpointFile(tmp_path / "c.npz", "fit").read() is None


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_torn_or_spoilt_file_is_absent_or_whole(tmp_path, data):
    file = CheckpointFile(tmp_path / "c.npz", "fit")
    file.write(STATE)
    content = bytearray((tmp_path / "c.npz").read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:place]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    (tmp_path / "c.npz").write_bytes(content)
    found = file.read()
    assert found is None or same(found, STATE)


def test_checkpoints_are_a_minute_apart_and_further_where_they_are_slow(tmp_path, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(checkpoint, "time", SimpleNamespace(monotonic=lambda: now))
    file = CheckpointFile(tmp_path / "c.npz", "fit")
    writing = 0.0

    def write_atomic(path, content, durable):
        nonlocal now
        now += writing

    monkeypatch.setattr(checkpoint, "write_atomic", write_atomic)
    due = []
    for second in range(1, 1001):
        now = max(now, 1000.0 + second)
        writing = 10.0 if second > 200 else 0.0
        if file.due:
            file.write(STATE)
            due.append(second)
    # One at 240 s takes 10 s: at most a twentieth of the time is spent on them.
    assert due == [60, 120, 180, 240, 450, 660, 870]


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_checkpoint import STATE, CheckpointFile, dataclasses
file = CheckpointFile(Path(sys.argv[2]), "fit")
file.write(STATE)
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
file.write(dataclasses.replace(STATE, phase=2))
"""


def test_a_kill_while_writing_leaves_the_old_checkpoint(tmp_path, request):
    path = tmp_path / "trial-3.npz"
    command = [sys.executable, "-c", KILLED, str(request.path.parent), str(path)]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == -signal.SIGKILL, answer.stderr
    assert same(CheckpointFile(path, "fit").read(), STATE)
    (tmp_path / "trial-33.npz").touch()
    assert len(list(tmp_path.iterdir())) == 3
    discard(path)
    assert [each.name for each in tmp_path.iterdir()] == ["trial-33.npz"]
    discard(path)


def test_a_full_disk_is_said_and_the_old_checkpoint_stays(tmp_path, monkeypatch):
    file = CheckpointFile(tmp_path / "c.npz", "fit")
    file.write(STATE)
    large = dataclasses.replace(STATE, weights={0: np.zeros(1 << 18, np.float32)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))  # the kernel's refusal, as by a quota
    try:
        with pytest.raises(ResourceError, match="disk is full") as caught:
            file.write(large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(tmp_path / "c.npz") in str(caught.value)
    assert same(file.read(), STATE)
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "c.npz").mkdir()
    file = CheckpointFile(tmp_path / "c.npz", "fit")
    assert file.read() is None
    with pytest.raises(StorageError, match=r"c\.npz"):
        file.write(STATE)
    assert [path.name for path in tmp_path.iterdir()] == ["c.npz"]
