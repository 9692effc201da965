"""The piston write-up's network, a frozen probe and a searched champion, on the same five 80/20 splits.

    FDSEARCH_DATA=... fdsearch run studies/pistons.yaml --root ROOT
    FDSEARCH_DATA=... python benchmarks/pistons.py --root ROOT

Pictures of one piston, as the study tells them, stay on one side of a split, so validation parts differ in size.
``--folds`` asks further for 5 folds x 5 repeats, in which every picture is predicted five times. The last line is one
JSON object: per recipe the right and all validation pictures of each split, and the seconds of each training; with
folds the errors among all predictions, the parts with any error, the pictures and how often each was wrong, and the
upper 95 % bound of the share of parts with errors.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fdsearch.data.folds import grouped_stratified_folds, single_split
from fdsearch.data.images import PixelStore
from fdsearch.data.load import load_dataset
from fdsearch.execution.supervisor import Supervisor
from fdsearch.progress import Silent
from fdsearch.registry.store import Registry
from fdsearch.selection.intervals import exact_bounds
from fdsearch.study_reader import load_study
from fdsearch.training.job import JobMaker
from fdsearch.trial import TrialConfig
from fdsearch.workspace import Workspace

SEEDS = range(5)
WRITE_UP = {
    "backbone": "piston_cnn",
    "epochs": 25,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "class_weighting": 0.0,
    "dropout": 0.0,
}
PROBE = {"phases": "probe", "pooling": "avg_max"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(os.environ.get("FDSEARCH_ROOT") or ".fdsearch"))
    parser.add_argument("--folds", action="store_true", help="5 folds x 5 repeats beside the splits")
    parser.add_argument("--only", nargs="+", metavar="RECIPE", help="of write_up, probe and champion")
    asked = parser.parse_args()
    workspace = Workspace(asked.root.resolve())
    spec = load_study(Path(__file__).parents[1] / "studies" / "pistons.yaml")
    dataset = load_dataset(spec.data, PixelStore(workspace.pixels), Silent())
    recipes = {name: TrialConfig.from_params(params) for name, params in (("write_up", WRITE_UP), ("probe", PROBE))}
    if "pistons" in [model["name"] for model in Registry(workspace.registry).models()]:
        champion = Registry(workspace.registry).resolve("pistons@champion")
        recipes["champion"] = TrialConfig.from_json(champion.manifest.lineage["config"])
    recipes = {name: config for name, config in recipes.items() if asked.only is None or name in asked.only}
    sizes = {(config.image_size, config.resize) for config in recipes.values()}
    maker = JobMaker(dataset.labels, dataset.groups, 3, dataset.decode(sizes), dataset.digest, workspace.prefix)
    result = {name: measure(config, maker) for name, config in recipes.items()}
    if asked.folds:
        result |= {
            f"{name}_folds": cross_validated(config, maker, dataset.filenames) for name, config in recipes.items()
        }
    print(json.dumps(result))


def measure(config: TrialConfig, maker: JobMaker) -> dict[str, Any]:
    """Train on each split with its seed; right and all pictures of the validation part, seconds of the training."""
    folds = [single_split(maker.labels, maker.groups, 0.2, seed) for seed in SEEDS]
    jobs = [
        maker.job(f"split-{seed}", config, fold.train, fold.validation, seed=seed)
        for seed, fold in zip(SEEDS, folds, strict=True)
    ]
    with Supervisor(log=Path(os.devnull)) as supervisor:
        results = supervisor.run_all(jobs)
    right = []
    for job in jobs:
        result = results[job.id]
        if result.logits is None:
            sys.exit(f"{job.id}: {result.message}")
        right.append(int((np.argmax(result.logits, axis=1) == maker.labels[job.validation]).sum()))
    return {
        "right": right,
        "of": [len(job.validation) for job in jobs],
        "seconds": [round(results[job.id].seconds, 2) for job in jobs],
    }


def cross_validated(config: TrialConfig, maker: JobMaker, names: Sequence[str]) -> dict[str, Any]:
    """5 folds x 5 repeats: the errors among all predictions, and the parts that have any."""
    jobs = [
        maker.fold_job(f"fold-{seed}-{n}", config, folds, n, random_state=seed, repeat=seed, single_split=False)
        for seed in SEEDS
        for folds in [grouped_stratified_folds(maker.labels, maker.groups, 5, seed)]
        for n in range(len(folds))
    ]
    with Supervisor(log=Path(os.devnull)) as supervisor:
        results = supervisor.run_all(jobs)
    wrong = np.zeros(len(maker.labels), np.int64)
    for job in jobs:
        logits = results[job.id].logits
        if logits is None:
            sys.exit(f"{job.id}: {results[job.id].message}")
        wrong[job.validation] += logits.argmax(axis=1) != maker.labels[job.validation]
    n_parts, broken = len(np.unique(maker.groups)), len(np.unique(maker.groups[wrong > 0]))
    return {
        "errors": int(wrong.sum()),
        "of": len(SEEDS) * len(wrong),
        "parts_with_errors": broken,
        "parts": n_parts,
        "wrong": {names[row]: int(wrong[row]) for row in np.flatnonzero(wrong).tolist()},
        "upper_bound": round(float(exact_bounds(broken, n_parts, 0.95)[1]), 4),
        "seconds": round(sum(results[job.id].seconds for job in jobs), 1),
    }


if __name__ == "__main__":
    main()
