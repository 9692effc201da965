"""Shortcuts that were planted: how many are found, in which class, and what is called one where there is none.

    FDSEARCH_DATA=... python benchmarks/shortcuts.py                # magnetic_tile, a few minutes
    python benchmarks/shortcuts.py                                  # generated pictures with rare classes
    python benchmarks/shortcuts.py --quick                          # the most and the least frequent class only
    python benchmarks/shortcuts.py --power 100                      # adds how large a shift must be for how many parts

One thing is changed in all development pictures of one class: their format, one pixel in the corner, or their
brightness; they are written, read and measured as in an audit. Found means an alarm of that feature, under both seeds
of the folds; where the unchanged set has one too, one whose reason names the class. A class that the unchanged set's
alarm names is left out.

The last line on stdout is one JSON object: ``planted`` and ``found`` per kind, ``missed`` by name with the class's
parts, ``clean`` (the alarms without a change, per seed), ``permuted`` (sets with an alarm among those in which whole
blocks of labels were exchanged between parts; one in twenty may have one), and with --power the share of found shifts
per number of parts and shift, in standard deviations of the parts' means.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fdsearch.config import DataSpec
from fdsearch.data.folds import deal_holdout
from fdsearch.data.images import PixelStore
from fdsearch.data.load import load_dataset
from fdsearch.data.parts.glance import Traits, glance
from fdsearch.data.rank_tests import rank_tests
from fdsearch.data.ribbon_layout import CLASSES
from fdsearch.data.shortcuts import shortcuts
from fdsearch.data.synthetic import synthesize
from fdsearch.data.traits import features
from fdsearch.metrics import groups_per_class
from fdsearch.progress import Silent
from fdsearch.study_reader import load_study

Ints = NDArray[np.int64]
Gray = NDArray[np.uint8]

SEEDS = (42, 43)
RARE = dict(zip(CLASSES, (260, 60, 40, 32, 22, 18), strict=True))
"""Generated pictures per class, about two of a part."""


def brighter(shift: int) -> Callable[[Gray], Gray]:
    return lambda gray: np.clip(gray.astype(np.int64) + shift, 0, 255).astype(np.uint8)


def marked(gray: Gray) -> Gray:
    changed = gray.copy()
    changed[0, 0] = 255
    return changed


PLANTS: dict[str, tuple[str, Callable[[Gray], Gray]]] = {
    "format": ("format", lambda gray: gray),
    "border pixel": ("border", marked),
    "brightness +25": ("brightness", brighter(25)),
    "brightness +40": ("brightness", brighter(40)),
    "brightness +60": ("brightness", brighter(60)),
}
"""Kind -> the feature that must give it away, and the change."""


@dataclass(frozen=True)
class Pictures:
    """The development pictures of a set, and what was measured of them."""

    paths: Sequence[Path]
    filenames: Sequence[str]
    metadata: dict[str, list[str]]
    labels: Ints
    groups: Ints
    classes: Sequence[str]
    traits: Sequence[Traits]

    @property
    def parts(self) -> Ints:
        """Of each class."""
        return groups_per_class(self.labels, self.groups, len(self.classes))

    def checks(self, seed: int) -> list[dict[str, Any]]:
        found, _ = shortcuts(
            features(self.traits, self.filenames, self.metadata), self.labels, self.groups, self.classes, seed
        )
        return found


def development(folder: Path) -> tuple[str, Pictures]:
    """Name and pictures of magnetic_tile, or of a generated set where FDSEARCH_DATA does not hold it."""
    if os.environ.get("FDSEARCH_DATA") and (Path(os.environ["FDSEARCH_DATA"]) / "magnetic_tile").is_dir():
        name, data = "magnetic_tile", load_study(Path(__file__).parents[1] / "studies" / "magnetic_tile.yaml").data
    else:
        name = "bonds"
        synthesize(folder / name, RARE, seed=3, size=96)
        manifest = folder / name / "labels.csv"
        data = DataSpec.model_validate({"manifest": manifest, "label": "Label", "group": "part"})
    dataset = load_dataset(data, PixelStore(folder / "pixels"))
    rows = np.flatnonzero(~deal_holdout(dataset.labels, dataset.groups, 0.2, 42)).tolist()
    paths = [dataset.paths[row] for row in rows]
    metadata = {column: [cells[row] for row in rows] for column, cells in dataset.metadata.items()}
    names = [dataset.filenames[row] for row in rows]
    labels, groups = dataset.labels[rows], dataset.groups[rows]
    return name, Pictures(paths, names, metadata, labels, groups, dataset.classes, glance(paths, Silent())[1])


def planted(pictures: Pictures, kind: str, label: int, folder: Path) -> Pictures:
    """The set with a changed class."""
    rows, change = np.flatnonzero(pictures.labels == label).tolist(), PLANTS[kind][1]
    files = []
    for row in rows:
        with Image.open(pictures.paths[row]) as image:
            gray = np.asarray(image.convert("L"))
        files.append(folder / f"{row}.bmp")
        Image.fromarray(change(gray)).save(files[-1])
    traits = list(pictures.traits)
    for row, seen in zip(rows, glance(files, Silent())[1], strict=True):
        traits[row] = seen if kind == "format" else replace(seen, format=traits[row].format)
        files.pop().unlink()
    return replace(pictures, traits=traits)


def alarm(entries: Sequence[dict[str, Any]], feature: str) -> str:
    """The reason of a feature's alarm; empty where there is none."""
    return "".join(entry["reason"] for entry in entries if entry["alarm"] and entry["feature"] == feature)


