"""Drill: two parents with two workers each share one PostgreSQL study, whose server crashes and comes back twice.

Exits 1 where a point is not complete exactly once, a fit ran twice, or a process stays behind.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from drills.checks import calls, check_calls, check_files, check_points, load_trials
from drills.parents import Parents
from drills.searching import N_FOLDS, points
from postgres_server import PostgresServer


def main() -> int:
    """Run the drill; the last line is the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--restarts", type=int, default=2)
    parser.add_argument("--pause", type=float, default=0.2, help="seconds a fit takes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=900, help="seconds after which the drill gives up")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fdsearch-drill-"))
    with PostgresServer() as server:
        figure = _drill(arguments, server, folder)
    if figure["ok"]:
        shutil.rmtree(folder)
    else:
        print(f"files are left in {folder}", file=sys.stderr)
    print(json.dumps(figure))
    return 0 if figure["ok"] else 1


def _drill(arguments: argparse.Namespace, server: PostgresServer, folder: Path) -> dict[str, object]:
    started, url = time.monotonic(), server.new_database()
    rng, n = random.Random(arguments.seed), arguments.trials
    due = [n * N_FOLDS * (number + 1) // (arguments.restarts + 1) for number in range(arguments.restarts)]
    restarts = 0
    with Parents(folder, url, n_parents=2, n_workers=2, n_trials=n, pause=arguments.pause) as parents:
        while parents.run_on():
            if time.monotonic() - started > arguments.limit:
                parents.faults.append(f"not finished after {arguments.limit:.0f} s")
                break
            if restarts < len(due) and len(calls(parents.shared)) >= due[restarts]:
                server.restart("immediate", pause=rng.uniform(2.0, 3.0))
                restarts += 1
                print(f"restart {restarts} after {time.monotonic() - started:.0f} s", file=sys.stderr)
            time.sleep(0.05)
        orphans = parents.left_behind() if not parents.faults else 0
    trials = load_trials(url)
    found = check_points(trials, points(n), most_attempts=n)
    found.faults += parents.faults
    check_calls(trials, parents.shared, found)
    check_files(parents.shared, found)
    found.expect(orphans == 0, f"{orphans} processes stayed behind")
    found.expect(restarts == arguments.restarts, f"the server was restarted {restarts} times only")
    return {
        "drill": "two_parents",
        "trials": n,
        "restarts": restarts,
        "attempts": found.attempts,
        "lost": found.lost,
        "duplicated": found.duplicated,
        "orphans": orphans,
        "seconds": round(time.monotonic() - started, 1),
        "faults": found.faults,
        "ok": not found.faults,
    }


if __name__ == "__main__":
    sys.exit(main())
