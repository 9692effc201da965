"""Whether something that is not the part's appearance predicts the label: a format, a size, a border, an order.

A network finds such a shortcut if there is one, scores well by it, and fails on the line. Each feature of `data.traits`
gets a small tree of its own, cross-validated with whole groups; `data.audit` asks with the rows that may be looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.chance import chance_per_class
from fdsearch.data.folds import Fold, grouped_stratified_folds
from fdsearch.data.traits import Feature
from fdsearch.metrics import f1_per_class, group_sums, groups_per_class, resamples

MIN_GROUPS = 5
"""Groups a class needs to take part: with fewer an interval over groups means nothing."""

N_SPLITS, N_DEALS, N_BOOT = 5, 3, 10_000
"""Folds, number of times they are dealt anew, and resamples of groups."""

CONFIDENCE = 0.95
"""Of all intervals together."""

WIDENING = (1 + N_SPLITS / (N_SPLITS - 1)) ** 0.5
"""Of an interval that resamples predictions as if they were independent: any two folds' trees have learnt from the same
parts, and a lucky set of parts is lucky in all folds (Nadeau and Bengio: the variance of the mean of k folds is 1 / k +
1 / (k - 1) of a fold's, not 1 / k)."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


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
        whole; ``score``, that class's F1, or the macro F1, of the pooled out-of-fold predictions, averaged over three
        deals of the folds; ``chance``, what predictions with these shares reach without knowing anything; ``ci``,
        interval of the score from resampling groups, widened for the folds' common parts and for the number of features
        and classes; ``alarm``, whether that lies above chance; ``visible``, whether a network can see the feature;
        ``reason``, which class gives itself away by what.
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
    deals = [grouped_stratified_folds(true, group, N_SPLITS, (random_state + deal) % 2**32) for deal in range(N_DEALS)]
    predicted = np.stack([[_predict(feature.values[rows], true, folds) for folds in deals] for feature in features])
    resampled = _above_chance(true, predicted, group, len(kept), random_state)
    tail = (1 - CONFIDENCE) / 2 / resampled[..., 0].size
    names = [classes[label] for label in kept.tolist()]
    return [
        _entry(feature, feature.values[rows], true, predictions, np.nanquantile(above, [tail, 1 - tail], axis=1), names)
        for feature, predictions, above in zip(features, predicted, resampled, strict=True)
    ], why


def _predict(values: Floats, labels: Ints, folds: Sequence[Fold]) -> Ints:
    """Out-of-fold classes of a small tree, shape (n,)."""
    from sklearn.tree import DecisionTreeClassifier

    # A tree asks for order only, and keeps its numbers in single precision: ranks are exact there, times are not.
    ranks = np.column_stack([np.unique(column, return_inverse=True)[1] for column in values.T])
    predicted = np.empty(len(labels), np.int64)
    for fold in folds:
        tree = DecisionTreeClassifier(max_depth=4, min_samples_leaf=0.02, class_weight="balanced", random_state=0)
        tree.fit(ranks[fold.train], labels[fold.train])
        predicted[fold.validation] = tree.predict(ranks[fold.validation])
    return predicted


def _above_chance(labels: Ints, predicted: Ints, groups: Ints, n_classes: int, random_state: int) -> Floats:
    """Scores minus chance in resamples of groups, averaged over the deals; every feature sees the same resamples.

    Of predictions (n_features, n_deals, n) an array (n_features, 1 + n_classes, k): the macro F1, then the F1 of each
    class, NaN where a resample lacks it.
    """
    n_features, n_deals, n = predicted.shape
    sums = group_sums(labels, predicted.reshape(-1, n), groups, n_classes)
    found = []
    for weights in resamples(len(sums), N_BOOT, random_state):
        counts = (weights @ sums.reshape(len(sums), -1)).reshape(-1, 3, n_features, n_deals, n_classes)
        hits, true, claimed = np.moveaxis(counts, 1, 0)
        f1 = 2 * hits / np.maximum(true + claimed, 1)
        by_luck = 2 * true * claimed / np.maximum(true.sum(axis=-1, keepdims=True) * (true + claimed), 1)
        above = np.where(true > 0, f1 - by_luck, np.nan).mean(axis=2)
        found.append(np.concatenate([np.nanmean(above, axis=-1, keepdims=True), above], axis=-1))
    return np.moveaxis(np.concatenate(found), 0, -1)


def _entry(
    feature: Feature, values: Floats, labels: Ints, predicted: Ints, ends: Floats, classes: Sequence[str]
) -> dict[str, Any]:
    """`predicted` is of shape (n_deals, n), `ends` are two quantiles of what `_above_chance` gives of the feature."""
    f1 = np.mean([f1_per_class(labels, deal, len(classes)) for deal in predicted], axis=0)
    by_luck = np.mean([chance_per_class(labels, deal, len(classes)) for deal in predicted], axis=0)
    scores, chances = (np.append(each.mean(), each) for each in (f1, by_luck))
    lows, highs = scores + WIDENING * (chances + ends - scores)
    above = lows - chances
    # A class of few pictures may give itself away and hardly change the mean over the classes.
    told = 0 if above[0] > 0 or above.max() <= 0 else int(above.argmax())
    return {
        "feature": feature.name,
        "class": classes[told - 1] if told else None,
        "score": float(scores[told]),
        "chance": float(chances[told]),
        "ci": [max(float(lows[told]), 0.0), min(float(highs[told]), 1.0)],
        "alarm": bool(above[told] > 0),
        "visible": feature.visible,
        "reason": _reason(feature, values, labels, told - 1 if told else int((f1 - by_luck).argmax()), classes),
    }


def _reason(feature: Feature, values: Floats, labels: Ints, label: int, classes: Sequence[str]) -> str:
    """The number in which a class that gives itself away differs most, and what a network has of it."""
    inside, outside = values[labels == label].mean(axis=0), values[labels != label].mean(axis=0)
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
