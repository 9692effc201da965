"""Drill: searches over enqueued points whose workers and parents are killed at random.

Even seeds: one parent on SQLite. Odd seeds: two parents on PostgreSQL. Each parent has one worker unless told
otherwise, so that a kill costs at most one attempt. Exits 1 where a point is not complete exactly once, where there
were more attempts than points and kills, where a process stays behind, or where a file is torn.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from drills.checks import Findings, calls, check_files, check_points, check_sqlite, load_trials
from drills.parents import Parents
from drills.searching import N_FOLDS, points
from postgres_server import PostgresServer


def main() -> int:
    """Run the drill; the last line is the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(20)))
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1, help="of each parent")
    parser.add_argument("--every", type=float, default=20, help="finished trials between two kills, on average")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds a fit takes")
    parser.add_argument("--limit", type=float, default=600, help="seconds after which a run is given up")
    arguments = parser.parse_args()
    figures = []
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer()) if any(seed % 2 for seed in arguments.seeds) else None
        for seed in arguments.seeds:
            figures.append(_run(arguments, seed, server))
            print(json.dumps(figures[-1]), flush=True)
    totals = {key: sum(int(str(figure[key])) for figure in figures) for key in SUMS}
    ok = all(figure["ok"] for figure in figures)
    print(json.dumps({"drill": "kill", "runs": len(figures), **totals, "ok": ok}))
    return 0 if ok else 1


SUMS = ("trials", "kills", "parents_killed", "attempts", "lost", "duplicated", "orphans")


def _run(arguments: argparse.Namespace, seed: int, server: PostgresServer | None) -> dict[str, object]:
    started, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix=f"fdsearch-drill-{seed}-"))
    shared = bool(seed % 2) and server is not None
    storage = server.new_database() if shared and server is not None else str(folder / "study.db")
    shape = {"n_parents": 2 if shared else 1, "n_workers": arguments.workers, "n_trials": arguments.trials}
    with Parents(folder, storage, pause=arguments.pause, **shape) as parents:
        kills, parents_killed = _kill_at_random(arguments, seed, parents)
        orphans = parents.left_behind() if not parents.faults else 0
    trials = load_trials(storage)
    most = arguments.trials + (kills - parents_killed) + parents_killed * arguments.workers
    found = check_points(trials, points(arguments.trials), most)
    found.faults += parents.faults
    found.expect(orphans == 0, f"{orphans} processes stayed behind")
    found.expect(kills > 0, "nothing was killed")
    registry = check_files(parents.shared, found)
    found.expect(registry.get("versions", 0) > 0, "no version was registered")
    if not shared:
        check_sqlite(Path(storage), found)
    _tidy(folder, found)
    return {
        "seed": seed,
        "storage": "postgresql" if shared else "sqlite",
        "trials": arguments.trials,
        "kills": kills,
        "parents_killed": parents_killed,
        "attempts": found.attempts,
        "lost": found.lost,
        "duplicated": found.duplicated,
        "orphans": orphans,
        "versions": registry.get("versions", 0),
        "seconds": round(time.monotonic() - started, 1),
        "faults": found.faults,
        "ok": not found.faults,
    }


def _kill_at_random(arguments: argparse.Namespace, seed: int, parents: Parents) -> tuple[int, int]:
    """Kill until the study is finished; the numbers of kills, and of parents among them."""
    started, rng = time.monotonic(), random.Random(seed)
    kills, parents_killed = 0, 0
    due = rng.expovariate(1 / arguments.every)
    while parents.run_on():
        if time.monotonic() - started > arguments.limit:
            parents.faults.append(f"not finished after {arguments.limit:.0f} s")
            break
        if len(calls(parents.shared)) / N_FOLDS >= due:
            time.sleep(rng.uniform(0.0, 0.5))  # anywhere in a trial, or in a parent's start
            if victims := parents.victims():
                victim = rng.choice(victims)
                if (was_parent := parents.kill(victim)) is None:
                    continue
                parents_killed += was_parent
                kills += 1
                due = len(calls(parents.shared)) / N_FOLDS + rng.expovariate(1 / arguments.every)
        time.sleep(0.02)
    return kills, parents_killed


def _tidy(folder: Path, found: Findings) -> None:
    if found.faults:
        print(f"files are left in {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
