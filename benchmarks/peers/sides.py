"""Both sides of a comparison as processes of their own, on the same pictures, splits and seeds.

`versus_plain` and `versus_keras_tuner` call `open_tiles` or `generate`, then `run_ours` (``fdsearch search``, as a user
starts it, on a fresh root) and `run_peer`. A side's seconds are those of its process, imports and decoding included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import optuna.storages  # noqa: F401 - loaded before a search is timed, not while it runs and is looked at
import yaml

from fdsearch.data.images import PixelStore
from fdsearch.data.load import load_dataset
from fdsearch.data.partition import assign
from fdsearch.data.ribbon_layout import CLASSES
from fdsearch.data.synthetic import synthesize
from fdsearch.pipeline import load_study
from fdsearch.search import study as names
from fdsearch.study_reader import parse_study
from fdsearch.training.job import fit_seed

BENCHMARKS = Path(__file__).parents[1]
LOOKING_S = 3.0
"""Between two looks at a search that runs."""


@dataclass(frozen=True)
class Ended:
    """A trial that has ended.

    Parameters
    ----------
    name : str or None
        Of the configuration that was asked for.
    value : float or None
        Pooled macro F1; None if it was pruned or failed.
    seconds : float
    at : float
        Seconds since the side's process began.
    """

    name: str | None
    value: float | None
    seconds: float
    at: float


@dataclass(frozen=True)
class Side:
    """One process: its wall-clock seconds and its trials."""

    seconds: float
    trials: tuple[Ended, ...]


def add_data_options(parser: argparse.ArgumentParser, quick: str) -> None:
    """Add ``--data``, by default ``FDSEARCH_DATA``, and ``--quick`` with its help."""
    data = os.environ.get("FDSEARCH_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None, help="folder of magnetic_tile/")
    parser.add_argument("--quick", action="store_true", help=quick)


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line; refuses one that names no pictures."""
    options = parser.parse_args()
    if options.data is None and not options.quick:
        parser.error("give --data, FDSEARCH_DATA, or --quick")
    return options


def open_tiles(data: Path) -> dict[str, Any]:
    """The data section of the magnetic tiles, below the folder of all data."""
    folder = (data / "magnetic_tile").resolve()
    if not (folder / "labels.csv").is_file():
        sys.exit(f"no magnetic_tile/labels.csv below {data}: give --data or FDSEARCH_DATA, or --quick")
    return {
        "manifest": str(folder / "labels.csv"),
        "images": str(folder),
        "label": "label",
        "group": {"csv": str(folder / "tile_groups.csv"), "column": "tile_group"},
    }


def generate(folder: Path) -> dict[str, Any]:
    """The data section of a few generated pictures."""
    synthesize(folder, dict.fromkeys(CLASSES, 12), seed=1, size=64)
    return {"manifest": str(folder / "labels.csv"), "label": "Label", "group": "part"}


def study(data: dict[str, Any], space: dict[str, Any], n_splits: int, seed: int, **search: Any) -> dict[str, Any]:
    """A study of one question; `seed` deals the parts and draws the initial weights."""
    split = {"holdout": 0.2, "n_splits": n_splits, "random_state": 42 + seed}
    return {"name": "bench", "data": data, "split": split, "space": space, "search": {"random_state": seed, **search}}


def run_ours(raw: dict[str, Any], folder: Path, *, until: float | None = None) -> Side:
    """``fdsearch search`` with fresh caches; it ends by itself, with its trials or its budget.

    With `until` it is ended as soon as a trial has that score.
    """
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text(yaml.safe_dump(raw))
    root = folder / "root"
    command = ["-m", "fdsearch", "search", str(folder / "study.yaml"), "--root", str(root), "--json"]
    ended = None if until is None else lambda: _holds(root, until)
    began, seconds = time.time(), _run(command, folder, ended=ended)
    trials = [
        Ended(
            trial.user_attrs.get(names.RECIPE),
            trial.value if trial.state.name == "COMPLETE" else None,
            trial.user_attrs.get(names.SECONDS, 0.0),
            trial.datetime_complete.replace(tzinfo=UTC).timestamp() - began,
        )
        for trial in load_study("bench", root).get_trials(deepcopy=False)
        if trial.state.is_finished()
    ]
    return Side(seconds, tuple(trials))


def run_peer(module: str, raw: dict[str, Any], folder: Path, *, limit: float | None = None) -> Side:
    """A peer's script on the same question, ended after `limit` seconds.

    Parameters
    ----------
    module : str
        Of `peers`.
    raw : dict
        The study, as `run_ours` takes it.
    """
    folder.mkdir(parents=True)
    spec = parse_study(raw, "bench", folder)
    dataset = load_dataset(spec.data, PixelStore(folder / "splits"))
    partition = assign(dataset, spec.split, folder / "splits.csv", remember=False)
    seed = spec.search.random_state
    task = {
        "paths": [str(path) for path in dataset.paths],
        "labels": dataset.labels.tolist(),
        "n_classes": len(dataset.classes),
        "folds": [
            {"train": fold.train.tolist(), "validation": fold.validation.tolist(), "seed": fit_seed(seed, 0, number)}
            for number, fold in enumerate(partition.folds)
        ],
        "space": raw["space"],
        "points": [recipe.model_dump() for recipe in spec.search.enqueue],
        "prunes": spec.search.pruner != "none",
        "random_state": seed,
        "out": str(folder / "trials.jsonl"),
    }
    (folder / "task.json").write_text(json.dumps(task))
    began, seconds = time.time(), _run(["-m", f"peers.{module}", str(folder / "task.json")], folder, limit)
    out = folder / "trials.jsonl"
    rows = [json.loads(line) for line in out.read_text().splitlines()] if out.is_file() else []
    return Side(seconds, tuple(Ended(r["name"], r["value"], r["seconds"], r["finished"] - began) for r in rows))


def _holds(root: Path, score: float) -> bool:
    """Whether a search that runs has a trial with a score."""
    if not (root / "runs" / "bench" / "trials").is_dir():
        return False
    trials = load_study("bench", root).get_trials(deepcopy=False)
    return any(trial.state.name == "COMPLETE" and trial.value >= score for trial in trials)


def _run(
    arguments: Sequence[str], folder: Path, limit: float | None = None, ended: Callable[[], bool] | None = None
) -> float:
    """Run Python to its end, for `limit` seconds, or until `ended`; the seconds it took."""
    path = os.pathsep.join(filter(None, [str(BENCHMARKS), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "2"}
    began = time.monotonic()
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen([sys.executable, *arguments], stdout=log, stderr=log, env=environment)
        try:
            code = process.wait(limit) if ended is None else _wait(process, ended)
        except subprocess.TimeoutExpired:
            code = 0
        finally:
            process.kill()
            process.wait()
    if code:
        sys.exit((folder / "log.txt").read_text()[-3000:])
    return time.monotonic() - began


def _wait(process: subprocess.Popen[bytes], ended: Callable[[], bool]) -> int:
    """Wait for a process to end, or for `ended`; its exit code, or 0."""
    while process.poll() is None and not ended():
        time.sleep(LOOKING_S)
    return process.poll() or 0
