"""What novelty keeps from passing: classes that nobody knew, and damage of a kind that was never labelled.

On magnetic_tile each class of defects is unseen in turn: absent from the classifier (a frozen probe on the backbone's
own features), the reference and both thresholds; the method is chosen by the other classes. On generated ribbon bonds
the class ``6_Drift`` is never trained on. The threshold sends at most 5 % of regular parts to a person.

Set ``FDSEARCH_DATA`` to the folder of magnetic_tile; without it, and with ``--quick``, only the generated half runs.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch import imaging
from fdsearch.config import DecisionSpec
from fdsearch.data.folds import grouped_stratified_folds
from fdsearch.data.synthetic import synthesize
from fdsearch.metrics import softmax
from fdsearch.quiet import import_keras
from fdsearch.selection.conformal import conformal_threshold, part_scores
from fdsearch.selection.novelty import CANDIDATES, auroc, auroc_of_absent, find
from fdsearch.selection.unseen import Absences, Material
from fdsearch.training.batches import class_weights
from fdsearch.training.probe import fit_probe
from fdsearch.trial import TrialConfig
from fdsearch.unseen import NoveltySpec

SIZE = 224
RATE = 0.05
PROBE_C = 0.003
DRIFT = "6_Drift"
PROFILE = {"0_GOOD": 240, "1_Flat loop": 48, "2_White lift-off": 60, "3_Black lift-off": 48, "4_Missing": 120}
PROFILE |= {"5_Short circuit MOS": 60, DRIFT: 55}
QUICK = {label: max(14, n // 3) for label, n in PROFILE.items()}

Ints = NDArray[np.int64]


def say(words: str) -> None:
    """Progress, on stderr."""
    print(words, file=sys.stderr, flush=True)


def look(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Embedding and pooled features of pictures under a frozen EfficientNet-Lite0."""
    import_keras()
    import keras

    from fdsearch.models.builders import build_model
    from fdsearch.models.embedding import embedding_cuts
    from fdsearch.serving.embedding import with_embedding

    params = {"backbone": "efficientnet_lite0", "image_size": pixels.shape[1], "pooling": "avg_max"}
    config = TrialConfig.from_params(params)
    model = build_model(config, 2)
    joined = with_embedding(model, embedding_cuts(model, config))
    both = keras.Model(joined.inputs[0], [joined.outputs[1], model.get_layer("features").output])
    started = time.perf_counter()
    parts = [
        [np.asarray(each) for each in both(pixels[first : first + 32], training=False)]
        for first in range(0, len(pixels), 32)
    ]
    say(f"{len(pixels)} pictures in {time.perf_counter() - started:.0f} s")
    embedding, features = (np.concatenate(each) for each in zip(*parts, strict=True))
    return embedding, features


def probe_logits(features: NDArray[np.float32], labels: Ints, fold: Ints, known: NDArray[np.bool_]) -> NDArray[Any]:
    """Logits of every picture by a frozen probe without its fold and without what is not known."""
    n_classes = int(labels.max()) + 1
    logits = np.empty((len(labels), n_classes))
    for number in np.unique(fold):
        rows = np.flatnonzero((fold != number) & known)
        weights = class_weights(labels[rows], n_classes, 1.0)
        logits[fold == number] = fit_probe(features[rows], labels[rows], weights, PROBE_C).logits(
            features[fold == number]
        )
    return logits


def unseen_classes(material: Material, features: NDArray[np.float32], classes: list[str]) -> dict[str, Any]:
    """Each class of defects unseen in turn."""
    absences = Absences(material, CANDIDATES)
    defects = [label for label in range(len(classes)) if not material.passes[label]]
    found = {}

    def of_absent(method: str, absent: tuple[int, ...], but: int | None = None) -> float:
        return auroc_of_absent(material, absences.without(absent), method, but)

    for label in defects:
        others = [tuple(sorted((label, other))) for other in defects if other != label]
        method = max(CANDIDATES, key=lambda name: np.mean([of_absent(name, pair, label) for pair in others]))
        held = material.holding([label])
        logits = probe_logits(features, material.labels, material.fold, ~held)
        passes = material.passes[logits.argmax(axis=1)]
        scores = _scores(material, method, logits, held)
        found[classes[label]] = {
            "method": method,
            **_outcome(material, scores, passes, held, material.labels == label),
            "auroc_by_method": {name: round(of_absent(name, (label,)), 3) for name in CANDIDATES},
        }
        say(f"{classes[label]}: {json.dumps(found[classes[label]])}")
    return found


def _scores(material: Material, method: str, logits: NDArray[Any], held: NDArray[np.bool_]) -> NDArray[Any]:
    """Scores of all pictures by references without their fold and without those that are held back."""
    from fdsearch.novelty.measure import Novelty
    from fdsearch.novelty.space import Space

    scores = np.empty(len(logits))
    for number in np.unique(material.fold):
        judged, known = material.fold == number, (material.fold != number) & ~held
        space = Space.of(material.embedding[known])
        reference = (material.embedding[known], logits[known])
        fitted = Novelty.fit(method, space, reference, material.labels[known], material.regular[known])
        scores[judged] = fitted.raw(material.embedding[judged], logits[judged])
    return scores


