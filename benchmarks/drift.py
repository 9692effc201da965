"""False alarms and power of `fdsearch drift`, and of other two-sample tests beside it.

    FDSEARCH_DATA=... python benchmarks/drift.py                    # magnetic_tile; pistons are the new product
    python benchmarks/drift.py                                      # generated ribbon bonds; drift of other kinds
    python benchmarks/drift.py --quick                              # generated, few looks
    python benchmarks/drift.py --methods                            # the comparison of tests instead

For each look the parts are dealt anew: some are the batch, the others the reference, from which everything is fitted as
a registration does it. A batch is changed, or it is not: gray + 10, defocus of sigma 1 pixel, three times the share of
one class, a tenth of the parts replaced by another product. Features are those of the pretrained frozen backbone that
versions store (random weights where there are none, which the answer says).

The last line on stdout is one JSON object: ``false_alarms`` (looks, alarms, ``bound``: the most that the rate allows in
99 % of such runs), ``in_sequences`` (the share of sequences of looks at one reference with any alarm), ``power`` by
change (alone, and as the first look of many), ``label_shift`` (looks with a claim, by a fitted classifier) and
``classes_tested`` (looks in which a test of the predicted classes would alarm, which `drift` therefore has not); with
--methods ``methods``: for each test and number of components, how often it alarms at a level of .01.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from fdsearch import imaging
from fdsearch.resizing import resize
from fdsearch.serving.drift import look
from fdsearch.serving.looks import level
from fdsearch.serving.observed import Batch
from fdsearch.serving.permutation import Statistic, anderson_darling, energy, p_values, quadratic
from fdsearch.serving.reduction import fit_reduction
from fdsearch.serving.reference import Reference, save
from fdsearch.serving.traits import measure
from fdsearch.serving.units import alike, means

Gray = NDArray[np.uint8]
Ints = NDArray[np.int64]

RATE = 0.01
CHANGES: dict[str, Callable[[Gray], Gray]] = {
    "gray +10": lambda gray: np.clip(gray.astype(np.int64) + 10, 0, 255).astype(np.uint8),
    "defocus sigma 1": lambda gray: np.asarray(Image.fromarray(gray).filter(ImageFilter.GaussianBlur(1))),
}
SHARE, PRODUCT = "class share x3", "a tenth of another product"
SEQUENCE = 10


@dataclass(frozen=True)
class Pictures:
    """Embedding (n, d) and traits (n, 7)."""

    embedding: NDArray[np.float32]
    traits: NDArray[np.float64]

    def rows(self, rows: Ints) -> Pictures:
        return Pictures(self.embedding[rows], self.traits[rows])


@dataclass(frozen=True)
class Material:
    """A set, as it is and changed, and pictures of another product."""

    name: str
    weights: str
    labels: Ints
    groups: Ints
    classes: tuple[str, ...]
    plain: Pictures
    changed: dict[str, Pictures]
    other: Pictures

    @property
    def part_labels(self) -> Ints:
        """The first class of each part, 0 to n_parts - 1."""
        return self.labels[np.unique(self.groups, return_index=True)[1]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--methods", action="store_true")
    parser.add_argument("--parts", type=int, default=40, help="of a batch")
    parser.add_argument("--looks", type=int, default=400)
    asked = parser.parse_args()
    n_looks = 40 if asked.quick else asked.looks
    with tempfile.TemporaryDirectory() as folder:
        material = magnetic_tile() if _real() and not asked.quick else ribbon_bonds(Path(folder), asked.quick)
        if asked.methods:
            found = compared(material, asked.parts, n_looks // 4)
            document: dict[str, Any] = {"set": material.name, "methods": found}
        else:
            document = measured(material, asked.parts, n_looks, n_looks // 4, Path(folder))
    print(json.dumps(document))


def _real() -> bool:
    data = os.environ.get("FDSEARCH_DATA")
    return data is not None and (Path(data) / "magnetic_tile").is_dir()


def magnetic_tile() -> Material:
    data = Path(os.environ["FDSEARCH_DATA"])
    folder = data / "magnetic_tile"
    parts = {row["filename"]: row["tile_group"] for row in _rows(folder / "tile_groups.csv")}
    rows = _rows(folder / "labels.csv")
    files = [folder / row["filename"] for row in rows]
    other = sorted(path for path in (data / "pistons").rglob("*") if path.suffix in imaging.SUFFIXES)[:120]
    return _material(
        "magnetic_tile", files, [row["label"] for row in rows], [parts[row["filename"]] for row in rows], other, 160
    )


def ribbon_bonds(folder: Path, quick: bool) -> Material:
    from fdsearch.data.ribbon_layout import CLASSES as NAMES
    from fdsearch.data.synthetic import synthesize

    counts = dict(zip(NAMES, (240, 60, 60, 60, 40, 40) if quick else (700, 160, 120, 120, 80, 80), strict=True))
    synthesize(folder / "bonds", {**counts, "6_Drift": 60}, seed=3, size=96)
    rows = _rows(folder / "bonds" / "labels.csv")
    drift, known = ([row for row in rows if (row["Label"] == "6_Drift") is which] for which in (True, False))
    files, other = ([folder / "bonds" / row["filename"] for row in some] for some in (known, drift))
    return _material("bonds", files, [row["Label"] for row in known], [row["part"] for row in known], other, 96)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _material(
    name: str, files: list[Path], labels: list[str], groups: list[str], other: list[Path], size: int
) -> Material:
    weights, embed = _embedder(size)
    classes, numbers = np.unique(labels, return_inverse=True)
    versions = {kind: _pictures(files, change, size, embed) for kind, change in {"": lambda x: x, **CHANGES}.items()}
    return Material(
        name,
        weights,
        numbers.astype(np.int64),
        np.unique(groups, return_inverse=True)[1].astype(np.int64),
        tuple(classes.tolist()),
        versions.pop(""),
        versions,
        _pictures(other, lambda gray: gray, size, embed),
    )


def _embedder(size: int) -> tuple[str, Callable[[Gray], NDArray[np.float32]]]:
    """The frozen backbone as versions look into it."""
    from fdsearch.models.builders import build_model
    from fdsearch.models.embedding import embedding_cuts
    from fdsearch.models.weights import available
    from fdsearch.serving.embedding import with_embedding
    from fdsearch.trial import TrialConfig

    backbone = "efficientnet_lite0"
    weights = available(backbone)[0]
    params = {"backbone": backbone, "phases": "probe", "image_size": size, "weights": weights}
    config = TrialConfig.from_params(params)
    model = build_model(config, 2)
    looking = with_embedding(model, embedding_cuts(model, config))
    return weights, lambda squares: looking.predict_on_batch(squares)[1]


def _pictures(
    files: list[Path], change: Callable[[Gray], Gray], size: int, embed: Callable[[Gray], NDArray[np.float32]]
) -> Pictures:
    embedding, traits = [], []
    for start in range(0, len(files), 32):
        grays = [change(imaging.decode(file).pixels) for file in files[start : start + 32]]
        embedding.append(embed(np.stack([resize(gray, size, "stretch") for gray in grays])[..., np.newaxis]))
        traits += [measure(gray) for gray in grays]
    print(f"{len(files)} pictures", file=sys.stderr)
    return Pictures(np.concatenate(embedding), np.array(traits))


@dataclass(frozen=True)
class Deal:
    """Which pictures are the reference's and which the batch's; `batch` may be changed ones."""

    known: Ints
    fresh: Ints
    batch: Pictures


def deal(material: Material, change: str, n_parts: int, seed: int) -> Deal:
    """Deal the parts; the changed share is that of the second most frequent class."""
    generator = np.random.default_rng(seed)
    labels = material.part_labels
    frequent = np.argsort(-np.bincount(labels), kind="stable")[1]
    weights = np.where((labels == frequent) & (change == SHARE), 3.0, 1.0)
    parts = generator.choice(len(labels), min(n_parts, len(labels) // 3), replace=False, p=weights / weights.sum())
    if change == SHARE:
        # The reference keeps the shares of the set: what the batch took of the class is not missing there.
        rest = generator.permutation(np.setdiff1d(np.arange(len(labels)), parts))
        wanted = np.bincount(labels) * len(rest) / len(labels)
        taken = np.concatenate([rest[labels[rest] == label][: round(wanted[label])] for label in range(len(wanted))])
    else:
        taken = np.setdiff1d(np.arange(len(labels)), parts)
    known, fresh = (np.flatnonzero(np.isin(material.groups, some)) for some in (taken, parts))
    batch = material.changed.get(change, material.plain).rows(fresh)
    if change == PRODUCT:
        new = np.flatnonzero(np.isin(material.groups[fresh], parts[: max(1, len(parts) // 10)]))
        drawn = material.other.rows(generator.integers(0, len(material.other.traits), len(new)))
        batch.embedding[new], batch.traits[new] = drawn.embedding, drawn.traits
    return Deal(known, fresh, batch)


def sides(material: Material, dealt: Deal, folder: Path, *, fitted: bool = False) -> tuple[Reference, Batch]:
    """The reference as a registration stores it, and the batch; probabilities are those of a probe where `fitted`."""
    n_classes, known, fresh = len(material.classes), dealt.known, dealt.fresh
    inside, outside = (np.full((len(rows), n_classes), np.nan) for rows in (known, fresh))
    if fitted:
        inside, outside = _probe(material, dealt)
    path = save(
        folder,
        embedding=material.plain.embedding[known],
        labels=material.labels[known],
        groups=material.groups[known],
        probabilities=inside,
        traits=material.plain.traits[known],
        classes=material.classes,
    )
    groups = [str(group) for group in material.groups[fresh]]
    names = [str(row) for row in fresh]
    batch = Batch(names, groups, dealt.batch.embedding, outside.astype(np.float32), dealt.batch.traits)
    return Reference.parse(path.read_bytes(), str(path)), batch


def _probe(material: Material, dealt: Deal) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Calibrated probabilities: out of five grouped folds of the reference, and of the fit to all of it."""
    from sklearn.linear_model import LogisticRegression

    from fdsearch.metrics import softmax
    from fdsearch.selection.cross_fitting import calibrated

    labels, groups = material.labels[dealt.known], material.groups[dealt.known]
    whole = material.plain.embedding[dealt.known]
    inside, outside = _reduced(whole, 64, whole, dealt.batch.embedding)

    def fit(rows: NDArray[np.bool_], asked: NDArray[np.float32]) -> NDArray[np.float64]:
        probe = LogisticRegression(C=0.1, max_iter=300).fit(inside[rows], labels[rows])
        scores = np.full((len(asked), len(material.classes)), -20.0)
        scores[:, probe.classes_] = probe.predict_log_proba(asked)
        return scores

    fold = np.random.default_rng(0).permutation(groups.max() + 1)[groups] % 5
    logits = np.empty((len(labels), len(material.classes)))
    for number in range(5):
        logits[fold == number] = fit(fold != number, inside[fold == number])
    shares = np.maximum(np.bincount(labels, minlength=len(material.classes)) / len(labels), 1e-3)
    calibration, scaled = calibrated(logits[np.newaxis], labels, groups, shares)
    return softmax(scaled[0]), calibration.apply(fit(np.ones(len(labels), bool), outside))


