"""Small versions of the drills: whether the guarantees hold, and whether a drill can still be run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from postgres_server import PostgresServer

TESTS = Path(__file__).resolve().parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def drill(name: str, *arguments: str) -> dict[str, Any]:
    """Run a drill and return its figure."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-m", f"drills.{name}", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800)
    assert done.stdout, done.stderr
    figure: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode == 0) == figure["ok"], done.stderr
    return figure


@pytest.mark.parametrize("storage", ["sqlite", "postgresql"])
def test_load_loses_nothing(postgres: PostgresServer, storage: str) -> None:
    figure = drill("load", "--storages", storage, "--trials", "80", "--portion", "40", "--workers", "4")[storage]
    # The time that 80 trials take says nothing.
    assert [fault for fault in figure["faults"] if "as long as" not in fault] == []
    assert figure["trials"] == 80


@pytest.mark.parametrize("seed", ["0", "1"])
def test_kills_cost_nothing_but_time(postgres: PostgresServer, seed: str) -> None:
    figure = drill("kill", "--seeds", seed, "--trials", "30", "--every", "6")
    assert figure["ok"], figure
    assert figure["kills"] > 0


def test_two_parents_outlive_a_restart(postgres: PostgresServer) -> None:
    figure = drill("two_parents", "--trials", "40", "--restarts", "1")
    assert figure["ok"], figure["faults"]


def test_racing_promoters_lose_no_generation() -> None:
    figure = drill("promoters", "--promoters", "4", "--attempts", "25")
    assert figure["ok"], figure["faults"]
    assert figure["winners"] + figure["conflicts"] == figure["attempts"] == 100


def test_a_registry_outlives_its_writers() -> None:
    figure = drill("registry_kill", "--kills", "25")
    assert figure["ok"], figure["faults"]
    assert figure["kills"] == 25


def test_the_service_drops_and_mixes_nothing() -> None:
    figure = drill("service", "--seconds", "10", "--switches", "3", "--clients", "4", "--image-size", "96")
    # What ten seconds on a busy machine say of time and memory is nothing.
    assert [fault for fault in figure["faults"] if "latency" not in fault and "memory" not in fault] == []
    assert figure["switches"] == 3