def _outcome(
    material: Material,
    scores: NDArray[Any],
    passes: NDArray[np.bool_],
    held: NDArray[np.bool_],
    own: NDArray[np.bool_],
) -> dict[str, Any]:
    """Parts and pictures that pass without and with novelty, and regular parts of other folds that are sent on."""
    regular, groups = material.regular, material.groups
    counted = np.where(passes, scores, -np.inf)
    fails = part_scores((~passes[regular]).astype(float), groups[regular])[1] > 0
    names, worst = part_scores(scores[regular], groups[regular])
    cost = np.where(fails, -np.inf, worst)
    threshold = conformal_threshold(cost, RATE)[0] or np.inf
    fold = np.array([material.fold[groups == name][0] for name in names])
    alarms = sum(
        int((cost[fold == each] > (conformal_threshold(cost[fold != each], RATE)[0] or np.inf)).sum())
        for each in np.unique(fold)
    )
    part_fails = part_scores((~passes[held]).astype(float), groups[held])[1] > 0
    part_worst = part_scores(scores[held], groups[held])[1]
    alone = conformal_threshold(counted[regular], RATE)[0] or np.inf
    return {
        "parts": len(part_worst),
        "passed": int((~part_fails).sum()),
        "passed_with_novelty": int((~part_fails & (part_worst <= threshold)).sum()),
        "pictures": int(own.sum()),
        "pictures_passed": round(float(passes[own].mean()), 3),
        "pictures_passed_with_novelty": round(float((passes[own] & (scores[own] <= alone)).mean()), 3),
        "auroc": round(auroc(worst, part_worst), 3),
        "regular_parts": len(names),
        "regular_parts_rejected_anyway": int(fails.sum()),
        "regular_parts_sent": alarms,
    }


def magnetic_tile(folder: Path) -> dict[str, Any]:
    """The first half, on real pictures."""
    with (folder / "labels.csv").open() as one, (folder / "tile_groups.csv").open() as other:
        rows, tiles = list(csv.DictReader(one)), {row["filename"]: row["tile_group"] for row in csv.DictReader(other)}
    classes, labels = np.unique([row["label"] for row in rows], return_inverse=True)
    groups = np.unique([tiles[row["filename"]] for row in rows], return_inverse=True)[1]
    pixels = np.stack([imaging.load(folder / row["filename"], SIZE, "stretch") for row in rows])
    embedding, features = look(pixels)
    material = _material(embedding, features, labels.astype(np.int64), groups.astype(np.int64), classes == "Free")
    return unseen_classes(material, features, classes.tolist())


def _material(
    embedding: NDArray[np.float32],
    features: NDArray[np.float32],
    labels: Ints,
    groups: Ints,
    passes: NDArray[np.bool_],
) -> Material:
    fold = np.empty(len(labels), np.int64)
    for number, each in enumerate(grouped_stratified_folds(labels, groups, 5, 42)):
        fold[each.validation] = number
    logits = probe_logits(features, labels, fold, np.ones(len(labels), bool))
    return Material(embedding, logits, labels, groups, fold, passes)


def ribbon_bonds(folder: Path, profile: dict[str, int], size: int) -> dict[str, Any]:
    """The second half: ``6_Drift`` against everything else, on parts that nothing was fitted to."""
    synthesize(folder, profile, seed=7)
    with (folder / "labels.csv").open(encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream))
    classes, labels = np.unique([row["Label"] for row in rows], return_inverse=True)
    groups = np.unique([row["part"] for row in rows], return_inverse=True)[1]
    embedding, features = look(np.stack([imaging.load(folder / row["filename"], size, "stretch") for row in rows]))
    drift = classes[labels] == DRIFT
    fresh = groups % 3 == 0  # of the known classes: held out from everything
    dev, test = np.flatnonzero(~drift & ~fresh), np.flatnonzero(drift | fresh)
    known = _material(embedding[dev], features[dev], labels[dev], groups[dev], (classes == "0_GOOD")[:-1])
    found = find(known, classes[:-1].tolist(), NoveltySpec(false_alarm_rate=RATE), DecisionSpec())
    counts = np.bincount(labels[dev])
    logits = fit_probe(features[dev], labels[dev], len(dev) / counts / len(counts), PROBE_C).logits(features[test])
    if found.novelty is None or found.threshold is None:
        return {"why": found.why}
    scores = found.novelty.score(embedding[test], logits)
    novel, truth = scores > found.threshold, drift[test]
    hits = int((novel & truth).sum())
    good = labels[test] == classes.tolist().index("0_GOOD")
    regular = part_scores(novel[good].astype(float), groups[test][good])[1]
    return {
        "method": found.method,
        "auroc": round(auroc(scores[~truth], scores[truth]), 3),
        "auroc_softmax": round(auroc(-softmax(logits[~truth]).max(1), -softmax(logits[truth]).max(1)), 3),
        "f1": round(2 * hits / max(int(novel.sum() + truth.sum()), 1), 3),
        "recall": round(hits / int(truth.sum()), 3),
        "drift": int(truth.sum()),
        "known": int((~truth).sum()),
        "known_called_novel": int((novel & ~truth).sum()),
        "good_parts": len(regular),
        "good_parts_called_novel": int(regular.sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few generated pictures alone")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"benchmark": "novelty", "false_alarm_rate": RATE}
    data = os.environ.get("FDSEARCH_DATA")
    if data and not arguments.quick:
        result["magnetic_tile"] = magnetic_tile(Path(data) / "magnetic_tile")
    with tempfile.TemporaryDirectory() as folder:
        profile, size = (QUICK, 128) if arguments.quick else (PROFILE, SIZE)
        result["ribbon_bonds"] = ribbon_bonds(Path(folder) / "bonds", profile, size)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
