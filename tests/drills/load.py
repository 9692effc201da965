"""Drill: 8 workers run 16,000 trivial trials on each storage; what that costs beside Optuna's bare ask and tell.

Portions of both take turns, so that other load on the machine meets both alike. Exits 1 where a trial is lost,
duplicated or not complete, or where ours takes more than 1.2 times as long.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from drills.bare import Template, ask_and_tell, bare_study
from drills.checks import Findings, check_calls, check_rows, check_sqlite, load_trials
from drills.searching import make_task, open_drill_study, search, workers
from postgres_server import PostgresServer

from fdsearch.progress import Silent

WARM_UP = 40
"""Trials before the clock starts: workers start, and one shows what every trial writes."""
MOST = 1.2
STORAGES = ("sqlite", "postgresql")


def main() -> int:
    """Run the drill; the last line is the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storages", nargs="+", choices=STORAGES, default=list(STORAGES))
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--trials", type=int, default=16_000)
    parser.add_argument("--portion", type=int, default=1000, help="trials before the other one's turn")
    parser.add_argument("--limit", type=float, default=4 * 3600, help="seconds after which a storage is given up")
    arguments = parser.parse_args()
    figures = {}
    with ExitStack() as stack:
        for storage in arguments.storages:
            server = stack.enter_context(PostgresServer()) if storage == "postgresql" else None
            figures[storage] = _measure(arguments, server)
            print(json.dumps({storage: figures[storage]}), flush=True)
    ok = all(figure["ok"] for figure in figures.values())
    print(json.dumps({"drill": "load", "workers": arguments.workers, **figures, "ok": ok}))
    return 0 if ok else 1


def _measure(arguments: argparse.Namespace, server: PostgresServer | None) -> dict[str, object]:
    folder = Path(tempfile.mkdtemp(prefix="fdsearch-drill-"))
    ours = server.new_database() if server else str(folder / "study.db")
    bare = server.new_database() if server else f"sqlite:///{folder / 'bare.db'}"
    seconds, bare_seconds, done = _take_turns(arguments, folder, ours, bare)
    trials = load_trials(ours)
    found = Findings(trials=len(trials))
    found.expect(done == arguments.trials, f"{done} trials after {arguments.limit:.0f} s")
    found.expect(len(trials) == WARM_UP + done, f"{len(trials)} trials, not {WARM_UP + done}")
    check_rows(trials, found)
    check_calls(trials, folder, found)
    if server is None:
        check_sqlite(Path(ours), found)
    ratio = seconds / bare_seconds
    found.expect(ratio <= MOST, f"{ratio:.2f} times as long as bare Optuna, more than {MOST}")
    shutil.rmtree(folder)
    return {
        "trials": done,
        "seconds": round(seconds, 1),
        "bare_seconds": round(bare_seconds, 1),
        "ratio": round(ratio, 3),
        "faults": found.faults,
        "ok": not found.faults,
    }


def _take_turns(arguments: argparse.Namespace, folder: Path, ours: str, bare: str) -> tuple[float, float, int]:
    """Seconds of ours, of bare Optuna, and the trials each made after the warm-up."""
    give_up = time.monotonic() + arguments.limit
    seconds, bare_seconds, done = 0.0, 0.0, 0
    task = make_task(folder, folder, WARM_UP)
    with workers(folder, arguments.workers, "fit") as executor:
        study, reference = open_drill_study(ours, task, 0), bare_study(bare)
        search(ours, study, task, executor, Silent())
        template = Template.of(study.trials[-1])
        ask_and_tell(reference, template, WARM_UP)
        while done < arguments.trials and time.monotonic() < give_up:
            portion = min(arguments.portion, arguments.trials - done)
            done += portion
            task = replace(task, search=task.search.model_copy(update={"n_trials": WARM_UP + done}))
            started = time.perf_counter()
            search(ours, study, task, executor, Silent())
            between = time.perf_counter()
            ask_and_tell(reference, template, portion)
            seconds += between - started
            bare_seconds += time.perf_counter() - between
            print(f"{done} trials: {seconds:.1f} s, bare {bare_seconds:.1f} s", file=sys.stderr, flush=True)
    return seconds, bare_seconds, done


if __name__ == "__main__":
    sys.exit(main())
