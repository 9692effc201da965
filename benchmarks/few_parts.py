"""What `init` and `run` make of five parts of each class: whether it ends, what it claims, and what a person reads.

    FDSEARCH_DATA=... python benchmarks/few_parts.py             # magnetic tiles, 5 tiles of each class; 10 minutes
    FDSEARCH_DATA=... python benchmarks/few_parts.py --parts 4 --draw 1
    python benchmarks/few_parts.py --quick                       # generated pictures, four minutes

The parts are drawn by hash among those of one class (of Fray there are four), the pictures copied, and the two commands
given as a user gives them, with the budget that ``--budget`` says. What a person reads goes to stderr. The last line is
one JSON object: pictures, parts, trials, the candidate's and the probe's macro F1 out of fold with their intervals or
why there is none, the paired gain, whether it is claimed (its interval lies above zero), why the space is so
(``space_why``), and the seconds.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from peers.sides import add_data_options, generate, open_tiles, parse

from fdsearch.data.dataset import Dataset
from fdsearch.data.images import PixelStore
from fdsearch.data.load import load_dataset
from fdsearch.study_reader import parse_study


def drawn(dataset: Dataset, n_parts: int, draw: int) -> list[int]:
    """Rows of so many parts of each class; a part with pictures of several classes takes no part."""
    classes_of: dict[int, set[int]] = {}
    for group, label in zip(dataset.groups.tolist(), dataset.labels.tolist(), strict=True):
        classes_of.setdefault(group, set()).add(label)

    def key(group: int) -> str:
        return hashlib.sha256(f"{draw}:{dataset.group_names[group]}".encode()).hexdigest()

    chosen: set[int] = set()
    for label in range(len(dataset.classes)):
        pure = [group for group, labels in classes_of.items() if labels == {label}]
        chosen.update(sorted(pure, key=key)[:n_parts])
    return [row for row, group in enumerate(dataset.groups.tolist()) if group in chosen]


def copy(dataset: Dataset, rows: list[int], folder: Path) -> None:
    """The drawn pictures and their table, as somebody who has no more would have them."""
    folder.mkdir(parents=True)
    with (folder / "labels.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(("filename", "label", "part"))
        for row in rows:
            name = f"{row:05d}{dataset.paths[row].suffix}"
            shutil.copyfile(dataset.paths[row], folder / name)
            table.writerow((name, dataset.classes[dataset.labels[row]], dataset.group_names[dataset.groups[row]]))


def command(folder: Path, *arguments: str) -> str:
    """Give a command of fdsearch; what it prints."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    line = [sys.executable, "-m", "fdsearch", *arguments, "--root", str(folder / "root")]
    done = subprocess.run(line, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"fdsearch {' '.join(arguments)} ended with exit code {done.returncode}: {done.stdout}")
    return done.stdout


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Draw, `init`, `run`."""
    data = generate(folder / "all") if options.quick else open_tiles(options.data)
    raw = {"name": "all", "data": data, "space": "auto"}
    dataset = load_dataset(parse_study(raw, "all", folder).data, PixelStore(folder / "pixels"))
    rows = drawn(dataset, options.parts, options.draw)
    copy(dataset, rows, folder / "few")
    study = folder / "few.yaml"
    print(command(folder, "init", str(folder / "few"), "--out", str(study)), file=sys.stderr)
    text = study.read_text().replace("budget: 40m", f"budget: {options.budget}")
    study.write_text(text)
    began = time.monotonic()
    document = json.loads(command(folder, "run", str(study), "--json"))
    seconds = time.monotonic() - began
    print(command(folder, "run", str(study)), file=sys.stderr)  # finished: prints the stored result for a person
    gain_ci = document["baseline"]["gain_ci"]
    return {
        "pictures": len(rows),
        "parts": len({int(dataset.groups[row]) for row in rows}),
        "n_trials": document["n_trials"],
        "params": document["candidate"]["params"],
        "cv": {key: document["cv"].get(key) for key in ("macro_f1_mean", "macro_f1_ci", "why")},
        "baseline": {key: document["baseline"].get(key) for key in ("macro_f1_mean", "gain", "gain_ci", "why")},
        "gain_is_claimed": bool(gain_ci and gain_ci[0] is not None and gain_ci[0] > 0),
        "headline": document["headline"],
        "space_why": document["space_why"],
        "seconds": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_options(parser, "generated pictures of 64 pixels")
    parser.add_argument("--parts", type=int, default=5, help="of each class")
    parser.add_argument("--draw", type=int, default=0, help="another number draws other parts")
    parser.add_argument("--budget", default="8m")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it; default a temporary one")
    options = parse(parser)
    with tempfile.TemporaryDirectory() as name:
        folder = (options.keep or Path(name)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        print(json.dumps(measure(options, folder)))


if __name__ == "__main__":
    main()
