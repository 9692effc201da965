"""Run by test_crash.py: forks writers of a registry, kills or races them, and prints what happened as JSON.

A process of its own, because forking the test process would copy the threads of TensorFlow.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from fdsearch.errors import ConflictError
from fdsearch.registry.collection import collect
from fdsearch.registry.draft import Draft
from fdsearch.registry.holdouts import HoldoutLog, Opening
from fdsearch.registry.model import Model
from fdsearch.registry.provenance import code_digest
from fdsearch.registry.store import Registry
from fdsearch.registry.transfer import import_version

NUMBERS = count(1)
WATCHED = ("open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.chmod")


def die_at(step: int, root: Path) -> None:
    """Kill this process at its `step`-th change below `root`, before it, or before the sync that follows a write."""
    steps = count(1)

    def maybe_die() -> None:
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in WATCHED and str(root) in str(arguments[0]):
            maybe_die()

    sync = os.fsync

    def dying_sync(handle: int) -> None:
        maybe_die()
        sync(handle)

    sys.addaudithook(hook)
    os.fsync = dying_sync


def forked(work: Callable[[], int]) -> int:
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            status = work()
        finally:
            os._exit(status)
    return pid


def kill_everywhere(
    registry: Registry, change: Callable[[], object], prepare: Callable[[], object] = lambda: None
) -> dict[str, int]:
    """Kill a writer at its first step, the next at its second, ... until one gets through; check after each."""
    for step in count(1):
        prepare()
        before = registry.models()[0]

        def work(step: int = step) -> int:
            die_at(step, registry.root)
            change()
            return 0

        _, status = os.waitpid(forked(work), 0)
        registry.verify()
        after = registry.models()[0]
        for number in after["versions"]:
            if registry.version("tiles", number).faults():
                raise SystemExit(f"version {number} is damaged after a kill at step {step}")
        if registry.resolve("tiles").version != after["champion"]:
            raise SystemExit(f"the alias does not resolve after a kill at step {step}")
        if os.WIFEXITED(status):
            if os.WEXITSTATUS(status):
                raise SystemExit(f"the writer failed at step {step}: {status}")
            return {"kills": step - 1}
        if len(after["versions"]) - len(before["versions"]) > 1:
            raise SystemExit(f"a kill at step {step} made more than one version")
    raise AssertionError


def race(registry: Registry, work: Callable[[], int], n_processes: int) -> list[int]:
    """Run forked workers side by side; return their exit statuses."""
    children = [forked(work) for _ in range(n_processes)]
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def open_holdout(registry: Registry) -> None:
    """Log the opening of a candidate that only this process has."""
    HoldoutLog(registry.root).open(
        Opening("tiles", "data", "sealed", "tiles", "tiles", f"{os.getpid()}-{next(NUMBERS)}")
    )


def promote_and_roll_back(registry: Registry) -> None:
    registry.promote("tiles", 2, by="killed", reason="test")
    registry.rollback("tiles", by="killed", reason="test")


def keep_one_unneeded(registry: Registry, draft: Draft) -> None:
    if registry.models()[0]["versions"] == [1]:
        registry.register("tiles", draft, "killed")


def kill_first(folder: Path, draft: Draft) -> dict[str, int]:
    """Kill the writer of a model's very first version at its first step, its second, ...; the next one goes on."""
    for step in count(1):
        registry = Registry(folder / f"first-{step}")

        def work(registry: Registry = registry, step: int = step) -> int:
            die_at(step, registry.root)
            registry.register("tiles", draft, "killed")
            return 0

        _, status = os.waitpid(forked(work), 0)
        registry.verify()
        registry.register("tiles", draft, "next")
        registry.verify()
        if os.WIFEXITED(status):
            return {"kills": step - 1}
    raise AssertionError


def churn(registry: Registry, draft: Draft) -> dict[str, int]:
    """Add versions and remove them again."""
    for _ in range(20):
        registry.register("tiles", draft, "churn")
        collect(Model(registry.root / "tiles"), by="churn", reason="test")
    return {}


def main(task: str, root: Path, folder: Path) -> dict[str, int]:
    registry, draft = Registry(root), Draft(folder)
    code_digest()

    def promote_often() -> int:
        won = 0
        for attempt in range(20):
            generation = registry.models()[0]["generation"]
            try:
                registry.promote("tiles", 1 + attempt % 2, by="racer", reason="fast", expected_generation=generation)
                won += 1
            except ConflictError:
                continue
        return won

    def register_thrice() -> int:
        for _ in range(3):
            registry.register("tiles", draft, "racer")
        return 0

    def open_five_times() -> int:
        for _ in range(5):
            open_holdout(registry)
        return 0

    if task == "kill-register":
        return kill_everywhere(registry, lambda: registry.register("tiles", draft, "killed"))
    if task == "kill-promote":
        return kill_everywhere(registry, lambda: registry.promote("tiles", 2, by="killed", reason="test"))
    if task == "kill-rollback":
        return kill_everywhere(registry, lambda: promote_and_roll_back(registry))
    if task == "kill-gc":
        model = Model(registry.root / "tiles")
        change = partial(collect, model, by="killed", reason="test")
        return kill_everywhere(registry, change, lambda: keep_one_unneeded(registry, draft))
    if task == "kill-import":
        return kill_everywhere(registry, lambda: import_version(registry.root, folder.with_suffix(".zip"), by="killed"))
    if task == "kill-open":
        return kill_everywhere(registry, lambda: open_holdout(registry))
    if task == "kill-first":
        return kill_first(registry.root.parent, draft)
    if task == "churn":
        return churn(registry, draft)
    if task == "race-open":
        if any(race(registry, open_five_times, 4)):
            raise SystemExit("a racer failed")
        return {"openings": registry.verify()["openings"]}
    if task == "race-promote":
        wins = race(registry, promote_often, 4)
        if 99 in wins:
            raise SystemExit("a racer failed")
        return {"won": sum(wins), "conflicts": 80 - sum(wins), "attempts": 80}
    if any(race(registry, register_thrice, 4)):
        raise SystemExit("a racer failed")
    return {}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))))
