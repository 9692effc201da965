"""Choose how novelty is measured, from which value on a part is novel, and say what that is worth.

The method is chosen by classes that are left out of everything (`unseen`), the threshold by regular parts that are
left out of the reference (`conformal`). `pipeline.novelty` calls this with a candidate's pictures and stores the answer
with the version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.config import DecisionSpec
from fdsearch.novelty.measure import Novelty
from fdsearch.novelty.methods import METHODS
from fdsearch.novelty.space import Space
from fdsearch.selection.conformal import conformal_threshold, part_scores
from fdsearch.selection.unseen import Absences, Material, Unseen, passing
from fdsearch.unseen import NoveltySpec

AUTO, BINARY, FIRST = "auto", "binary", "mahalanobis"
"""`FIRST` is taken where no class can be left out."""

CANDIDATES = tuple(name for name in METHODS if name != BINARY)
MAX_UNSEEN = 8
"""Classes that are left out at most, those of the most parts: with each the pairs grow, too."""

_FEWEST = 2

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Found:
    """What is known about novelty.

    Parameters
    ----------
    novelty : Novelty or None
        Fitted to all pictures; None without a threshold.
    method : str
    threshold : float or None
        On `Novelty.score`; None where `why` says why.
    why : str or None
    evidence : mapping
        JSON values, see `find`.
    """

    novelty: Novelty | None
    method: str
    threshold: float | None
    why: str | None
    evidence: Mapping[str, Any]


def find(
    material: Material,
    classes: Sequence[str],
    spec: NoveltySpec,
    decision: DecisionSpec,
    examples: NDArray[np.float32] | None = None,
) -> Found:
    """Choose method and threshold.

    Parameters
    ----------
    material : Material
    classes : sequence of str
    spec : NoveltySpec
    decision : DecisionSpec
        By which the parts of an unseen class pass.
    examples : ndarray of float32, shape (m, d), optional
        Embeddings of pictures that show drift, for the method ``binary``.

    Returns
    -------
    Found
        With the evidence ``n_regular`` (parts), ``methods`` (mean AUROC of unseen classes' parts against
        regular parts, by method, or None), ``false_alarms`` (``parts``, ``sent``: regular parts that would pass and
        exceed a threshold made of other folds), ``unseen`` (see `report`) and ``examples`` (their number).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> labels = np.repeat([0, 1, 2], [60, 12, 12])
    >>> pictures = rng.normal(size=(84, 6)) + np.eye(6)[labels] * [0, 9, 9, 0, 0, 0]
    >>> logits = -((pictures[:, None] - np.eye(3, 6) * [0, 9, 9, 0, 0, 0]) ** 2).sum(axis=2) / 20
    >>> each = np.arange(84)
    >>> known = Material(pictures.astype(np.float32), logits, labels, each, each % 4, np.arange(3) < 1)
    >>> found = find(known, ["free", "crack", "hole"], NoveltySpec(), DecisionSpec())
    >>> found.threshold is not None, found.evidence["unseen"]["crack"]["passed_with_novelty"]
    (True, 0)
    """
    regular = material.regular
    evidence: dict[str, Any] = {"n_regular": len(np.unique(material.groups[regular]))}
    fixed: str = spec.method if spec.method != AUTO else FIRST
    if evidence["n_regular"] < _FEWEST or any(
        regular[material.fold != fold].sum() < _FEWEST for fold in np.unique(material.fold)
    ):
        return Found(None, fixed, None, "there are too few regular parts to learn from", evidence)
    left_out = _classes_to_leave_out(material)
    methods = CANDIDATES if spec.method == AUTO else (spec.method,)
    absences = Absences(material, [method for method in methods if method != BINARY])
    table = None if spec.method == BINARY else _table(absences, material, [(each,) for each in left_out])
    evidence["methods"] = table
    method = max(table, key=table.__getitem__) if table and spec.method == AUTO else fixed
    judged = _left_out_scores(material, method, examples)
    sent = _would_be_sent(material, judged, material.passes[material.logits.argmax(axis=1)])
    threshold, why = conformal_threshold(sent[1], spec.false_alarm_rate)
    evidence["false_alarms"] = _false_alarms(material, sent, spec.false_alarm_rate)
    if table is not None:
        evidence["unseen"] = {
            classes[each]: report(absences, material, each, left_out, spec, decision) for each in left_out
        }
    evidence["examples"] = 0 if examples is None else len(examples)
    whole = _fitted(material, np.arange(len(regular)), method, examples).scaled(judged[regular])
    if threshold is None or not np.isfinite(threshold):
        return Found(None, method, None, why or "no regular part would pass", evidence)
    return Found(whole, method, whole.told(threshold), None, evidence)


def report(
    absences: Absences,
    material: Material,
    label: int,
    left_out: Sequence[int],
    spec: NoveltySpec,
    decision: DecisionSpec,
) -> dict[str, Any]:
    """What happens to the parts of a class that had no part in anything, the choice of the method among it.

    Returns
    -------
    dict
        ``parts``, ``method`` (chosen by the other classes), ``auroc`` (against regular parts), ``by`` (``decision`` or
        ``label``: what lets a part pass), ``passed`` and ``passed_with_novelty`` (parts).
    """
    method: str = spec.method if spec.method != AUTO else FIRST
    others = [tuple(sorted((label, other))) for other in left_out if other != label]
    if spec.method == AUTO and (table := _table(absences, material, others, label)):
        method = max(table, key=table.__getitem__)
    alone = absences.without((label,))
    passes, by = passing(material, alone, decision)
    scores = alone.scores[method]
    sent = _would_be_sent(material, scores, material.passes[alone.logits.argmax(axis=1)])
    threshold, _ = conformal_threshold(sent[1], spec.false_alarm_rate)
    held = material.holding((label,))
    _, worst = part_scores(scores[held], material.groups[held])
    _, fails = part_scores((~passes[held]).astype(float), material.groups[held])
    novel = worst > (np.inf if threshold is None else threshold)
    regular = part_scores(scores[material.regular], material.groups[material.regular])[1]
    return {
        "parts": len(worst),
        "method": method,
        "auroc": auroc(regular, worst),
        "by": by,
        "passed": int((fails == 0).sum()),
        "passed_with_novelty": int(((fails == 0) & ~novel).sum()),
    }


def auroc(negative: Floats, positive: Floats) -> float:
    """Chance that a positive has the larger score than a negative; ties count half.

    Examples
    --------
    >>> auroc(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    0.875
    """
    below = np.searchsorted(np.sort(negative), positive, side="left")
    upto = np.searchsorted(np.sort(negative), positive, side="right")
    return float((below + upto).mean() / 2 / len(negative))


def auroc_of_absent(material: Material, unseen: Unseen, method: str, but: int | None = None) -> float:
    """AUROC of the parts of absent classes, of which `but` is not judged, against regular parts; 0.5 without such."""
    scores, regular = unseen.scores[method], material.regular
    # A part that shows the class that is reported as well may not choose its method.
    held = material.holding([each for each in unseen.absent if each != but])
    held &= ~material.holding([] if but is None else [but])
    if not held.any():
        return 0.5
    worst = part_scores(scores[held], material.groups[held])[1]
    return auroc(part_scores(scores[regular], material.groups[regular])[1], worst)


def _classes_to_leave_out(material: Material) -> list[int]:
    """Classes that may not pass, those of the most parts first, as far as something is left when one is absent."""
    counts = {
        int(label): len(np.unique(material.groups[material.labels == label]))
        for label in np.unique(material.labels)
        if not material.passes[label]
    }
    return sorted(counts, key=counts.__getitem__, reverse=True)[:MAX_UNSEEN]


def _table(
    absences: Absences, material: Material, absent: Sequence[tuple[int, ...]], but: int | None = None
) -> dict[str, float] | None:
    """Mean AUROC of each method over absent classes, of which `but` is not judged."""
    if not absent:
        return None
    scored = [absences.without(each) for each in absent]
    return {
        method: float(np.mean([auroc_of_absent(material, each, method, but) for each in scored]))
        for method in absences.methods
    }


def _fitted(material: Material, rows: NDArray[np.int64], method: str, examples: NDArray[np.float32] | None) -> Novelty:
    """A method fitted to some of the pictures, and to the examples where it needs them."""
    regular, embedding = material.regular[rows], material.embedding[rows]
    space = Space.of(embedding)
    logits, labels = material.logits[rows], material.labels[rows]
    if method == BINARY and examples is not None:
        known = np.ones(len(rows) + len(examples), bool)
        known[len(rows) :] = False
        embedding = np.concatenate([embedding, examples])
        logits = np.concatenate([logits, np.zeros((len(examples), logits.shape[1]))])
        labels = np.concatenate([labels, np.zeros(len(examples), np.int64)])
        return Novelty.fit(method, space, (embedding, logits), labels, known)
    return Novelty.fit(method, space, (embedding, logits), labels, regular)


def _left_out_scores(material: Material, method: str, examples: NDArray[np.float32] | None) -> Floats:
    """Raw scores of all pictures by references without their fold, shape (n,)."""
    scores = np.empty(len(material.labels))
    for fold in np.unique(material.fold):
        judged, known = (np.flatnonzero(each) for each in (material.fold == fold, material.fold != fold))
        fitted = _fitted(material, known, method, examples)
        scores[judged] = fitted.raw(material.embedding[judged], material.logits[judged])
    return scores


def _would_be_sent(material: Material, scores: Floats, labelled: Bools) -> tuple[NDArray[np.int64], Floats]:
    """Regular parts with what their novelty costs: the largest score, or nothing where the part does not pass anyway.

    Passing by label is the weakest condition a decision can have, so the rate holds for every one.
    """
    regular = material.regular
    names, worst = part_scores(scores[regular], material.groups[regular])
    fails = part_scores((~labelled[regular]).astype(float), material.groups[regular])[1]
    return names, np.where(fails > 0, -np.inf, worst)


def _false_alarms(material: Material, sent: tuple[NDArray[np.int64], Floats], rate: float) -> dict[str, Any]:
    """Regular parts above thresholds that were made without their fold."""
    names, scores = sent
    order = np.argsort(material.groups, kind="stable")
    fold = material.fold[order[np.searchsorted(material.groups[order], names)]]
    n_sent = n_parts = 0
    for number in np.unique(fold):
        threshold, _ = conformal_threshold(scores[fold != number], rate)
        if threshold is not None:
            n_parts += int((fold == number).sum())
            n_sent += int((scores[fold == number] > threshold).sum())
    return {"parts": n_parts, "sent": n_sent}
