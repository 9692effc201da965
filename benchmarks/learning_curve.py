"""How few pictures of each class a recipe needs: its score over the number of pictures it was trained on.

    FDSEARCH_DATA=... fdsearch run pistons --root ROOT
    FDSEARCH_DATA=... python benchmarks/learning_curve.py --root ROOT [--pictures 3 5 8 ...] [--repeats 10]

In each repeat a fifth of the parts of each class is set aside, and k pictures of each class are drawn from the rest: of
k different parts while there are so many, those of a smaller k among those of a larger one. All recipes train on the
same pictures. `probe` is the frozen probe that every study is compared with, `champion` the recipe of the study's
champion where ROOT has one (it was chosen by scores on parts of the same set, which flatters its curve), and with
``--enqueued`` the study's own first recipes. ``--quick`` takes generated pictures and a few points. The target is the
share of pictures that the piston write-up got right.

The last line is one JSON object: per recipe and k the pictures trained on, the share of pictures that are right and the
macro F1, both with intervals from resampled parts; `reaches` is the least k from which on the target is reached,
`surely` that from which on the lower end of the interval reaches it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.config import StudySpec
from fdsearch.data.folds import single_split
from fdsearch.data.images import PixelStore
from fdsearch.data.load import load_dataset
from fdsearch.data.synthetic import synthesize
from fdsearch.execution.supervisor import Supervisor
from fdsearch.metrics import UNPREDICTED, resamples
from fdsearch.progress import Silent
from fdsearch.registry.store import Registry
from fdsearch.selection.scores import score
from fdsearch.study_reader import load_study, parse_study
from fdsearch.training.job import Job, JobMaker, Result
from fdsearch.trial import TrialConfig
from fdsearch.workspace import Workspace

TARGET = 0.9825  # 56 of the write-up's 57 validation pictures
PICTURES = (3, 5, 8, 12, 20, 40, 60)
QUICK = {"0_GOOD": 40, "2_White lift-off": 40, "4_Missing": 40}

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Subject:
    """Pictures, and the recipes that learn from ever more of them."""

    maker: JobMaker
    classes: tuple[str, ...]
    recipes: Mapping[str, TrialConfig]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(os.environ.get("FDSEARCH_ROOT") or ".fdsearch"))
    parser.add_argument("--study", default="pistons")
    parser.add_argument("--pictures", type=int, nargs="+", default=list(PICTURES), help="of each class")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--enqueued", action="store_true", help="the study's own first recipes, too")
    parser.add_argument("--quick", action="store_true", help="few points on generated pictures")
    asked = parser.parse_args()
    if asked.quick:
        with tempfile.TemporaryDirectory() as folder:
            result = curves(generated(Path(folder)), [3, 8], n_repeats=2)
    else:
        result = curves(of_study(asked.study, asked.root, enqueued=asked.enqueued), asked.pictures, asked.repeats)
    print(json.dumps(result))


def of_study(name: str, root: Path, *, enqueued: bool) -> Subject:
    """A shipped study's pictures, and the recipes that are compared on them."""
    workspace = Workspace(root.resolve())
    spec = load_study(Path(__file__).parents[1] / "studies" / f"{name}.yaml")
    recipes = {"probe": TrialConfig.from_params({"phases": "probe", "pooling": "avg_max"})}
    if spec.model_name in [model["name"] for model in Registry(workspace.registry).models()]:
        champion = Registry(workspace.registry).resolve(f"{spec.model_name}@champion")
        recipes["champion"] = TrialConfig.from_json(champion.manifest.lineage["config"])
    if enqueued:
        recipes |= {each.name: TrialConfig.from_params(each.params) for each in spec.search.enqueue}
    return opened(spec, workspace, recipes)


def generated(folder: Path) -> Subject:
    """Ribbon bonds of three classes, and the frozen probe."""
    synthesize(folder / "bonds", QUICK, size=96)
    data = {"manifest": "bonds/labels.csv", "label": "Label", "group": "part"}
    spec = parse_study({"name": "quick", "data": data, "space": {"image_size": 96}}, "quick", folder)
    probe = TrialConfig.from_params({"phases": "probe", "pooling": "avg_max", "image_size": 96})
    return opened(spec, Workspace(folder / "root"), {"probe": probe})


def opened(spec: StudySpec, workspace: Workspace, recipes: Mapping[str, TrialConfig]) -> Subject:
    dataset = load_dataset(spec.data, PixelStore(workspace.pixels), Silent(), workspace.groups)
    sizes = {(config.image_size, config.resize) for config in recipes.values()}
    pixels, n_classes = dataset.decode(sizes), len(dataset.classes)
    maker = JobMaker(dataset.labels, dataset.groups, n_classes, pixels, dataset.digest, workspace.prefix)
    return Subject(maker, dataset.classes, recipes)


