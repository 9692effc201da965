"""The `notify` command of a study: real programs that keep what they are told, fail, hang or do not exist."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from fdsearch.config import StudySpec
from fdsearch.errors import ConfigError, DataError, Fault, Interrupted
from fdsearch.pipeline.notification import notify, notifying
from fdsearch.study_reader import parse_study


def program(folder: Path, body: str) -> tuple[str, ...]:
    """A Python program on disk, as a command."""
    path = folder / "tell"
    path.write_text(f"#!{sys.executable}\n{body}\n")
    path.chmod(0o755)
    return (str(path),)


def keeper(folder: Path) -> tuple[str, ...]:
    """A program that adds its arguments and its standard input to a file."""
    body = f"import sys\nopen({str(folder / 'told')!r}, 'a').write(sys.argv[-1] + sys.stdin.read())"
    return (*program(folder, body), "$HOME; exit 1")


def study(folder: Path, notify: Any) -> StudySpec:
    (folder / "labels.csv").write_text("filename,label\n")
    raw = {"name": "a", "data": {"manifest": "labels.csv", "label": "label"}, "space": {"epochs": 3}}
    return parse_study({**raw, "notify": notify}, "a.yaml", folder)


def told(folder: Path) -> list[str]:
    path = folder / "told"
    return path.read_text().splitlines() if path.exists() else []


def test_the_result_arrives_once_and_no_shell_reads_the_words(tmp_path: Path) -> None:
    document = {"study": "a", "best_value": 0.5, "note": "ä\n" * 100_000}
    lines: list[str] = []
    with notifying(study(tmp_path, list(keeper(tmp_path)))) as notification:
        notification.begin(lines.append)
        assert notification.of(document) is document
        assert told(tmp_path) == [], "not before the end"
    text = (tmp_path / "told").read_text()
    assert text.startswith("$HOME; exit 1") and json.loads(text.removeprefix("$HOME; exit 1")) == document
    assert lines == []


def test_a_failure_arrives_as_the_error_document(tmp_path: Path) -> None:
    error = DataError("the data has faults", [Fault("row 3", "nothing", "a label", "add one")])
    with pytest.raises(DataError), notifying(study(tmp_path, list(keeper(tmp_path)))) as notification:
        notification.begin(print)
        raise error
    found = json.loads((tmp_path / "told").read_text().removeprefix("$HOME; exit 1"))["error"]
    assert found == {
        "exit_code": 3,
        "message": "the data has faults",
        "faults": [{"where": "row 3", "got": "nothing", "expected": "a label", "fix": "add one"}],
    }


@pytest.mark.parametrize("error", [Interrupted(15), KeyboardInterrupt()])
def test_who_interrupts_knows(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), notifying(study(tmp_path, list(keeper(tmp_path)))) as notification:
        notification.begin(print)
        raise error
    assert told(tmp_path) == []


def test_a_stored_result_and_a_run_that_never_began_are_no_news(tmp_path: Path) -> None:
    spec = study(tmp_path, list(keeper(tmp_path)))
    with notifying(spec) as notification:
        notification.begin(print)
    with pytest.raises(DataError), notifying(spec):
        raise DataError("another process owns the study")
    assert told(tmp_path) == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("import sys\nprint('sent')\nsys.exit(3)", ["notify: sent", "notify: tell ended with code 3"]),
        ("print('sent', flush=True)", ["notify: sent"]),
        ("import os\nprint('x' * 9000)\nos.kill(os.getpid(), 9)", ["notify: " + "x" * 3999, "ended with code -9"]),
    ],
)
def test_what_it_says_and_how_it_fails_stands_in_the_log(tmp_path: Path, body: str, expected: list[str]) -> None:
    lines: list[str] = []
    command = program(tmp_path, body)
    notify(command, {}, lines.append)
    assert len(lines) == len(expected)
    assert all(part in line.replace(command[0], "tell") for line, part in zip(lines, expected, strict=True))


def test_one_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    body = (
        "import subprocess, sys, time, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\ntime.sleep(600)"
    )
    lines: list[str] = []
    notify(program(tmp_path, body), {}, lines.append, timeout_s=5)
    assert len(lines) == 1 and "took longer than 5 s" in lines[0]
    pid, deadline = int((tmp_path / "pid").read_text()), time.monotonic() + 60
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_one_that_vanished_meanwhile_is_a_line(tmp_path: Path) -> None:
    lines: list[str] = []
    notify((str(tmp_path / "gone"),), {}, lines.append)
    assert len(lines) == 1 and "could not be started" in lines[0]


def test_one_that_leaves_a_child_behind_does_not_hold_the_run(tmp_path: Path) -> None:
    body = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        "print(child.pid)"
    )
    lines: list[str] = []
    notify(program(tmp_path, body), {}, lines.append, timeout_s=60)
    os.kill(int(lines[0].removeprefix("notify: ")), 9)
    assert len(lines) == 1, "it ended by itself"


@pytest.mark.parametrize("command", ["no-such-program --now", ["./tell"], "./labels.csv"])
def test_a_missing_program_is_refused_at_the_start(tmp_path: Path, command: Any) -> None:
    with pytest.raises(ConfigError) as caught, notifying(study(tmp_path, command)):
        pytest.fail("the study must not begin")
    assert caught.value.faults[0].where == "$.notify"


def test_a_path_is_relative_to_the_study_and_survives_in_the_run(tmp_path: Path) -> None:
    spec = study(tmp_path, "./tell --to 'night shift'")
    assert spec.notify == (str(tmp_path / "tell"), "--to", "night shift")
    again = parse_study(spec.to_json(), "again.yaml", tmp_path / "elsewhere")
    assert again.notify == spec.notify
    assert spec.rules() == study(tmp_path, None).rules(), "no part of the question"


@pytest.mark.parametrize("command", ["", [], 5, {"a": 1}, "a 'b", ["a", 3]])
def test_what_is_no_command_is_a_fault_of_the_study(tmp_path: Path, command: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        study(tmp_path, command)
    assert [fault.where for fault in caught.value.faults] == ["a.yaml: $.notify"]


def test_a_run_that_fails_tells_it_after_its_folder_is_free(tmp_path: Path) -> None:
    from fdsearch import pipeline

    body = (
        "import fcntl, sys\nlock = open(sys.argv[1] + '/runs/a/lock')\n"
        "fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "state = open(sys.argv[1] + '/runs/a/status.json').read()\n"
        "open(sys.argv[1] + '/told', 'w').write(sys.stdin.read())\nprint('failed' in state)"
    )
    command = program(tmp_path, body)
    spec = study(tmp_path, [*command, str(tmp_path)])
    with pytest.raises(DataError) as caught:
        pipeline.run(spec, tmp_path)
    assert json.loads((tmp_path / "told").read_text()) == {"error": caught.value.to_json()}
    assert "notify: True" in (tmp_path / "runs" / "a" / "log.txt").read_text()
