"""Whether a small tree that sees one feature alone tells the classes: any pattern that enough parts show.

For `data.shortcuts`; `data.rank_tests` asks a simpler question, which few parts can answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fdsearch.chance import chance_per_class
from fdsearch.data.folds import Fold, grouped_stratified_folds
from fdsearch.metrics import f1_per_class, group_sums, resamples

N_SPLITS, N_DEALS, N_BOOT = 5, 3, 10_000
"""Folds, number of times they are dealt anew, and resamples of groups."""

WIDENING = (1 + N_SPLITS / (N_SPLITS - 1)) ** 0.5
"""Of an interval that resamples predictions as if they were independent: any two folds' trees have learnt from the same
parts, and a lucky set of parts is lucky in all folds (Nadeau and Bengio: the variance of the mean of k folds is 1 / k +
1 / (k - 1) of a fold's, not 1 / k)."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Learnt:
    """What a tree has learnt from one feature: arrays of the macro F1, then the F1 of each class.

    Parameters
    ----------
    f1 : ndarray of float64, shape (1 + n_classes,)
        Of the pooled out-of-fold predictions, averaged over three deals of the folds.
    chance : ndarray of float64, shape (1 + n_classes,)
        What predictions with these shares reach without knowing anything.
    low, high : ndarray of float64, shape (1 + n_classes,)
        Interval of `f1`, simultaneous for all features and classes.
    """

    f1: Floats
    chance: Floats
    low: Floats
    high: Floats


def tree_tests(
    features: Sequence[Floats], labels: Ints, groups: Ints, level: float, random_state: int = 0
) -> list[Learnt]:
    """Cross-validate a small tree on each feature, with whole groups.

    The intervals come from resampling groups, widened for the folds' common parts and for the number of features and
    classes.

    Parameters
    ----------
    features : sequence of ndarray of float64, shape (n, n_columns)
    labels : ndarray of int64, shape (n,)
        Every class from 0 on has `N_SPLITS` groups.
    groups : ndarray of int64, shape (n,)
    level : float
        Of all intervals together, e.g. 0.95.
    random_state : int
        Seed of the folds and of the resampling, 0 or more.

    Returns
    -------
    list of Learnt
        One for each feature.

    References
    ----------
    Nadeau and Bengio (2003), Inference for the generalization error, Machine Learning 52; Dunn (1961), Multiple
    comparisons among means, JASA 56 (the number of questions).
    """
    n_classes = int(labels.max()) + 1
    seeds = [(random_state + deal) % 2**32 for deal in range(N_DEALS)]
    deals = [grouped_stratified_folds(labels, groups, N_SPLITS, seed) for seed in seeds]
    predicted = np.stack([[_predict(values, labels, folds) for folds in deals] for values in features])
    resampled = _above_chance(labels, predicted, groups, n_classes, random_state)
    tail = (1 - level) / 2 / resampled[..., 0].size
    found = []
    for predictions, above in zip(predicted, resampled, strict=True):
        per_class = np.mean([f1_per_class(labels, deal, n_classes) for deal in predictions], axis=0)
        by_luck = np.mean([chance_per_class(labels, deal, n_classes) for deal in predictions], axis=0)
        f1, chance = (np.append(each.mean(), each) for each in (per_class, by_luck))
        ends = np.nanquantile(above, [tail, 1 - tail], axis=1)
        found.append(Learnt(f1, chance, *(f1 + WIDENING * (chance + ends - f1))))
    return found


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
