"""What `status` shows once and again and again: every field of ``status.json``, and runs that lack some of them."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fdsearch.cli import show_status

WORKER = {
    **{"trial": 12, "fold": 1, "n_folds": 5, "epoch": 3, "n_epochs": 8, "phase": "head", "pictures_per_s": 151.2},
    **{"worker": "cpu 0", "seconds": 31.2},
}
STUDY: dict[str, Any] = {
    **{"study": "tiles", "state": "running", "stage": "search", "n_trials": 15, "n_complete": 3, "n_pruned": 1},
    **{"n_failed": 3, "failures": {"host_memory": 1, "exception": 2}, "running": [WORKER], "time_left_s": 754.0},
    **{"updated": "2026-11-22T06:10:52+00:00", "task": None},
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "worker cpu 0  trial 12  fold 2/5  head  epoch 3/8  151 pictures/s"),
        ({}, "12 min 34 s"),
        ({}, "4 of 15"),
        ({}, "failures: 2 exception, 1 host_memory"),
        ({"time_left_s": 31.0}, "under a minute"),
        ({"stopping": True}, "stopping"),
        ({"task": {"name": "fold", "done": 1, "total": 5}}, "fold 1/5"),
        ({"running": [{"trial": 3, "fold": 0, "epoch": 2}]}, "trial 3  fold 1  epoch 2\n"),
        (
            {"running": [{**WORKER, "phase": "probe", "epoch": 0, "n_epochs": 0, "pictures_per_s": None}]},
            "fold 2/5  probe\n",
        ),
        ({"running": [WORKER, {**WORKER, "worker": "cuda 1", "trial": 7}]}, "worker cuda 1  trial 7   fold 2/5"),
        ({"running": [{**WORKER, "worker": "\x1b[2J"}]}, "worker ?[2J"),
        ({"failures": {}}, "tiles"),
    ],
)
def test_a_study_and_its_workers(changes: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_status.status({"studies": [{**STUDY, **changes}]})
    assert words in capsys.readouterr().out


def test_several_studies_name_their_workers(capsys: pytest.CaptureFixture[str]) -> None:
    show_status.status({"studies": [STUDY, {"study": "b", "state": "unknown"}, {"study": "c", "state": "lost"}]})
    out = capsys.readouterr().out
    assert "tiles: worker cpu 0  trial 12" in out and "tiles: failures: 2 exception" in out and "unknown" in out


def test_no_study_at_all(capsys: pytest.CaptureFixture[str]) -> None:
    show_status.status({"studies": []})
    assert "fdsearch demo" in capsys.readouterr().out


def test_watching_in_a_pipe_writes_a_line_per_change_until_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show_status, "_EVERY_S", 0.0)
    looks = iter(
        [
            STUDY,
            {**STUDY, "time_left_s": 700.0, "updated": "later", "running": [{**WORKER, "pictures_per_s": 99.0}]},
            {**STUDY, "running": [{**WORKER, "epoch": 4}]},
            {**STUDY, "state": "finished", "running": []},
        ]
    )
    out = io.StringIO()
    show_status.watch(lambda: {"studies": [next(looks)]}, out)
    lines = out.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0] == (
        "tiles, running, 4 of 15, search, time left 12 min 34 s, "
        "worker cpu 0 trial 12 fold 2/5 head epoch 3/8 151 pictures/s, failures: 2 exception, 1 host_memory"
    )
    assert "epoch 4/8" in lines[1] and "finished" in lines[2]


def write_status(root: Path, **changes: Any) -> Path:
    """A run whose lock somebody holds (this process), as its status says."""
    folder = root / "runs" / "tiles"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "status.json").write_text(json.dumps({**STUDY, **changes}))
    return folder


def start(root: Path, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "fdsearch", *arguments, f"--root={root}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def test_a_terminal_is_drawn_over_and_left_with_ctrl_c(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    from fdsearch.search.ownership import own_study

    folder = write_status(tmp_path)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "fdsearch", "status", "--watch", f"--root={tmp_path}"]
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    with own_study(folder), subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        seen, deadline = b"", time.monotonic() + 60
        while b"151 pictures/s" not in seen and time.monotonic() < deadline:
            seen += os.read(ours, 4096)
        write_status(tmp_path, running=[{**WORKER, "trial": 13}])
        while b"trial 13" not in seen and time.monotonic() < deadline:
            seen += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    os.close(ours)
    assert b"trial 13" in seen and re.search(rb"\x1b\[\d*[AK]", seen), "the second look is drawn over the first"


@pytest.mark.parametrize("arguments", [("status", "--watch", "--json"), ("logs", "-f", "--json")])
def test_one_json_document_cannot_go_on(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    write_status(tmp_path)
    with start(tmp_path, *arguments) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 2 and json.loads(out)["error"]["faults"][0]["where"].startswith("--")


def test_watching_what_has_ended_ends(tmp_path: Path) -> None:
    write_status(tmp_path, state="finished", running=[])
    with start(tmp_path, "status", "--watch") as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and b"finished" in out


def test_following_a_log_shows_what_comes_and_ends_with_the_run(tmp_path: Path) -> None:
    from fdsearch.search.ownership import own_study

    folder = write_status(tmp_path)
    log = folder / "log.txt"
    log.write_text("first\n")
    with start(tmp_path, "logs", "tiles", "--follow") as process:
        assert process.stdout is not None
        with own_study(folder):
            assert process.stdout.readline() == b"first\n"
            with log.open("a") as stream:
                stream.write("second\nhalf")
            assert process.stdout.readline() == b"second\n"
            with log.open("a") as stream:
                stream.write(" a line\x1b\n")
            assert process.stdout.readline() == b"half a line?\n"
            with log.open("a") as stream:
                stream.write("the last\n")
            write_status(tmp_path, state="finished")
        assert process.stdout.read() == b"the last\n"
        assert process.wait(60) == 0
