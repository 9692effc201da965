"""Writers that are killed at every step, and writers that race: real processes, real signals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fdsearch.registry.store import Registry

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="fork and SIGKILL")
SCRIPT = Path(__file__).with_name("writers.py")


def run(task: str, registry: Registry, draft: Path) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, SCRIPT, task, registry.root, draft], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, int] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("task", ["register", "promote", "open"])
def test_a_kill_at_any_step_leaves_only_whole_versions(filled: Registry, tmp_path: Path, task: str) -> None:
    answer = run(f"kill-{task}", filled, tmp_path / "draft")
    assert answer["kills"] > (30 if task == "register" else 8)
    # The last, unharmed run swept what the killed ones left under way.
    assert not list(filled.root.rglob("*.tmp")) and not list(filled.root.rglob(".incoming-*"))
    assert filled.verify()["models"] == 1


def test_racing_promotions_of_one_generation_win_once(filled: Registry, tmp_path: Path) -> None:
    answer = run("race-promote", filled, tmp_path / "draft")
    assert answer["won"] + answer["conflicts"] == answer["attempts"]
    generations = [event.details["generation"] for event in filled.events("tiles") if event.kind == "promoted"]
    assert generations == list(range(1, answer["won"] + 2))
    assert filled.models()[0]["generation"] == answer["won"] + 1


def test_racing_openings_are_all_noted(filled: Registry, tmp_path: Path) -> None:
    assert run("race-open", filled, tmp_path / "draft") == {"openings": 20}


def test_racing_registrations_get_numbers_of_their_own(filled: Registry, tmp_path: Path) -> None:
    run("race-register", filled, tmp_path / "draft")
    assert filled.models()[0]["versions"] == list(range(1, 15))
    assert filled.verify()["unfinished"] == []
