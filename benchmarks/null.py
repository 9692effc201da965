"""Studies in which nothing can be learnt: whole blocks of labels are exchanged between parts, then probes are searched.

    python benchmarks/null.py --repetitions 400                                             # generated, 6 classes
    FDSEARCH_DATA=... python benchmarks/null.py --study studies/magnetic_tile.yaml --repetitions 400
    python benchmarks/null.py --repetitions 400 --planted 0.1        # must fail: copies of pictures under other parts

Features of the frozen network are computed once and reduced to 64 directions that know no label; then each repetition
is a study of 24 probes with the real splitter, the real repeats, the real choice and the real correction. A score is
worth what it has above chance, the macro F1 that predictions with the same shares reach while they know nothing.
Without leaks that is nothing, so what remains of the corrected score is its bias.

The last line on stdout is one JSON object: the means over the repetitions, above chance, of `raw` (the highest score of
the search), `repeated` (the winner's repeats), `corrected`, `bbc` and `single` (one probe that nobody chose: what
cross-validation itself is off by); `covered` (how often the interval held chance) and `low`, `high` (how often it lay
below and above); `kept` (share of the parts that were given their own class) beside `kept_by_chance`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fdsearch.chance import chance
from fdsearch.config import DataSpec
from fdsearch.data.folds import deal_holdout, grouped_stratified_folds
from fdsearch.data.images import PixelStore
from fdsearch.data.load import load_dataset
from fdsearch.data.ribbon_layout import CLASSES
from fdsearch.data.synthetic import synthesize
from fdsearch.execution.events import OnResult
from fdsearch.metrics import groups_per_class, macro_f1
from fdsearch.pipeline.choosing import Chosen
from fdsearch.pipeline.luck import make_stack
from fdsearch.records import TrialRecord
from fdsearch.selection.choice import TieRule, choose
from fdsearch.selection.cross_validation import CrossValidation, cross_validate
from fdsearch.selection.replay import optimism
from fdsearch.selection.scores import headline, score
from fdsearch.study_reader import load_study
from fdsearch.training.batches import class_weights, effective_shares, training_rows
from fdsearch.training.job import Job, JobMaker, Result
from fdsearch.training.probe import fit_probe
from fdsearch.trial import TrialConfig

Ints = NDArray[np.int64]

DIRECTIONS = 64
POOLINGS = ("avg_max", "avg")
SIZES = (224, 160, 288)
POINTS = tuple(
    {"phases": "probe", "image_size": size, "pooling": pooling, "probe_c": c, "class_weighting": weighting}
    for size, pooling, c, weighting in product(SIZES, POOLINGS, (0.003, 0.3), (1.0, 0.0))
)
"""What `quick.yaml` varies about probes. The first is the baseline."""
TOP_K, REPEATS, N_SPLITS = 3, 2, 5
SCORES = ("raw", "repeated", "corrected", "bbc", "single")


class Probes:
    """Fits the probe of a job on features in memory, in the place of an executor.

    Parameters
    ----------
    features : mapping of str to array, shape (n, d)
        By `kind`.
    """

    def __init__(self, features: Mapping[str, NDArray[Any]]) -> None:
        self._features = features

    def __call__(
        self, jobs: Sequence[Job], *, on_result: OnResult, deadline: float | None, attempts: int
    ) -> dict[str, Result]:
        found = {}
        for job in jobs:
            config, features = job.config, self._features[kind(job.config.image_size, job.config.pooling)]
            rows = training_rows(job.labels, job.train, config.subsample, job.seed)
            weights = class_weights(job.labels[rows], job.n_classes, config.class_weighting)
            head = fit_probe(features[rows], job.labels[rows], weights, config.probe_c)
            shares = effective_shares(job.labels[rows], weights)
            logits = head.logits(features[job.validation])
            found[job.id] = Result(job.id, "done", logits, effective_shares=shares)
            on_result(found[job.id])
        return found


def exchanged(labels: Ints, groups: Ints, generator: np.random.Generator) -> tuple[Ints, float]:
    """Give each part the labels of another, drawn without replacement, and say how many kept their own class.

    A part with more pictures than its donor has gets the donor's labels once more from the first on.
    """
    parts = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    while True:
        found = np.empty_like(labels)
        donors = generator.permutation(len(parts))
        for rows, donor in zip(parts, donors, strict=True):
            found[rows] = np.resize(labels[parts[donor]], len(rows))
        if groups_per_class(found, groups, int(labels.max()) + 1).min() >= 2:  # as the splitter wants
            kept = [labels[rows[0]] == found[rows[0]] for rows in parts]
            return found, float(np.mean(kept))


def repetition(features: Mapping[str, NDArray[Any]], labels: Ints, groups: Ints, seed: int, args: Any) -> list[float]:
    """One study: `SCORES` above chance, whether the interval lies below and above it, the share of parts as before."""
    generator, n_classes = np.random.default_rng(seed), int(labels.max()) + 1
    labels, kept = exchanged(labels, groups, generator)
    if args.planted:
        copies = generator.choice(len(labels), round(args.planted * len(labels)), replace=False)
        features = {name: np.concatenate([values, values[copies]]) for name, values in features.items()}
        labels = np.concatenate([labels, labels[copies]])
        groups = np.concatenate([groups, groups.max() + 1 + np.arange(len(copies))])
    configs = [TrialConfig.from_params(point) for point in POINTS]
    pixels = {(size, configs[0].resize): Path("unused") for size in SIZES}
    maker = JobMaker(labels, groups, n_classes, pixels, "null", Path("unused"))
    run_all, first_seed = Probes(features), 42 + seed % 1000
    folds = [grouped_stratified_folds(labels, groups, N_SPLITS, first_seed + repeat) for repeat in range(REPEATS + 1)]
    names = [f"trial-{number}" for number in range(len(configs))]
    searched = cross_validate(list(zip(names, configs, strict=True)), folds[:1], maker, run_all)
    values = [macro_f1(labels, searched[name].predictions[0], n_classes) for name in names]
    ranked = sorted(range(1, len(names)), key=lambda number: -values[number])[:TOP_K]
    entries = [(names[number], configs[number]) for number in (0, *ranked)]
    contest = cross_validate(entries, folds[1:], maker, run_all, random_state=1)
    return [*judged(searched, contest, values, labels, groups, args.boot), kept]


def judged(
    searched: CrossValidation,
    contest: CrossValidation,
    values: Sequence[float],
    labels: Ints,
    groups: Ints,
    n_boot: int,
) -> list[float]:
    """Choose, correct and take the headline as a run does; scores above chance, then the misses."""
    n_classes = int(labels.max()) + 1
    classes = tuple(map(str, range(n_classes)))
    names = tuple(candidate.name for candidate in contest.candidates)
    scores = {name: score(labels, contest[name].predictions, groups, classes, n_boot=200) for name in names}
    means = [scores[name].value for name in names]
    taken = names[choose(means, np.zeros(len(names)), np.full(len(names), np.nan), TieRule()).winner]
    chosen = Chosen(taken, taken, (), 0.0, "", names, {})
    records = [
        TrialRecord(number, "COMPLETE", value, {"number": number}, searched[f"trial-{number}"].logits[0], (), 0.0)
        for number, value in enumerate(values)
    ]
    trials = {name: int(name.removeprefix("trial-")) for name in names}
    stack = make_stack(records, contest, chosen, trials, np.arange(len(labels)), names[0])
    luck = optimism(labels, stack, groups, classes, top_k=TOP_K, n_boot=n_boot)
    believed = headline(scores[taken], luck, None)
    worth = float(np.mean([chance(labels, repeat, n_classes) for repeat in contest[taken].predictions]))
    best = searched[f"trial-{int(np.argmax(values))}"].predictions[0]
    single = searched["trial-0"].predictions[0]
    low, high = believed["ci"] or (-np.inf, np.inf)
    return [
        max(values) - chance(labels, best, n_classes),
        luck["raw"] - worth,
        believed["value"] - worth,
        luck["bbc"] - worth,
        values[0] - chance(labels, single, n_classes),
        float(high < worth),
        float(low > worth),
    ]


def name_of(options: argparse.Namespace) -> str:
    """Of the set of pictures."""
    return options.study.stem if options.study else f"bonds-{options.parts}"


def features_of(options: argparse.Namespace, folder: Path) -> dict[str, NDArray[Any]]:
    """Labels, groups and reduced features of the development parts; computed once per folder."""
    name, path = name_of(options), folder / f"null-{name_of(options)}.npz"
    if not path.is_file():
        if options.study:
            data = load_study(options.study).data
        else:
            # One to three pictures of a part, two on average.
            synthesize(folder / name, dict.fromkeys(CLASSES, 2 * options.parts), seed=3, size=128)
            manifest = folder / name / "labels.csv"
            data = DataSpec.model_validate({"manifest": manifest, "label": "Label", "group": "part"})
        dataset = load_dataset(data, PixelStore(folder / "pixels"))
        print(f"{len(dataset)} pictures: {dataset.group_counts}", file=sys.stderr)
        kept = ~deal_holdout(dataset.labels, dataset.groups, 0.2, 42)
        reduced: dict[str, NDArray[Any]] = {"labels": dataset.labels[kept], "groups": dataset.groups[kept]}
        for size in SIZES:
            pictures = dataset.pixels(size, TrialConfig.from_params(POINTS[0]).resize)
            pooled = _pooled(np.asarray(pictures)[kept], size, len(dataset.classes))
            reduced[kind(size, "avg_max")] = _reduced(pooled)
            reduced[kind(size, "avg")] = _reduced(pooled[:, : pooled.shape[1] // 2])
        np.savez(path, **cast(Any, reduced))
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def kind(size: int, pooling: str) -> str:
    """Name of features."""
    return f"{pooling}-{size}"


def _pooled(pictures: NDArray[np.uint8], size: int, n_classes: int) -> NDArray[np.float32]:
    """Averages and maxima of the frozen network's last maps, (n, d)."""
    import keras

    from fdsearch.layers import FEATURES
    from fdsearch.models.builders import build_model

    model = build_model(TrialConfig.from_params({**POINTS[0], "image_size": size}), n_classes)
    frozen = keras.Model(model.input, model.get_layer(FEATURES).output)
    return np.asarray(frozen.predict(pictures, batch_size=32, verbose=0))


