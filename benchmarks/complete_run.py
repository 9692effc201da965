"""A complete `fdsearch run`: search of six given trials, repeats, refit, holdout, registration; its time and memory.

    FDSEARCH_DATA=... python benchmarks/complete_run.py [--checkout FOLDER]
    python benchmarks/complete_run.py --quick                                # generated pictures, a minute

The trials are a probe at 224 px and one at 288 px, a head alone at 224 and at 160 px, and two tails, so that two
versions of fdsearch do the same work: `--checkout` runs that of another working tree, with the packages installed here.
The root is fresh, so nothing is cached. Memory is that of parent and workers together, looked at every half second:
`peak_mb` without mapped files and shared pages, `peak_resident_mb` with them, pages of several processes counted as
often. The last line is one JSON object: those, `seconds`, `n_trials`, and the holdout's macro F1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import yaml
from memory import memory_mb
from peers.sides import BENCHMARKS, add_data_options, generate, open_tiles, parse

LOOKING_S = 0.5
PROBE = {"phases": "probe", "resize": "stretch", "probe_c": 0.003, "class_weighting": 1.0}
TRAINED = {"resize": "stretch", "class_weighting": 0.5, "learning_rate": 5e-4, "batch_size": 32}
HEAD = {**TRAINED, "phases": "head", "epochs": 8}
TAIL = {**TRAINED, "phases": "head_tail", "phase_decay": 0.3, "schedule": "cosine", "epochs": 6}
SMOOTH = {"pooling": "avg_max", "dropout": 0.2, "label_smoothing": 0.05}
POINTS: dict[str, dict[str, Any]] = {
    "probe 288": {**PROBE, "image_size": 288, "pooling": "avg_max"},
    "head 224": {**HEAD, **SMOOTH, "image_size": 224, "schedule": "cosine"},
    "head 160": {**HEAD, "image_size": 160, "schedule": "constant", "pooling": "avg", "dropout": 0.1},
    "tail 224": {**TAIL, **SMOOTH, "image_size": 224, "unfreeze": 0.1},
    "tail 160": {**TAIL, **SMOOTH, "image_size": 160, "unfreeze": 0.2},
}


def study(data: dict[str, Any], *, quick: bool) -> dict[str, Any]:
    """The question; trial 0 is the baseline of every study."""
    space = yaml.safe_load((BENCHMARKS.parent / "search_spaces" / "quick.yaml").read_text())
    recipes = [{"name": name, "params": point} for name, point in POINTS.items()]
    if quick:
        space["image_size"]["choices"] = [64]
        recipes = [{"name": "head 64", "params": {**POINTS["head 160"], "image_size": 64}}]
    return {
        "name": "complete",
        "data": data,
        "split": {"holdout": 0.2, "n_splits": 3, "random_state": 42},
        "space": space,
        "search": {"n_trials": 1 + len(recipes), "sampler": "tpe", "pruner": "none", "enqueue": recipes},
        "selection": {"top_k": 1, "n_repeats": 1},
    }


def measure(raw: dict[str, Any], checkout: Path, folder: Path) -> dict[str, Any]:
    """Run a study with the fdsearch of a working tree."""
    (folder / "study.yaml").write_text(yaml.safe_dump(raw))
    command = [sys.executable, "-m", "fdsearch", "run", str(folder / "study.yaml"), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "2"}
    began, peak, resident = time.monotonic(), 0.0, 0.0
    with (folder / "out.json").open("w") as out:
        process = subprocess.Popen(
            [*command, "--root", str(folder / "root")], cwd=checkout, env=environment, stdout=out, stderr=sys.stderr
        )
        while process.poll() is None:
            own, all_pages = _memory_mb(process.pid)
            peak, resident = max(peak, own), max(resident, all_pages)
            time.sleep(LOOKING_S)
    seconds = time.monotonic() - began
    if process.returncode:
        sys.exit(f"the run ended with exit code {process.returncode}")
    found = json.loads((folder / "out.json").read_text())
    return {
        "seconds": round(seconds, 1),
        "peak_mb": round(peak),
        "peak_resident_mb": round(resident),
        "n_trials": raw["search"]["n_trials"],
        "holdout_macro_f1": (found.get("holdout") or {}).get("macro_f1"),
    }


def _memory_mb(parent: int) -> tuple[float, float]:
    """MiB of a process and all below it: without what is mapped or shared, and with it."""
    try:
        root = psutil.Process(parent)
        found = [memory_mb(process) for process in (root, *root.children(recursive=True))]
    except psutil.NoSuchProcess:
        return 0.0, 0.0
    return sum(own for own, _ in found), sum(resident for _, resident in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_options(parser, "generated pictures of 64 pixels, two trials")
    parser.add_argument("--checkout", type=Path, default=BENCHMARKS.parent, help="working tree; default this one")
    options = parse(parser)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        section = generate(folder / "set") if options.quick else open_tiles(options.data)
        print(json.dumps(measure(study(section, quick=options.quick), options.checkout.resolve(), folder)))


if __name__ == "__main__":
    main()
