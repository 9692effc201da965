"""Drill: 8 promoters set one model's champion 250 times each, all at once, each on the generation it last saw.

Processes of their own, one folder, no server between them. Exits 1 where generations do not strictly increase, winners
and conflicts are not all attempts, two promoters won one generation, a reader saw time run backwards or an alias that
did not resolve, or the log does not verify.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from drills.checks import Findings

from fdsearch.errors import ConflictError, FdsearchError
from fdsearch.registry.draft import REQUIRED, Draft
from fdsearch.registry.store import Registry

NAME = "tiles"
VERSIONS = (1, 2, 3)


def main() -> int:
    """Run the drill; the last line is the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--promoters", type=int, default=8)
    parser.add_argument("--attempts", type=int, default=250, help="of each promoter")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--by", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        print(json.dumps(_promote(Registry(arguments.child), arguments.by, arguments.attempts)))
        return 0
    with tempfile.TemporaryDirectory(prefix="fdsearch-drill-") as folder:
        figure = _race(Path(folder), arguments.promoters, arguments.attempts)
    print(json.dumps(figure))
    return 0 if figure["ok"] else 1


def small_draft(folder: Path, content: bytes) -> Draft:
    """A draft whose files hold next to nothing: the registry never looks into a model."""
    folder.mkdir()
    for name in REQUIRED:
        (folder / name).write_bytes(b"{}")
    (folder / "model.keras").write_bytes(content)
    np.savez(folder / "oof.npz", logits=np.zeros((1, 2), np.float32))
    return Draft(folder)


def _promote(registry: Registry, by: str, attempts: int) -> dict[str, object]:
    """What one promoter does, from the moment its standard input closes."""
    print("ready", flush=True)
    sys.stdin.read()
    won: list[int] = []
    conflicts = 0
    for attempt in range(attempts):
        seen = registry.state(NAME)
        version = VERSIONS[(attempt + len(by)) % len(VERSIONS)]
        try:
            moved = registry.promote(NAME, version, by=by, reason="drill", expected_generation=seen.generation)
            won.append(moved["generation"])
        except ConflictError:
            conflicts += 1
    return {"by": by, "won": won, "conflicts": conflicts}


def _race(folder: Path, n_promoters: int, attempts: int) -> dict[str, object]:
    registry, found = Registry(folder / "registry"), Findings()
    for number in VERSIONS:
        registry.register(NAME, small_draft(folder / f"draft-{number}", b"%d" % number), "drill")
    command = [sys.executable, "-m", "drills.promoters", "--attempts", str(attempts), "--child", str(registry.root)]
    children = [
        subprocess.Popen([*command, "--by", "p" * (number + 1)], stdin=-1, stdout=-1, text=True)
        for number in range(n_promoters)
    ]
    for child in children:
        assert child.stdout is not None and child.stdin is not None
        child.stdout.readline()
    started = time.monotonic()
    for child in children:
        assert child.stdin is not None
        child.stdin.close()
    readings = _watch(registry, children, found)
    seconds = time.monotonic() - started
    answers = []
    for child in children:
        assert child.stdout is not None
        answers.append(json.loads(child.stdout.read() or "{}"))
        found.expect(child.wait() == 0, f"a promoter ended with {child.returncode}")
    return {**_check(registry, answers, n_promoters * attempts, found), "readings": readings, "seconds": seconds} | {
        "faults": found.faults,
        "ok": not found.faults,
    }


def _watch(registry: Registry, children: list[subprocess.Popen[str]], found: Findings) -> int:
    """Read beside the writers until they are done; return how often."""
    latest, readings = 0, 0
    while any(child.poll() is None for child in children):
        try:
            generation = registry.state(NAME).generation
            if generation:
                registry.resolve(f"{NAME}@champion")
        except FdsearchError as error:
            found.faults.append(f"a reader was refused: {error}")
            break
        found.expect(generation >= latest, f"generation {generation} after {latest}")
        latest, readings = generation, readings + 1
        time.sleep(0.05)
    return readings


def _check(registry: Registry, answers: list[dict[str, object]], attempts: int, found: Findings) -> dict[str, object]:
    events = [event for event in registry.events(NAME) if event.kind == "promoted"]
    generations = [event.details["generation"] for event in events]
    won = [number for answer in answers for number in answer["won"]]  # type: ignore[attr-defined]
    conflicts = sum(int(answer["conflicts"]) for answer in answers)  # type: ignore[call-overload]
    found.expect(len(won) + conflicts == attempts, f"{len(won)} winners and {conflicts} conflicts of {attempts}")
    found.expect(sorted(won) == generations == list(range(1, len(won) + 1)), "generations do not strictly increase")
    wins = {answer["by"]: len(answer["won"]) for answer in answers}  # type: ignore[arg-type]
    logged = Counter(event.by for event in events)
    found.expect(all(logged[str(by)] == count for by, count in wins.items()), "the log names other winners")
    try:
        registry.verify(noted=[event.hash for event in events])
    except FdsearchError as error:
        found.faults.append(f"the log does not verify: {error}")
    figure = {"drill": "promoters", "attempts": attempts, "winners": len(won), "conflicts": conflicts}
    return {**figure, "fewest_wins": min(wins.values()), "generation": registry.state(NAME).generation}


if __name__ == "__main__":
    sys.exit(main())