def _reduced(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Coordinates along the directions in which the pictures differ most."""
    centred = values.astype(np.float64) - values.mean(axis=0)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    return np.asarray((left * scale)[:, :DIRECTIONS])


def task(path: Path, seeds: Sequence[int], args: Any) -> list[list[float]]:
    with np.load(path, allow_pickle=False) as stored:
        arrays = dict(stored)
    labels, groups = arrays.pop("labels"), arrays.pop("groups")
    return [repetition(arrays, labels, groups, seed, args) for seed in seeds]


def summary(rows: NDArray[np.float64], labels: Ints, groups: Ints, planted: float) -> dict[str, Any]:
    """Means over the repetitions, and whether they are as they must be without leaks."""
    n, n_scores = len(rows), len(SCORES)
    means, errors = rows.mean(axis=0), rows.std(axis=0) / np.sqrt(n)
    above = {name: round(float(mean), 4) for name, mean in zip(SCORES, means[:n_scores], strict=True)}
    low, high, kept = rows[:, n_scores:].T
    first = np.bincount(labels[np.unique(groups, return_index=True)[1]])  # as the first picture of a part says
    return {
        "repetitions": n,
        "planted": planted,
        "fewest_groups": int(groups_per_class(labels, groups, int(labels.max()) + 1).min()),
        **above,
        "se": {name: round(float(error), 5) for name, error in zip(SCORES, errors[:n_scores], strict=True)},
        "covered": int((low + high == 0).sum()),
        "low": int(low.sum()),
        "high": int(high.sum()),
        "kept": round(float(kept.mean()), 4),
        "kept_by_chance": round(float((first / first.sum()) @ (first / first.sum())), 4),
        "holds": abs(above["corrected"]) <= 0.01 < 0.02 < above["raw"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, help="a study file; default generated pictures")
    parser.add_argument("--parts", type=int, default=48, help="generated parts per class, about; a fifth is sealed")
    parser.add_argument("--planted", type=float, default=0.0, help="share of the pictures to copy under other parts")
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--boot", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="keeps pictures and features for the next time")
    parser.add_argument("--quick", action="store_true", help="six repetitions")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = features_of(options, folder)
        result = measure(folder / f"null-{name_of(options)}.npz", options)
    print(json.dumps(summary(np.array(result), arrays["labels"], arrays["groups"], options.planted)))


def measure(path: Path, options: argparse.Namespace) -> list[list[float]]:
    """All repetitions, a few at a time on several processes."""
    n = 6 if options.quick else options.repetitions
    seeds = [int(seed) for seed in np.random.SeedSequence(options.seed).generate_state(n)]
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # read by the processes that are started anew
    began, found = time.monotonic(), list[list[float]]()
    with ProcessPoolExecutor(options.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(task, path, seeds[start : start + 3], options) for start in range(0, n, 3)]
        for done in as_completed(waiting):
            found += done.result()
            print(f"\r{len(found)}/{n} after {time.monotonic() - began:.0f} s", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


if __name__ == "__main__":
    main()
