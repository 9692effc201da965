"""What fdsearch costs as pictures, trials and workers grow: seconds and memory of each setting.

    python benchmarks/scaling.py [--quick]

Everything is generated and small, so that what grows is the program's own work: BMP files of 32 px, opened for the
first time and again and decoded; an epoch of a small network over as many pictures; a search of tiny trials, looked at
after some of them; and the same search with more workers. Each setting runs in a fresh process of its own.

A table goes to stderr. The last line is one JSON object: `rows` with `what`, `n`, seconds and MiB (`peak_mb`: the most
that was resident, mapped files included; `mb`: parent and workers after a trial, without mapped files), and
`memory_ratio`, the memory of the last row of each kind by that of its first.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from memory import Watch
from PIL import Image

from fdsearch.config import DataSpec
from fdsearch.data.images import PixelStore
from fdsearch.data.load import load_dataset
from fdsearch.execution.machine import Machine
from fdsearch.pipeline import search
from fdsearch.pipeline.means import Means
from fdsearch.study_reader import parse_study
from fdsearch.training.job import JobMaker
from fdsearch.trial import TrialConfig

SIZE = 32
N_CLASSES = 4
LONG_AGO = 1_700_000_000
NETWORK = {"backbone": "piston_cnn", "weights": "random", "image_size": SIZE, "phases": "full"}
SPACE = {
    **NETWORK,
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5},
    "epochs": 2,
}
FULL = {
    "files": (1000, 10_000, 100_000),
    "epoch": (1000, 10_000, 100_000),
    "trials": (10, 40, 160),
    "workers": (1, 2, 4),
}
QUICK = {"files": (500, 2000), "epoch": (1000, 10_000), "trials": (5, 15), "workers": (1, 2)}
TRIALS_OF_WORKERS, TRIALS_OF_WORKERS_QUICK = 40, 8


def files(folder: Path, n: int) -> list[dict[str, Any]]:
    """Open a set of `n` files for the first time and again, each time decoded to one size."""
    spec = _write_set(folder, n)
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        load_dataset(spec, PixelStore(folder / "cache")).decode([(SIZE, "stretch")])
        seconds.append(round(time.perf_counter() - started, 3))
    return [{"n": n, "first_open_s": seconds[0], "reopen_s": seconds[1], "peak_mb": _peak_mb()}]


def epoch(folder: Path, n: int) -> list[dict[str, Any]]:
    """Train a small network on `n` pictures; the last of three epochs counts."""
    from fdsearch.training.trainer import fit

    rng = np.random.default_rng(0)
    np.save(folder / "pixels.npy", rng.integers(0, 256, (n, SIZE, SIZE, 1), np.uint8))
    labels, pixels = np.arange(n) % N_CLASSES, {(SIZE, "stretch"): folder / "pixels.npy"}
    maker = JobMaker(labels, np.arange(n), N_CLASSES, pixels, "generated", folder / "prefix")
    config = TrialConfig.from_params({**NETWORK, "epochs": 3, "batch_size": 64})
    result = fit(maker.job("bench", config, np.arange(n), np.empty(0, np.int64), seed=0), lambda epoch, row: True)
    return [{"n": n, "epoch_s": round(result.curve[-1]["seconds"], 3), "peak_mb": _peak_mb()}]


class Marks(Watch):
    """Notes the seconds of each trial beside its memory."""

    def __init__(self) -> None:
        super().__init__()
        self.times = [time.perf_counter()]

    def say(self, text: str) -> None:
        before = len(self.totals)
        super().say(text)
        if len(self.totals) > before:
            self.times.append(time.perf_counter())


def trials(folder: Path, *marks: int) -> list[dict[str, Any]]:
    """Search with as many trials as the last mark; seconds of a trial since the mark before, and memory at each."""
    watch = _search(folder, marks[-1], n_workers=1)
    rows = []
    for first, last in zip((1, *marks), marks, strict=False):
        # The first trial pays for the start of its worker.
        per_trial = (watch.times[last] - watch.times[first]) / max(1, last - first)
        rows.append({"n": last, "per_trial_s": round(per_trial, 3), "mb": round(watch.totals[last - 1])})
    return rows


def workers(folder: Path, n: int, n_trials: int) -> list[dict[str, Any]]:
    """Search with `n` workers; the starts of the workers are part of the seconds."""
    watch = _search(folder, n_trials, n_workers=n)
    seconds = round(watch.times[-1] - watch.times[0], 2)
    return [{"n": n, "trials": n_trials, "seconds": seconds, "mb": round(max(watch.totals))}]


def _search(folder: Path, n_trials: int, *, n_workers: int) -> Marks:
    spec = _write_set(folder, 240)
    raw = {
        "name": "scaling",
        "data": {"manifest": str(spec.manifest), "label": "label", "group": "part"},
        "split": {"holdout": 0.2, "validation": 0.2, "random_state": 0},
        "space": SPACE,
        "search": {"n_trials": n_trials, "sampler": "random", "pruner": "none"},
    }
    watch = Marks()
    search(parse_study(raw, "scaling", folder), folder / "root", means=Means(Machine(n_workers)), progress=watch)
    return watch


def _write_set(folder: Path, n: int) -> DataSpec:
    """Write `n` pictures of noise, a thousand to a folder, and their manifest."""
    rng = np.random.default_rng(0)
    rows = ["filename,label,part"]
    for number in range(n):
        name = f"{number // 1000:03d}/{number:06d}.bmp"
        if number % 1000 == 0:
            (folder / f"{number // 1000:03d}").mkdir()
        Image.fromarray(rng.integers(0, 256, (SIZE, SIZE), np.uint8)).save(folder / name)
        os.utime(folder / name, (LONG_AGO, LONG_AGO))  # the store believes old modification times only
        rows.append(f"{name},class{number % N_CLASSES},part{number // 2}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return DataSpec.model_validate({"manifest": folder / "labels.csv", "label": "label", "group": "part"})


def _peak_mb() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


MEASURES: dict[str, Callable[..., list[dict[str, Any]]]] = {
    "files": files,
    "epoch": epoch,
    "trials": trials,
    "workers": workers,
}


def in_fresh_process(what: str, *numbers: int) -> list[dict[str, Any]]:
    """One call of a measure; its rows, which are also shown."""
    command = [sys.executable, __file__, "--measure", what, *map(str, numbers)]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=quiet, capture_output=True, check=False, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    rows = [{"what": what, **row} for row in json.loads(done.stdout.splitlines()[-1])]
    for row in rows:
        figures = "  ".join(f"{key} {value:,}" for key, value in row.items() if key not in ("what", "n"))
        print(f"{what:8s} {row['n']:>8,}  {figures}", file=sys.stderr)
    return rows


def memory_ratio(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Memory of the last row of each kind by that of the first."""
    found = {}
    for what in MEASURES:
        memory = [row.get("mb") or row.get("peak_mb") for row in rows if row["what"] == what]
        found[what] = round(memory[-1] / memory[0], 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small numbers only")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        what, *numbers = options.measure
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(MEASURES[what](Path(folder), *map(int, numbers))))
        return
    settings = QUICK if options.quick else FULL
    rows = []
    for what in ("files", "epoch"):
        for n in settings[what]:
            rows += in_fresh_process(what, n)
    rows += in_fresh_process("trials", *settings["trials"])
    for n in settings["workers"]:
        rows += in_fresh_process("workers", n, TRIALS_OF_WORKERS_QUICK if options.quick else TRIALS_OF_WORKERS)
    print(json.dumps({"rows": rows, "memory_ratio": memory_ratio(rows)}))


if __name__ == "__main__":
    main()
