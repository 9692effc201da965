"""Whether something that is not the part's appearance predicts the label: a format, a size, a border, an order.

A network finds such a shortcut if there is one, scores well by it, and fails on the line. Each feature of `data.traits`
is judged twice: `data.tree_tests` finds any pattern, where a class has parts enough to learn it from; `data.rank_tests`
finds that the parts of a class, though few, lie on one side of the others. `data.audit` asks with the rows that may be
looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.data.rank_tests import Ranked, rank_tests
from fdsearch.data.traits import Feature
from fdsearch.data.tree_tests import Learnt, tree_tests
from fdsearch.metrics import groups_per_class

MIN_GROUPS = 5
"""Groups a class needs to take part: with fewer an interval over groups means nothing."""

CONFIDENCE = 0.95
"""Of all intervals together; the trees and the ranks may each miss half as often."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Answer:
    """How well a feature tells one class, or the label as a whole, and the class that it tells most surely."""

    measure: str
    whole: bool
    label: int
    score: float
    chance: float
    low: float
    high: float
    column: int | None = None

    @property
    def above(self) -> float:
        """How far the interval lies above chance."""
        return self.low - self.chance


def shortcuts(
    features: Sequence[Feature], labels: ArrayLike, groups: ArrayLike, classes: Sequence[str], random_state: int = 0
) -> tuple[list[dict[str, Any]], str]:
    """Predict the label from each feature alone.

    Parameters
    ----------
    features : sequence of Feature
        Of n pictures.
    labels, groups : array-like of int, shape (n,)
    classes : sequence of str
    random_state : int
        Seed of the folds and of the resampling, 0 or more.

    Returns
    -------
    list of dict
        One entry per feature: ``feature``; ``class``, the one that is told by it, None where it is the label as a
        whole; ``measure``, "F1" or "AUC"; ``score``; ``chance``, what is reached without knowing anything; ``ci``,
        interval of the score; ``alarm``, whether that lies above chance; ``visible``, whether a network can see the
        feature; ``reason``, which class gives itself away by what.
        An F1 is that of a class, or the macro F1, of the pooled out-of-fold predictions, averaged over three deals of
        the folds; its interval comes from resampling groups, widened for the folds' common parts and for the number of
        features and classes. An AUC is the chance that the feature's most telling number is larger (or, throughout,
        smaller) in a part of the class than in another part, as in `rank_tests`.
    str
        Which classes took no part because they have fewer than `MIN_GROUPS` groups, or why there is no entry; else
        empty.

    References
    ----------
    Geirhos et al. (2020), Shortcut learning in deep neural networks, Nature Machine Intelligence 2; Nadeau and Bengio
    (2003), Inference for the generalization error, Machine Learning 52; Dunn (1961), Multiple comparisons among means,
    JASA 56 (the number of questions).
    """
    true, group = np.asarray(labels, np.int64), np.asarray(groups, np.int64)
    counts = groups_per_class(true, group, len(classes))
    kept = np.flatnonzero(counts >= MIN_GROUPS)
    few = [f"{name} ({count})" for name, count in zip(classes, counts, strict=True) if count < MIN_GROUPS]
    why = f"classes with fewer than {MIN_GROUPS} groups take no part: {', '.join(few)}" if few else ""
    if len(kept) < 2:
        return [], f"fewer than two classes have {MIN_GROUPS} groups ({', '.join(few)})"
    if not features:
        return [], why
    rows = np.flatnonzero(np.isin(true, kept))
    true, group = np.searchsorted(kept, true[rows]).astype(np.int64), group[rows]
    values, level = [feature.values[rows] for feature in features], (1 + CONFIDENCE) / 2
    learnt = tree_tests(values, true, group, level, random_state)
    asked = range(len(kept) if len(kept) > 2 else 1)  # of two classes one is what the other is not
    ranked = rank_tests(np.hstack(values), true, group, asked, level, random_state)
    ends = np.cumsum([numbers.shape[1] for numbers in values]).tolist()
    names = [classes[label] for label in kept.tolist()]
    return [
        _entry(feature, numbers, true, [*_of_tree(tree), _of_ranks(ranked, end - numbers.shape[1], end)], names)
        for feature, numbers, tree, end in zip(features, values, learnt, ends, strict=True)
    ], why


def _of_tree(tree: Learnt) -> tuple[_Answer, _Answer]:
    """About the label as a whole, then about the class that lies farthest above chance."""
    answers = np.column_stack([tree.f1, tree.chance, tree.low, tree.high]).tolist()
    surest = int((tree.low - tree.chance)[1:].argmax())
    return _Answer("F1", True, surest, *answers[0]), _Answer("F1", False, surest, *answers[1 + surest])


def _of_ranks(tests: Sequence[Ranked], start: int, end: int) -> _Answer:
    """About the class and the column of a feature that lie farthest above chance, whether upwards or downwards."""
    auc = np.stack([test.auc[start:end] for test in tests])
    margin = np.stack([test.margin[start:end] for test in tests])
    score = 0.5 + np.abs(auc - 0.5)
    label, column = np.unravel_index(int((score - margin).argmax()), score.shape)
    best, half = float(score[label, column]), float(margin[label, column])
    return _Answer("AUC", False, int(label), best, 0.5, best - half, best + half, int(column))


def _entry(
    feature: Feature, values: Floats, labels: Ints, answers: Sequence[_Answer], classes: Sequence[str]
) -> dict[str, Any]:
    """`answers` are those about the label as a whole, then about a class: few pictures hardly change a mean."""
    told = next((answer for answer in answers if answer.above > 0), answers[0])
    return {
        "feature": feature.name,
        "class": None if told.whole else classes[told.label],
        "measure": told.measure,
        "score": told.score,
        "chance": told.chance,
        "ci": [max(told.low, 0.0), min(told.high, 1.0)],
        "alarm": told.above > 0,
        "visible": feature.visible,
        "reason": _reason(feature, values, labels, told, classes),
    }


def _reason(feature: Feature, values: Floats, labels: Ints, told: _Answer, classes: Sequence[str]) -> str:
    """The number in which a class that gives itself away differs most, and what a network has of it."""
    label, column = told.label, told.column
    inside, outside = values[labels == label].mean(axis=0), values[labels != label].mean(axis=0)
    if column is None:
        column = int(np.argmax(np.abs(inside - outside) / np.maximum(values.std(axis=0), 1e-12)))
    name, here, there = feature.columns[column], float(inside[column]), float(outside[column])
    if feature.share:
        found = f"{name} holds for {here:.0%} of {classes[label]}, for {there:.0%} of the others"
    else:
        found = f"{name} is {_plain(here)} in {classes[label]} on average, {_plain(there)} in the others"
    if feature.columns == ("row of the table",) and 1 + int((np.diff(labels) != 0).sum()) == len(classes):
        return "the table is sorted by label: harmless unless the pictures were taken in this order"
    return f"{found}; {feature.sees}"


def _plain(number: float) -> str:
    """A number with three digits at least, and all before the point.

    Examples
    --------
    >>> _plain(91.0), _plain(0.83651), _plain(166312.4)
    ('91', '0.837', '166312')
    """
    return f"{number:.0f}" if abs(number) >= 1000 else f"{number:.3g}"
