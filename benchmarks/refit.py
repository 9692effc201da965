"""What `fdsearch refit` of a champion costs beside the `run` that found it, after a tenth more pictures have come.

    FDSEARCH_DATA=... python benchmarks/refit.py            # the shipped study of the magnetic tiles; 50 minutes
    FDSEARCH_DATA=... python benchmarks/refit.py --half     # pictures of half the size, no budget; 15 minutes
    python benchmarks/refit.py --quick                      # generated pictures, two minutes

One part in eleven is held back, the study runs on the others, then the manifest gets the rest and the champion is
refitted. Both commands start as a user starts them, with one worker; nothing is cached before the run, and the refit
finds outputs of frozen layers for none of its pictures, since those are stored for a whole set. With `--half` both do
the same work with a quarter of the pixels, while what is done once per command weighs more. `--checkout` runs the
fdsearch of another working tree, with the packages installed here.

The last line is one JSON object: ``run_s`` and ``refit_s`` of the wall clock, ``share`` (the refit's of the run's);
``run_cpu_s``, ``refit_cpu_s`` and ``cpu_share``, the same in processor time, which other work on the machine does not
change; ``pictures`` before and after, the recipe's ``phases`` and ``image_size``, the ``challenger`` and how it does
against the champion on the sealed parts that neither was trained on.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from peers.sides import BENCHMARKS, add_data_options, generate, open_tiles, parse

from fdsearch.data.dataset import Dataset
from fdsearch.data.images import PixelStore
from fdsearch.data.load import load_dataset
from fdsearch.study_reader import parse_study

NAME = "refitted"
ONE_IN = 11
"""Parts of which one is held back: with it there is a tenth more."""


def study(data: dict[str, Any], *, quick: bool, half: bool) -> dict[str, Any]:
    """The question, over all the pictures."""
    if quick:
        space = {
            "image_size": 64,
            "pooling": {"type": "categorical", "choices": ["avg_max", "avg"]},
            "phases": {"type": "categorical", "choices": ["probe", "head"]},
            "class_weighting": {"type": "float", "low": 0.0, "high": 1.0},
            "epochs": {"type": "int", "low": 2, "high": 8, "when": {"phases": ["head"]}},
        }
        raw: dict[str, Any] = {"space": space, "search": {"n_trials": 30}, "split": {"n_splits": 3}}
    else:
        raw = yaml.safe_load((BENCHMARKS.parent / "studies" / "magnetic_tile.yaml").read_text())
        raw["space"] = yaml.safe_load((BENCHMARKS.parent / "search_spaces" / "quick.yaml").read_text())
    if half:
        raw["space"]["image_size"]["choices"] = [112, 80, 144]
        raw["search"]["enqueue"][0]["params"]["image_size"] = 144
        del raw["budget"]
    return {**raw, "name": NAME, "data": data, "registry": {"model": NAME}}


def held_back(dataset: Dataset) -> np.ndarray:
    """Which rows come later: of every `ONE_IN` parts of a class one, in the order of their names."""
    later = np.zeros(len(dataset), np.bool_)
    place = 0
    for label in range(len(dataset.classes)):
        for group in np.unique(dataset.groups[dataset.labels == label]):
            place += 1
            if place % ONE_IN == 0:
                later[dataset.groups == group] = True
    return later


def write_manifest(path: Path, dataset: Dataset, rows: np.ndarray) -> None:
    """The rows as a table of their own, with the part in a column."""
    with path.open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(("filename", "label", "part"))
        for row in rows:
            label, part = dataset.classes[dataset.labels[row]], dataset.group_names[dataset.groups[row]]
            table.writerow((dataset.filenames[row], label, part))


def timed(arguments: list[str], folder: Path, checkout: Path) -> tuple[float, float, dict[str, Any]]:
    """Run a command of fdsearch; its seconds, those of processors for it and its workers, and its document."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, "-m", "fdsearch", *arguments, "--root", str(folder / "root"), "--json"]
    began, before = time.monotonic(), _processor_seconds()
    done = subprocess.run(command, cwd=checkout, env=environment, stdout=subprocess.PIPE, check=False)
    seconds = time.monotonic() - began
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} ended with exit code {done.returncode}: {done.stdout.decode()}")
    return seconds, _processor_seconds() - before, json.loads(done.stdout)


def _processor_seconds() -> float:
    """Of all the processes below this one that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(raw: dict[str, Any], checkout: Path, folder: Path) -> dict[str, Any]:
    """Run the study on most of its parts, and refit on all of them."""
    dataset = load_dataset(parse_study(raw, NAME, folder).data, PixelStore(folder / "pixels"))
    later, manifest = held_back(dataset), folder / "labels.csv"
    data = {"manifest": str(manifest), "label": "label", "group": "part", "pass_classes": list(dataset.pass_classes)}
    images = raw["data"].get("images") or str(Path(raw["data"]["manifest"]).parent)
    (folder / "study.yaml").write_text(yaml.safe_dump({**raw, "data": {**data, "images": images}}))
    write_manifest(manifest, dataset, np.flatnonzero(~later))
    run_s, run_cpu_s, run = timed(["run", str(folder / "study.yaml")], folder, checkout)
    champion = f"{NAME}:{run['candidate']['version']}"
    write_manifest(manifest, dataset, np.arange(len(dataset)))
    refit_s, refit_cpu_s, refit = timed(["refit", champion], folder, checkout)
    return {
        "run_s": round(run_s, 1),
        "refit_s": round(refit_s, 1),
        "share": round(refit_s / run_s, 3),
        "run_cpu_s": round(run_cpu_s, 1),
        "refit_cpu_s": round(refit_cpu_s, 1),
        "cpu_share": round(refit_cpu_s / run_cpu_s, 3),
        "pictures": [int((~later).sum()), len(dataset)],
        "n_trials": run["n_trials"],
        "phases": run["candidate"]["params"].get("phases"),
        "image_size": run["candidate"]["params"].get("image_size"),
        "champion": run["champion"],
        "challenger": {key: refit["candidate"][key] for key in ("version", "alias")},
        "comparison": refit["comparison"],
        "cv": [run["cv"]["macro_f1_mean"], refit["cv"]["macro_f1_mean"]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_options(parser, "generated pictures of 64 pixels, 30 trials")
    parser.add_argument("--half", action="store_true", help="pictures of half the size, and no budget")
    parser.add_argument("--checkout", type=Path, default=BENCHMARKS.parent, help="working tree; default this one")
    parser.add_argument("--keep", type=Path, help="folder for study, root and results; default a temporary one")
    options = parse(parser)
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        data = generate(folder / "set") if options.quick else open_tiles(options.data)
        data["pass_classes"] = ["0_GOOD"] if options.quick else ["Free"]
        raw = study(data, quick=options.quick, half=options.half)
        print(json.dumps(measure(raw, options.checkout.resolve(), folder)))


if __name__ == "__main__":
    main()
