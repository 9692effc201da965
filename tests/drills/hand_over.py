"""Drill: a real search on the magnetic tiles with one worker and with two, and what its parent costs.

Both train the same trials (random sampler, no pruning) from warm caches. Exits 1 where two workers are less than 0.95
times as fast as one, where the parent takes 3 % of a processor or more, or where a worker waits 0.3 s or more for the
next configuration.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = "hand_over"
LEAST_SPEED = 0.95
MOST_CPU = 0.03
MOST_WAIT_S = 0.3
IDLE = re.compile(r"^worker \d+: job \S*trial-\d+-fold-0 after ([0-9.]+) s idle$", re.MULTILINE)
"""Only a trial's first fold hands a configuration over."""


@dataclass(frozen=True)
class Timing:
    """One search seen from outside."""

    workers: int
    seconds: float
    cpu_share: float
    waits: tuple[float, ...]


def main() -> int:
    """Run the drill; the last line is the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--image-size", type=int, help="one size for all trials, for a short try")
    parser.add_argument("--rounds", type=int, default=1, help="times that each number of workers is timed")
    parser.add_argument("--root", type=Path, help="keep caches and runs here; default a temporary folder")
    parser.add_argument("--limit", type=float, default=2 * 3600, help="seconds after which a search is given up")
    arguments = parser.parse_args()
    root = arguments.root or Path(tempfile.mkdtemp(prefix="fdsearch-drill-"))
    root.mkdir(parents=True, exist_ok=True)
    study = _write_study(arguments, root)
    _search(arguments, root, study, 2)  # fills the caches
    order = [1, 2, 2, 1] * arguments.rounds
    timings = [_search(arguments, root, study, workers) for workers in order[: 2 * arguments.rounds]]
    if arguments.root is None:
        shutil.rmtree(root)
    figure = _figure(arguments, timings)
    print(json.dumps(figure))
    return 0 if figure["ok"] else 1


def _write_study(arguments: argparse.Namespace, root: Path) -> Path:
    study = yaml.safe_load((REPOSITORY / "studies" / "magnetic_tile.yaml").read_text())
    space = yaml.safe_load((REPOSITORY / "search_spaces" / "quick.yaml").read_text())
    if arguments.image_size:
        space["image_size"] = {"fixed": arguments.image_size}
    search = {"n_trials": arguments.trials, "sampler": "random", "pruner": "none", "random_state": 0}
    study |= {"name": NAME, "space": space, "search": search, "budget": None}
    path = root / f"{NAME}.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def _search(arguments: argparse.Namespace, root: Path, study: Path, n_workers: int) -> Timing:
    """Search once from the beginning, on the caches there are, and watch the parent."""
    fdsearch = [sys.executable, "-m", "fdsearch", "search", str(study), "--root", str(root)]
    command = ["setpriv", "--pdeathsig", "TERM", *fdsearch, "--workers", str(n_workers), "--fresh", "--json"]
    environment = {**psutil.Process().environ(), "FDSEARCH_DATA": str(arguments.data)}
    started, cpu_seconds = time.monotonic(), 0.0
    with (root / "output.txt").open("ab") as output:
        process = psutil.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        while process.poll() is None:
            if time.monotonic() - started > arguments.limit:
                process.terminate()
            cpu_seconds = max(cpu_seconds, _cpu_seconds(process))
            time.sleep(0.2)
    seconds = time.monotonic() - started
    if process.returncode != 0:
        raise SystemExit(f"the search ended with {process.returncode}:\n{(root / 'output.txt').read_text()[-3000:]}")
    waits = IDLE.findall((root / "runs" / NAME / "workers.txt").read_text())
    timing = Timing(n_workers, seconds, cpu_seconds / seconds, tuple(map(float, waits)))
    print(f"{n_workers} workers: {seconds:.0f} s, parent {timing.cpu_share:.1%}", file=sys.stderr, flush=True)
    return timing


def _cpu_seconds(process: psutil.Process) -> float:
    """User and system time of the parent alone."""
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _figure(arguments: argparse.Namespace, timings: list[Timing]) -> dict[str, object]:
    seconds = {n: statistics.median(t.seconds for t in timings if t.workers == n) for n in (1, 2)}
    waits = [wait for timing in timings for wait in timing.waits]
    speed, cpu_share = seconds[1] / seconds[2], max(timing.cpu_share for timing in timings)
    longest = max(waits, default=float("inf"))
    faults = [
        fault
        for holds, fault in (
            (speed >= LEAST_SPEED, f"two workers are {speed:.2f} times as fast as one"),
            (cpu_share < MOST_CPU, f"the parent takes {cpu_share:.1%} of a processor"),
            (bool(waits), "no hand-over was recorded"),
            (longest < MOST_WAIT_S, f"a worker waited {longest:.3f} s for the next configuration"),
        )
        if not holds
    ]
    return {
        "drill": "hand_over",
        "trials": arguments.trials,
        "seconds_1": round(seconds[1], 1),
        "seconds_2": round(seconds[2], 1),
        "speed": round(speed, 3),
        "parent_cpu_share": round(cpu_share, 4),
        "hand_overs": len(waits),
        "hand_over_median_s": round(statistics.median(waits), 3) if waits else None,
        "hand_over_max_s": longest if waits else None,
        "faults": faults,
        "ok": not faults,
    }


if __name__ == "__main__":
    sys.exit(main())
