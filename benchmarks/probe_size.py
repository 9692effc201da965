"""The frozen probe at several picture sizes, over repeated grouped folds of a study's development parts.

    FDSEARCH_DATA=... python benchmarks/probe_size.py studies/magnetic_tile.yaml

The last line is one JSON object: per size the pooled macro F1 of each repeat, the seconds of all fits, and the paired
gain over the first size with its interval over resampled parts.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from fdsearch.data.partition import repeat_folds
from fdsearch.execution.supervisor import Supervisor
from fdsearch.metrics import macro_f1
from fdsearch.pipeline.question import open_question
from fdsearch.progress import Silent
from fdsearch.selection.comparison import paired_gain
from fdsearch.selection.cross_validation import cross_validate
from fdsearch.study_reader import load_study
from fdsearch.trial import TrialConfig

SIZES = (224, 160, 288)
REPEATS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    with tempfile.TemporaryDirectory() as root:
        print(json.dumps(measure(parser.parse_args().study, Path(root))))


def measure(study: Path, root: Path) -> dict[str, Any]:
    """Cross-validate one probe per size on the same folds."""
    question = open_question(load_study(study), root, (), Silent())
    dataset, rows = question.dataset, question.partition.development.rows
    pixels = dataset.decode([(size, "stretch") for size in SIZES])
    shared = {"phases": "probe", "pooling": "avg_max", "class_weighting": 1.0}
    candidates = [(str(size), TrialConfig.from_params({**shared, "image_size": size})) for size in SIZES]
    folds = [repeat_folds(question.partition, repeat) for repeat in range(1, REPEATS + 1)]
    with Supervisor(log=Path(os.devnull)) as supervisor:
        found = cross_validate(candidates, folds, replace(question.maker, pixels=pixels), supervisor.run_all)
    result: dict[str, Any] = {}
    for candidate in found.candidates:
        pair = [found[name].predictions[:, rows] for name in (candidate.name, str(SIZES[0]))]
        gain = paired_gain(dataset.labels[rows], *pair, dataset.groups[rows], dataset.classes)
        result[candidate.name] = {"gain": gain["gain"], "gain_ci": gain["ci"], "seconds": round(candidate.seconds, 1)}
        result[candidate.name]["macro_f1"] = [
            round(macro_f1(dataset.labels[rows], one, len(dataset.classes)), 4)
            for one in candidate.predictions[:, rows]
        ]
    return result


if __name__ == "__main__":
    main()
