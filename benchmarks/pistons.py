"""The piston write-up's network against a searched champion, on the same five 80/20 splits.

    FDSEARCH_DATA=... fdsearch run studies/pistons.yaml --root ROOT
    FDSEARCH_DATA=... python benchmarks/pistons.py --root ROOT

Copies of a picture stay on one side of a split, so a validation part has 55 to 59 of the 285 pictures. The last line is
one JSON object: per recipe the right and all validation pictures of each split, and the seconds of each training.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from fdsearch.data.folds import single_split
from fdsearch.data.images import PixelStore
from fdsearch.data.load import load_dataset
from fdsearch.execution.supervisor import Supervisor
from fdsearch.progress import Silent
from fdsearch.registry.store import Registry
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(os.environ.get("FDSEARCH_ROOT") or ".fdsearch"))
    workspace = Workspace(parser.parse_args().root.resolve())
    spec = load_study(Path(__file__).parents[1] / "studies" / "pistons.yaml")
    dataset = load_dataset(spec.data, PixelStore(workspace.pixels), Silent())
    recipes = {"write_up": TrialConfig.from_params(WRITE_UP)}
    if "pistons" in [model["name"] for model in Registry(workspace.registry).models()]:
        champion = Registry(workspace.registry).resolve("pistons@champion")
        recipes["champion"] = TrialConfig.from_json(champion.manifest.lineage["config"])
    sizes = {(config.image_size, config.resize) for config in recipes.values()}
    maker = JobMaker(dataset.labels, dataset.groups, 3, dataset.decode(sizes), dataset.digest, workspace.prefix)
    print(json.dumps({name: measure(config, maker) for name, config in recipes.items()}))


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


if __name__ == "__main__":
    main()
