"""``fdsearch serve`` as a process: what it refuses to be, what it says, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from running import first_document

from fdsearch.registry.store import Registry
from fdsearch.registry.version import ModelVersion

SERVE = [sys.executable, "-m", "fdsearch", "serve", "tiles"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--host", "0.0.0.0", "--port", "0"], 2, "anybody in the network"),
        (["--port", "TAKEN"], 6, "cannot be used"),
        (["--port", "0"], 2, "tiles"),
    ],
)
def test_it_refuses_before_it_serves(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        arguments = [str(taken.getsockname()[1]) if each == "TAKEN" else each for each in arguments]
        command = [*SERVE, *arguments, "--root", str(tmp_path), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    error = json.loads(done.stdout)["error"]
    assert words in error["message"] + str(error["faults"])


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_it_answers_until_it_is_told_to_end(
    register: Callable[..., ModelVersion], pictures: list[Path], tmp_path: Path, number: int, code: int
) -> None:
    register()
    Registry(tmp_path / "registry").promote("tiles", 1, by="test", reason="first")
    command = [*SERVE, "--port", "0", "--root", str(tmp_path), "--json"]
    environment = {**os.environ, "PYTHONWARNINGS": "default"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        said = first_document(process.stdout)
        try:
            with urllib.request.urlopen(f"{said['url']}/predict", pictures[0].read_bytes(), timeout=60) as answer:
                assert json.load(answer)["model"]["version"] == 1
        finally:
            process.send_signal(number)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert json.loads(rest)["error"]["exit_code"] == code
