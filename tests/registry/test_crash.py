"""Writers that are killed at every step, and writers that race: real processes, real signals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from registry.conftest import write_draft

from fdsearch.registry.collection import collect
from fdsearch.registry.draft import Draft
from fdsearch.registry.model import Model
from fdsearch.registry.store import Registry
from fdsearch.registry.transfer import export_version

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="fork and SIGKILL")
SCRIPT = Path(__file__).with_name("writers.py")


def run(task: str, registry: Registry, draft: Path) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, SCRIPT, task, registry.root, draft], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, int] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("task", ["register", "promote", "rollback", "gc", "import", "open"])
def test_a_kill_at_any_step_leaves_only_whole_versions(filled: Registry, tmp_path: Path, task: str) -> None:
    other = Registry(tmp_path / "other")
    for _ in range(3):
        other.register("tiles", Draft(tmp_path / "draft"), "test")
    export_version(other.resolve("tiles:3"), tmp_path / "draft.zip")
    answer = run(f"kill-{task}", filled, tmp_path / "draft")
    assert answer["kills"] > (30 if task in ("register", "gc", "import") else 8)
    # The last, unharmed run swept what the killed ones left under way; a whole folder without an event has to be named.
    assert not list(filled.root.rglob("*.tmp")) and not list(filled.root.rglob(".incoming-*"))
    left = [int(Path(path).name) for path in filled.verify()["unfinished"]]
    collect(Model(filled.root / "tiles"), left, by="kim", reason="killed")
    assert filled.verify()["unfinished"] == []


@pytest.mark.slow
def test_a_kill_of_a_models_first_writer_keeps_nobody_from_the_next(registry: Registry, tmp_path: Path) -> None:
    """What it leaves is no lost log: a log is begun before the first version is in its place."""
    assert run("kill-first", registry, write_draft(tmp_path / "draft").folder)["kills"] > 30


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
