"""What happens to parts of a class that nobody knew: each class of defects is left out of everything in turn.

A class that is absent has no part in the head, the calibration, the threshold of the decision, the reference and the
threshold of novelty. `novelty` chooses a method by it and reports it. The classifier is a frozen probe in the space of
the embeddings, as one that trains a backbone for every absent class could not be paid for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fdsearch.config import DecisionSpec
from fdsearch.decide import severities
from fdsearch.metrics import softmax
from fdsearch.novelty.measure import Novelty
from fdsearch.novelty.space import Space
from fdsearch.parameters import PARAMETERS
from fdsearch.selection.cross_fitting import calibrated
from fdsearch.selection.decision import pass_rule
from fdsearch.training.batches import class_weights
from fdsearch.training.probe import fit_probe

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

PROBE_C = float(PARAMETERS["probe_c"].default)
"""Inverse penalty of the probe."""


@dataclass(frozen=True, eq=False)
class Material:
    """The development pictures, n of them, as novelty sees them.

    Parameters
    ----------
    embedding : ndarray of float32, shape (n, d)
    logits : ndarray of float64, shape (n, n_classes)
        Out of fold.
    labels, groups : ndarray of int64, shape (n,)
        Class and part; where pictures stand for themselves, each is a part.
    fold : ndarray of int64, shape (n,)
        The fold that leaves the picture out; no part is in two.
    passes : ndarray of bool, shape (n_classes,)
        The classes that let a part pass.
    """

    embedding: NDArray[np.float32]
    logits: Floats
    labels: Ints
    groups: Ints
    fold: Ints
    passes: Bools

    @property
    def regular(self) -> Bools:
        """Pictures of parts all of whose pictures may pass, shape (n,)."""
        return ~np.isin(self.groups, self.groups[~self.passes[self.labels]])

    def holding(self, absent: Sequence[int]) -> Bools:
        """Pictures of parts that show one of some classes, shape (n,)."""
        return np.isin(self.groups, self.groups[np.isin(self.labels, absent)])


@dataclass(frozen=True, eq=False)
class Unseen:
    """Every picture, scored by what does not know some classes.

    Parameters
    ----------
    absent : tuple of int
    scores : dict of str to ndarray of float64, shape (n,)
        By method; each picture is scored by a reference that lacks its fold and the absent classes.
    logits : ndarray of float64, shape (n, n_classes)
        Of a probe that lacks them too.
    """

    absent: tuple[int, ...]
    scores: dict[str, Floats]
    logits: Floats


class Absences:
    """Scores pictures in the absence of classes, for each set of them once.

    Parameters
    ----------
    material : Material
    methods : sequence of str
        Keys of `fdsearch.novelty.methods.METHODS`.
    """

    def __init__(self, material: Material, methods: Sequence[str]) -> None:
        self._material, self.methods = material, tuple(methods)
        self._known: dict[tuple[int, ...], Unseen] = {}

    def without(self, absent: Sequence[int]) -> Unseen:
        """Score all pictures without some classes."""
        key = tuple(sorted(absent))
        if key not in self._known:
            self._known[key] = self._score(key)
        return self._known[key]

    def _score(self, absent: tuple[int, ...]) -> Unseen:
        material = self._material
        logits = np.empty_like(material.logits)
        scores = {method: np.empty(len(logits)) for method in self.methods}
        left_out, regular = material.holding(absent), material.regular
        for number in np.unique(material.fold):
            judged = np.flatnonzero(material.fold == number)
            known = np.flatnonzero((material.fold != number) & ~left_out)
            space = Space.of(material.embedding[known])
            logits[judged], of_known = self._probe(space, known, judged)
            for method in self.methods:
                reference = (material.embedding[known], of_known)
                fitted = Novelty.fit(method, space, reference, material.labels[known], regular[known])
                scores[method][judged] = fitted.raw(material.embedding[judged], logits[judged])
        return Unseen(absent, scores, logits)

    def _probe(self, space: Space, known: Ints, judged: Ints) -> tuple[Floats, Floats]:
        """Logits of the judged and of the known pictures, these by the very probe that was fitted to them."""
        material = self._material
        coordinates, _ = space.reduce(material.embedding)
        weights = class_weights(material.labels[known], len(material.passes), 1.0)
        head = fit_probe(coordinates[known], material.labels[known], weights, PROBE_C)
        answers = [head.logits(coordinates[rows]).astype(np.float64) for rows in (judged, known)]
        return answers[0], answers[1]


def passing(material: Material, unseen: Unseen, spec: DecisionSpec) -> tuple[Bools, str]:
    """Which pictures would pass if the absent classes were unknown.

    Returns
    -------
    ndarray of bool, shape (n,)
        By the threshold that the study's promise gives on the known classes; where none is proven, by the label.
    str
        ``decision`` or ``label``.
    """
    present = np.setdiff1d(np.unique(material.labels), unseen.absent)
    mask, by_label = material.passes[present], material.passes[unseen.logits.argmax(axis=1)]
    known = np.flatnonzero(~material.holding(unseen.absent))
    if spec.max_escape_rate is None or mask.all() or not mask.any():
        return by_label, "label"
    logits, labels = unseen.logits[:, present], np.searchsorted(present, material.labels[known])
    shares = np.full(len(present), 1 / len(present))
    calibration, crossed = calibrated(logits[None, known], labels, material.groups[known], shares)
    found = pass_rule(softmax(crossed), labels, material.groups[known], mask, spec)
    if found["rule"] is None:
        return by_label, "label"
    return severities(calibration.apply(logits), mask, found["rule"]) == 0, "decision"