def curves(subject: Subject, numbers: Sequence[int], n_repeats: int) -> dict[str, Any]:
    """Train every recipe on every number of pictures in every repeat, and sum up."""
    jobs = {
        (name, k, repeat): job
        for repeat in range(n_repeats)
        for k, train, validation in draws(subject.maker, numbers, repeat)
        for name, job in jobs_of(subject, f"{k}-{repeat}", train, validation, seed=repeat).items()
    }
    logits: dict[str, NDArray[np.float32]] = {}

    def keep(result: Result) -> None:
        if result.logits is None:
            sys.exit(f"{result.id}: {result.message}")
        logits[result.id] = result.logits
        print(f"{len(logits)} of {len(jobs)} fits, {result.id}: {result.seconds:.1f} s", file=sys.stderr)

    with Supervisor(log=Path(os.devnull)) as supervisor:
        supervisor.run_all(list(jobs.values()), on_result=keep)
    result: dict[str, Any] = {"target": TARGET, "repeats": n_repeats, "classes": list(subject.classes)}
    for name in subject.recipes:
        points = []
        for k in numbers:
            fits = [jobs[name, k, repeat] for repeat in range(n_repeats)]
            points.append({"pictures": k, **point(subject, fits, logits)})
        result[name] = {"points": points, "reaches": reaches(points), "surely": reaches(points, "low")}
    return result


def draws(maker: JobMaker, wanted: Sequence[int], seed: int) -> list[tuple[int, Ints, Ints]]:
    """One repeat: for each k the rows of k pictures of each class, and the same rows to validate with."""
    fold = single_split(maker.labels, maker.groups, 0.2, seed)
    rng = np.random.default_rng(seed)
    ordered = [
        unlike_first(rng.permutation(fold.train[maker.labels[fold.train] == label]), maker.groups)
        for label in range(maker.n_classes)
    ]
    return [(k, np.sort(np.concatenate([rows[:k] for rows in ordered])), fold.validation) for k in wanted]


def unlike_first(rows: Ints, groups: Ints) -> Ints:
    """Rows in an order that shows every part once before it shows any again.

    Examples
    --------
    >>> unlike_first(np.array([4, 2, 3, 0]), np.array([7, 8, 9, 9, 9])).tolist()
    [4, 0, 2, 3]
    """
    shown: dict[int, int] = {}
    turns = []
    for row in rows:
        turns.append(shown.get(int(groups[row]), 0))
        shown[int(groups[row])] = turns[-1] + 1
    return rows[np.argsort(turns, kind="stable")]


def jobs_of(subject: Subject, name: str, train: Ints, validation: Ints, seed: int) -> dict[str, Job]:
    """The same fit for every recipe."""
    return {
        recipe: subject.maker.job(f"{recipe}-{name}", config, train, validation, seed=seed)
        for recipe, config in subject.recipes.items()
    }


def point(subject: Subject, fits: Sequence[Job], logits: Mapping[str, NDArray[np.float32]]) -> dict[str, Any]:
    """What the repeats of one recipe at one k are worth together; a part's repeats are resampled together."""
    maker = subject.maker
    predicted = np.full((len(fits), len(maker.labels)), UNPREDICTED)
    for row, job in enumerate(fits):
        predicted[row, job.validation] = logits[job.id].argmax(axis=1)
    known = predicted != UNPREDICTED
    right = (known & (predicted == maker.labels)).sum(axis=0)
    groups = np.unique(maker.groups, return_inverse=True)[1]
    sums = np.column_stack([np.bincount(groups, right), np.bincount(groups, known.sum(axis=0))])
    drawn = np.concatenate([weights @ sums for weights in resamples(len(sums), 2000, random_state=0)])
    found = score(maker.labels, predicted, maker.groups, subject.classes)
    return {
        "trained_on": round(float(np.mean([len(job.train) for job in fits])), 1),
        "right": int(right.sum()),
        "of": int(known.sum()),
        "accuracy": round(float(right.sum() / known.sum()), 4),
        "accuracy_ci": np.quantile(drawn[:, 0] / np.maximum(drawn[:, 1], 1), [0.025, 0.975]).round(4).tolist(),
        "macro_f1": round(found.value, 4),
        "macro_f1_ci": found.interval.ci and [round(end, 4) for end in found.interval.ci],
    }


def reaches(points: Sequence[Mapping[str, Any]], end: str = "value") -> int | None:
    """The least k from which on the target is reached, by the mean or by the lower end of the interval."""
    for place, each in enumerate(points):
        rest = [one["accuracy"] if end == "value" else one["accuracy_ci"][0] for one in points[place:]]
        if min(rest) >= TARGET:
            return int(each["pictures"])
    return None


if __name__ == "__main__":
    main()