def measured(material: Material, n_parts: int, n_looks: int, n_power: int, folder: Path) -> dict[str, Any]:
    """Everything but the comparison of tests."""
    from scipy.stats import binom

    alarms = 0
    for seed in range(n_looks):
        reference, batch = sides(material, deal(material, "", n_parts, seed), folder)
        alarms += look(reference, batch, RATE).drifted
        if (seed + 1) % 20 == 0:
            print(f"no change: {alarms} alarms in {seed + 1} looks", file=sys.stderr)
    claims, tested = dict.fromkeys(("no change", SHARE), 0), dict.fromkeys(("no change", SHARE), 0)
    power: dict[str, dict[str, float]] = {}
    for change in (*CHANGES, SHARE, PRODUCT):
        found = [0, 0]
        for seed in range(n_power):
            fitted = change == SHARE
            reference, batch = sides(material, deal(material, change, n_parts, 10_000 + seed), folder, fitted=fitted)
            findings = [look(reference, batch, each) for each in (RATE, level(RATE, 1))]
            found = [count + each.drifted for count, each in zip(found, findings, strict=True)]
            if fitted:
                claims[SHARE] += any(row.claimed for row in findings[0].label_shift)
                tested[SHARE] += classes_tested(reference, batch, seed) <= RATE
        power[change] = {"alone": found[0] / n_power, "first of many": found[1] / n_power}
        print(f"{change}: {power[change]}", file=sys.stderr)
    for seed in range(n_power):
        reference, batch = sides(material, deal(material, "", n_parts, 20_000 + seed), folder, fitted=True)
        claims["no change"] += any(row.claimed for row in look(reference, batch, RATE).label_shift)
        tested["no change"] += classes_tested(reference, batch, seed) <= RATE
    return {
        "set": material.name,
        "weights": material.weights,
        "parts": int(material.groups.max()) + 1,
        "batch_parts": n_parts,
        "rate": RATE,
        "false_alarms": {"looks": n_looks, "alarms": alarms, "bound": int(binom.ppf(0.99, n_looks, RATE))},
        "in_sequences": sequences(material, n_parts // 2, n_power, folder),
        "power": power,
        "label_shift": {name: count / n_power for name, count in claims.items()},
        "classes_tested": {name: count / n_power for name, count in tested.items()},
    }


def classes_tested(reference: Reference, batch: Batch, seed: int) -> float:
    """What `drift` does not do: a p-value of the predicted classes, by models of folds here and by their fit there."""
    named = np.eye(len(reference.classes))[
        np.concatenate([reference.probabilities, batch.probabilities]).argmax(axis=1)
    ]
    generator = np.random.default_rng(seed)
    samples = alike([reference.groups, np.asarray(batch.groups)], 1500, generator)
    units = [*samples[0], *(rows + len(reference.labels) for rows in samples[1])]
    shares = means(named, units)
    shares -= shares.mean(axis=0)
    shares /= np.sqrt(np.maximum(np.square(shares).mean(axis=0), 1e-9))
    sizes = (len(samples[0]), len(samples[1]))
    return p_values({"": quadratic(shares @ shares.T)}, sizes, RATE / 2, generator)[""]


def sequences(material: Material, n_parts: int, n_sequences: int, folder: Path) -> dict[str, Any]:
    """Looks at one reference after another, at a rate of a tenth so that there is something to count."""
    rate, any_alarm = 0.1, 0
    for seed in range(n_sequences):
        generator = np.random.default_rng(30_000 + seed)
        parts = generator.permutation(int(material.groups.max()) + 1)
        n_looks = min(SEQUENCE, len(parts) // 2 // n_parts)
        fresh = np.split(parts[: n_looks * n_parts], n_looks)
        known = np.flatnonzero(~np.isin(material.groups, np.concatenate(fresh)))
        for number, some in enumerate(fresh, start=1):
            rows = np.flatnonzero(np.isin(material.groups, some))
            reference, batch = sides(material, Deal(known, rows, material.plain.rows(rows)), folder)
            if look(reference, batch, level(rate, number)).drifted:
                any_alarm += 1
                break
    return {"rate": rate, "sequences": n_sequences, "looks": n_looks, "with an alarm": any_alarm / n_sequences}


def compared(material: Material, n_parts: int, n_looks: int) -> dict[str, dict[str, float]]:
    """Other tests of the embedding, and directions fitted to the very parts that are compared."""
    result: dict[str, dict[str, float]] = {}
    for change in ("", *CHANGES, SHARE, PRODUCT):
        found: dict[str, int] = {}
        for seed in range(n_looks):
            for name, p in _all_tests(material, deal(material, change, n_parts, 10_000 + seed), seed):
                found[name] = found.get(name, 0) + (p <= RATE)
        result[change or "no change"] = {name: count / n_looks for name, count in found.items()}
        print(f"{change or 'no change'}: {result[change or 'no change']}", file=sys.stderr)
    return result


def _all_tests(material: Material, dealt: Deal, seed: int) -> Iterator[tuple[str, float]]:
    groups = material.groups[dealt.known]
    basis = np.isin(groups, np.random.default_rng(seed).permutation(np.unique(groups))[: len(np.unique(groups)) // 3])
    for k in (16, 64):
        for name, fitted, free in (("", basis, ~basis), (" in sample", basis | True, basis | True)):
            whole = material.plain.embedding[dealt.known]
            inside, outside = _reduced(whole[fitted], k, whole[free], dealt.batch.embedding)
            points = np.concatenate([inside, outside])
            generator = np.random.default_rng(seed)
            samples = alike([groups[free], material.groups[dealt.fresh]], 1500, generator)
            units = [*samples[0], *(rows + len(inside) for rows in samples[1])]
            tests = {"energy": energy(points, units)}
            if not name:
                tests |= {"gaussian": _gaussian(points, units), "means": _means(points, units)}
                yield f"classifier {k}", _classifier(points, units, len(samples[0]), generator)
            p = p_values(tests, (len(samples[0]), len(samples[1])), RATE / 2, generator)
            yield from ((f"{test} {k}{name}", value) for test, value in p.items())


def _reduced(fitted: NDArray[np.float32], k: int, *asked: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    reduction = fit_reduction(fitted, k)
    if reduction is None:
        raise SystemExit("pictures that are all alike cannot be compared")
    return [reduction.apply(each) for each in asked]


def _gaussian(points: NDArray[np.float32], units: list[Ints]) -> Statistic:
    """Maximum mean discrepancy with a Gaussian kernel of the median distance, of the units' first pictures."""
    first = points[[unit[0] for unit in units]].astype(np.float64)
    squares = np.square(first[:, None] - first).sum(axis=2)
    return quadratic(np.exp(-squares / np.median(squares[squares > 0])))


def _means(points: NDArray[np.float32], units: list[Ints]) -> Statistic:
    """The distance of the means alone: a linear kernel."""
    centred = means(points, units)
    centred -= centred.mean(axis=0)
    return quadratic(centred @ centred.T)


def _classifier(points: NDArray[np.float32], units: list[Ints], n_first: int, generator: np.random.Generator) -> float:
    """Lopez-Paz and Oquab (2017), ICLR: a classifier fitted to half of both samples tells the other half apart."""
    values = means(points, units)
    second = np.arange(len(units)) >= n_first
    half = np.zeros(len(units), bool)
    for side in (False, True):
        rows = generator.permutation(np.flatnonzero(second == side))
        half[rows[: len(rows) // 2]] = True
    centred = values[half] - values[half].mean(axis=0)
    target = second[half] - second[half].mean()
    weights = np.linalg.solve(centred.T @ centred + len(centred) * 0.1 * np.eye(centred.shape[1]), centred.T @ target)
    order = np.flatnonzero(~half)  # the first sample's units come first
    sizes = (int((~second[order]).sum()), int(second[order].sum()))
    return p_values({"": anderson_darling(values[order] @ weights)}, sizes, RATE / 2, generator)[""]


if __name__ == "__main__":
    main()
