"""The program as a shell sees it: exit codes, streams, the JSON form of errors, signals, and what is imported."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fdsearch.__main__ import main

HEAVY = {"tensorflow", "keras", "optuna", "pandas", "sklearn", "scipy", "matplotlib", "jinja2", "sqlalchemy"}


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120)


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "registry" in capsys.readouterr().out
    assert main([]) == 0
    assert "fdsearch init FOLDER" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("fdsearch 0.")
    assert main(["registry"]) == 2
    assert "Missing command" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "got", "where"),
    [
        (["rnu"], "Did you mean 'run'", "fdsearch"),
        (["run"], "Missing argument 'STUDY'", "fdsearch run"),
        (["run", "demo", "--dry"], "No such option: --dry", "fdsearch run"),
        (["space", "demo", "--sample", "0"], "Invalid value for '--sample'", "fdsearch space"),
        (["registry", "promote", "m:1", "--by", "me"], "Missing option '--reason'", "fdsearch registry promote"),
        (["--bogus"], "No such option: --bogus", "fdsearch"),
    ],
)
def test_wrong_calls_exit_2_in_words_and_in_json(
    arguments: list[str], got: str, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    words = capsys.readouterr()
    assert words.out == "" and got in words.err and f"{where} --help" in words.err

    assert main([*arguments, "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["exit_code"] == 2
    assert (error["faults"][0]["where"], got in error["faults"][0]["got"]) == (where, True)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["run", "no_such_study"], 2),
        (["run", str(Path(__file__).parent)], 2),
        (["data", "audit", "no_such_table.csv"], 3),
        (["run", "demo", "--dry-run", "--detach"], 2),
        (["run", "demo", "--plugin", "no_such_file.py"], 2),
        (["train", "demo", "--set", "epochs"], 2),
        (["status", "never_run"], 2),
        (["logs", "never_run"], 2),
        (["stop", "never_run"], 2),
        (["registry", "show", "no_such_model"], 2),
        (["registry", "show", "../x"], 2),
        (["registry", "promote", "x:1", "--by", "me", "--reason", "better"], 2),
        (["predict", "no_such_model", "no_such_picture.png"], 3),
        (["predict", "no_such_model", __file__, "--group", "(a)(b)"], 2),
        (["predict", "no_such_model", __file__, "--group", "("], 2),
    ],
)
def test_errors_before_any_work(
    arguments: list[str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--root", str(tmp_path)]) == code
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("error: ") and "Traceback" not in streams.err

    assert main([*arguments, "--root", str(tmp_path), "--json"]) == code
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["exit_code"] == code
    assert error["message"] and error["faults"]
    assert all(set(fault) == {"where", "got", "expected", "fix"} for fault in error["faults"])


@pytest.mark.parametrize(
    ("arguments", "document"),
    [
        (["status"], {"studies": []}),
        (["stop"], {"studies": []}),
        (["logs"], {"studies": []}),
        (["registry", "list"], {"models": []}),
    ],
)
def test_an_empty_root_is_no_error(
    arguments: list[str], document: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--root", str(tmp_path / "new"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == document
    assert main([*arguments, "--root", str(tmp_path / "new")]) == 0
    assert not (tmp_path / "new").exists(), "looking creates nothing"


def test_the_root_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FDSEARCH_ROOT", str(tmp_path))
    assert main(["logs", "never_run"]) == 2
    assert str(tmp_path / "runs" / "never_run") in capsys.readouterr().err


def test_debug_shows_the_traceback_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "no_such_study", "--debug", "--json"]) == 2
    streams = capsys.readouterr()
    assert "Traceback" in streams.err
    assert json.loads(streams.out)["error"]["exit_code"] == 2


def test_what_stands_after_two_dashes_is_no_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--", "--json"]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["status"], ["registry", "list"]])
def test_quick_commands_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = "import sys; from fdsearch.__main__ import main; main(sys.argv[1:]); print('modules:', *sys.modules)"
    answer = python(code, *arguments, *([] if "--help" in arguments else ["--root", str(tmp_path)]))
    assert answer.returncode == 0, answer.stderr
    assert HEAVY.isdisjoint(answer.stdout.rpartition("modules:")[2].split())


SIGNALLED = """
import os, signal, sys, time, typer
from fdsearch.__main__ import main
from fdsearch.cli.app import app
from fdsearch.cli.command import command

def wait(call):
    "Gets a signal while it works."
    os.kill(os.getpid(), int(os.environ["SIGNAL"]))
    time.sleep(60)

# Whoever runs the tests in the background, or under nohup, lets some of these signals be ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
command(app, "wait", example="fdsearch wait", show=print)(wait)
sys.exit(main(["wait", "--json"]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_with_128_and_its_number(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNAL", str(int(number)))
    answer = python(SIGNALLED)
    assert answer.returncode == 128 + number
    assert json.loads(answer.stdout)["error"]["exit_code"] == 128 + number


@pytest.mark.parametrize("arguments", ["status --json", "run --help"])
def test_a_reader_that_leaves_early_is_no_error(arguments: str, tmp_path: Path) -> None:
    root = "" if "--help" in arguments else f"--root {tmp_path}"
    shell = f"set -o pipefail; {sys.executable} -m fdsearch {arguments} {root} | true"
    answer = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=120)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_signal_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    main(["--version"])
    assert signal.getsignal(signal.SIGTERM) is before