def names(reason: str, name: str) -> bool:
    """Whether a reason is about a class."""
    return f" of {name}, for " in reason or f" in {name} on average" in reason


def exchanged(labels: Ints, groups: Ints, generator: np.random.Generator) -> Ints:
    """Labels of which each part has those of another."""
    parts = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    found = np.empty_like(labels)
    for rows, donor in zip(parts, generator.permutation(len(parts)), strict=True):
        found[rows] = np.resize(labels[parts[donor]], len(rows))
    return found


def search(pictures: Pictures, folder: Path, *, quick: bool) -> dict[str, Any]:
    """Plant everything in every class, one after the other."""
    clean = [pictures.checks(seed) for seed in SEEDS]
    order = np.argsort(pictures.parts).tolist()
    result: dict[str, Any] = {"planted": {}, "found": {}, "missed": [], "left_out": []}
    for kind, (feature, _) in PLANTS.items():
        hits = []
        for label in (order[0], order[-1]) if quick else order:
            name = pictures.classes[label]
            before = [alarm(entries, feature) for entries in clean]
            if any(names(reason, name) for reason in before):
                result["left_out"].append(f"{kind} in {name}")
                continue
            changed = planted(pictures, kind, label, folder)
            reasons = [alarm(changed.checks(seed), feature) for seed in SEEDS]
            hits.append(all(names(reason, name) if any(before) else reason for reason in reasons))
            if not hits[-1]:
                result["missed"].append(f"{kind} in {name} ({pictures.parts[label]} parts)")
        result["planted"][kind], result["found"][kind] = len(hits), sum(hits)
        print(f"{kind}: found {sum(hits)} of {len(hits)}", file=sys.stderr, flush=True)
    alarms = [[entry for entry in entries if entry["alarm"]] for entries in clean]
    result["clean"] = {
        str(seed): [f"{entry['feature']}: {entry['reason']}" for entry in entries]
        for seed, entries in zip(SEEDS, alarms, strict=True)
    }
    return result


def false_alarms(pictures: Pictures, repetitions: int) -> dict[str, int]:
    """Sets in which no feature can know a label, and those with an alarm."""
    alarms = 0
    for seed in range(repetitions):
        labels = exchanged(pictures.labels, pictures.groups, np.random.default_rng(seed))
        alarms += any(entry["alarm"] for entry in replace(pictures, labels=labels).checks(seed))
        print(f"\rlabels exchanged: {alarms} of {seed + 1}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {"sets": repetitions, "with_alarm": alarms}


def power(repetitions: int) -> dict[str, dict[str, float]]:
    """Share of the shifts that are found in one of six classes, among 180 parts of six pictures each.

    Shifts are in standard deviations of the parts' means. Pictures of a part vary twice as much as parts do, as with
    the exposures of magnetic_tile; 25 numbers that know nothing are asked as well.
    """
    found: dict[str, dict[str, float]] = {}
    groups = np.repeat(np.arange(180), 6)
    for n_parts in (5, 6, 7, 10, 15, 20, 30):
        labels = (groups < n_parts).astype(np.int64)
        for shift in (1.0, 1.5, 2.0, 2.5, 3.0):
            hits = 0
            for seed in range(repetitions):
                rng = np.random.default_rng(seed)
                columns = 0.6**0.5 * (rng.normal(size=(180, 26))[groups] + 2 * rng.normal(size=(len(groups), 26)))
                columns[:, 0] += shift * labels
                [test] = rank_tests(columns, labels, groups, [1], 1 - 0.025 / 6, seed)
                hits += bool(abs(test.auc[0] - 0.5) > test.margin[0])
            found.setdefault(str(n_parts), {})[str(shift)] = round(hits / repetitions, 2)
        print(f"{n_parts} parts: {found[str(n_parts)]}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--permutations", type=int, default=100)
    parser.add_argument("--power", type=int, default=0, metavar="REPETITIONS")
    parser.add_argument("--quick", action="store_true", help="two classes only, ten permutations")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        name, pictures = development(Path(scratch))
        parts = dict(zip(pictures.classes, pictures.parts.tolist(), strict=True))
        result: dict[str, Any] = {"set": name, "pictures": len(pictures.labels), "parts": parts}
        result |= search(pictures, Path(scratch), quick=options.quick)
        result["permuted"] = false_alarms(pictures, 10 if options.quick else options.permutations)
    if options.power:
        result["power"] = power(options.power)
    print(json.dumps(result | {"seconds": round(time.monotonic() - began, 1)}))


if __name__ == "__main__":
    main()
