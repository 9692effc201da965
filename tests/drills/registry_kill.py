"""Drill: writers of a registry that are killed at random moments of register, promote, roll back, gc and import.

A writer does one change after the other until it is killed. Exits 1 where a visible version is not whole, an alias does
not resolve to a whole one, a change that was reported is not in the log, a generation goes back, or what the killed
left behind is still there after the next writer and ``gc``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from drills.checks import Findings
from drills.promoters import small_draft

from fdsearch.errors import ConfigError, ConflictError, FdsearchError
from fdsearch.registry.collection import collect
from fdsearch.registry.draft import Draft
from fdsearch.registry.model import Model
from fdsearch.registry.provenance import code_digest
from fdsearch.registry.store import Registry
from fdsearch.registry.transfer import export_version, import_version

NAME = "tiles"
KILLS_PER_REGISTRY = 50
"""After these a new registry begins: the log is written whole with each event, so it should not grow for ever."""

WEIGHTS = (2, 4, 8, 2, 1, 1)
"""How often each change is tried; a roll back often finds no champion before this one."""

PAUSE_S = 0.06
"""Longest time between the beginning of a writer's first change and its death: a few changes."""


def main() -> int:
    """Run the drill; the last line is the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    started, found, during, left = time.monotonic(), Findings(), Counter[str](), 0
    code_digest()  # known to the forked writers, which would else each read all of fdsearch
    with tempfile.TemporaryDirectory(prefix="fdsearch-drill-") as folder:
        draft = small_draft(Path(folder, "draft"), b"weights")
        archives = make_archives(Path(folder), draft)
        for first in range(0, arguments.kills, KILLS_PER_REGISTRY):
            rng = random.Random(arguments.seed * 1_000_003 + first)
            bench = Bench(Registry(Path(folder, f"registry-{first}")), draft, archives, rng)
            for _ in range(min(KILLS_PER_REGISTRY, arguments.kills - first)):
                during[bench.kill(found)] += 1
                left += bench.check(found)
            bench.check_swept(found)
    figure = {
        "drill": "registry",
        "kills": during.total(),
        "during": dict(sorted(during.items())),
        "unfinished_after": left,
        "seconds": round(time.monotonic() - started, 1),
        "faults": found.faults,
        "ok": not found.faults,
    }
    print(json.dumps(figure))
    return 0 if figure["ok"] else 1


def make_archives(folder: Path, draft: Draft) -> list[Path]:
    """Archives of some numbers; registering reaches them now and then, so some conflict."""
    other, files = Registry(folder / "other"), []
    for number in range(1, 101):
        version = other.register(NAME, draft, "drill")
        if number % 5 == 0:
            files.append(folder / f"{number}.zip")
            export_version(version, files[-1])
    return files


class Bench:
    """A registry with a champion, and the next writer to kill."""

    def __init__(self, registry: Registry, draft: Draft, archives: list[Path], rng: random.Random) -> None:
        self.registry, self.draft, self.archives, self.rng = registry, draft, archives, rng
        self.registry.register(NAME, self.draft, "drill")
        self.registry.promote(NAME, 1, by="drill", reason="first")
        self.generation, self.n_events = 1, 2

    def kill(self, found: Findings) -> str:
        """Kill one writer; returns the change it was in the middle of."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            write_until_killed(self.registry, self.draft, self.archives, random.Random(self.rng.random()), writer)
        os.close(writer)
        select.select([reader], [], [], 30)
        time.sleep(self.rng.uniform(0, PAUSE_S))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        with os.fdopen(reader, encoding="utf-8") as stream:
            said = stream.read().splitlines()
        found.expect(os.WIFSIGNALED(status), f"the writer ended by itself: {said[-1:]}")
        self.n_events += sum(int(line.partition(" ")[2]) for line in said if line.startswith("done"))
        return said[-1].partition(" ")[2] if said and said[-1].startswith("begin") else "between changes"

    def check(self, found: Findings) -> bool:
        """What every reader sees after the kill; returns whether the killed one left something behind."""
        try:
            unfinished = self.registry.verify()["unfinished"]
            state, events = self.registry.state(NAME), self.registry.events(NAME)
            for alias in ("champion", "challenger"):
                if getattr(state, alias) is not None:
                    whole = self.registry.resolve(f"{NAME}@{alias}")
                    found.expect(not whole.faults(), f"the {alias} is not whole")
        except FdsearchError as error:
            found.faults.append(f"after a kill: {error}")
            return False
        found.expect(state.champion is not None, "the champion is gone")
        found.expect(state.generation >= self.generation, "the generation went back")
        found.expect(len(events) >= self.n_events, f"{self.n_events - len(events)} reported changes are lost")
        self.generation, self.n_events = state.generation, len(events)
        return bool(unfinished)

    def check_swept(self, found: Findings) -> None:
        """Nothing is left after one writer that was not killed, and ``gc``."""
        try:
            self.registry.register(NAME, self.draft, "drill")
            hidden = [path for path in self.registry.root.rglob(".*") if path.name != ".lock"]
            found.expect(not hidden, f"not swept: {hidden[:3]}")
            whole = [int(Path(path).name) for path in self.registry.verify()["unfinished"]]
            collect(Model(self.registry.root / NAME), whole, by="drill", reason="killed")
            unfinished = self.registry.verify()["unfinished"]
            found.expect(not unfinished, f"not swept: {unfinished[:3]}")
        except FdsearchError as error:
            found.faults.append(f"the next writer: {error}")


def write_until_killed(registry: Registry, draft: Draft, archives: list[Path], rng: random.Random, pipe: int) -> None:
    """Do one change after the other, and say before each what it is, and after it how many events it has logged."""
    model = Model(registry.root / NAME)

    def promote() -> int:
        [row] = registry.models()
        others = [number for number in row["versions"] if number != row["champion"]]
        if others:
            registry.promote(NAME, rng.choice(others), by="drill", reason="better")
        return int(bool(others))

    def challenge() -> int:
        registry.set_challenger(NAME, rng.choice(registry.models()[0]["versions"]), by="drill", reason="new")
        return 1

    def roll_back() -> int:
        registry.rollback(NAME, by="drill", reason="glare")
        return 1

    def register() -> int:
        registry.register(NAME, draft, "drill")
        return 1

    def clear() -> int:
        return len(collect(model, by="drill", reason="disk")["collected"])

    def bring() -> int:
        return int(import_version(registry.root, rng.choice(archives), by="drill")["registered"])

    changes: dict[str, Callable[[], int]] = {
        "register": register,
        "promote": promote,
        "rollback": roll_back,
        "gc": clear,
        "import": bring,
        "challenger": challenge,
    }
    try:
        while True:
            name = rng.choices(list(changes), WEIGHTS)[0]
            os.write(pipe, f"begin {name}\n".encode())
            try:
                n_events = changes[name]()
            except (ConflictError, ConfigError):  # a number that is taken, no champion before this one
                n_events = 0
            os.write(pipe, f"done {n_events}\n".encode())
    except BaseException as error:
        os.write(pipe, f"failed {error!r}\n".encode())
    finally:
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
