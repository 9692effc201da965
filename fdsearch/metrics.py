"""Scores as pure numpy functions of (y_true, y_pred or y_score, groups), the group bootstrap among them.

A base module: training, selection and serving all score with this code. The rules that turn bootstrap samples into a
printed interval are `fdsearch.selection.intervals`. scikit-learn's scores are the reference in the tests; they are
not used here because importing them takes seconds and the bootstrap needs thousands of scores at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Metric = Callable[[ArrayLike, ArrayLike], float]
"""(y_true (n,), y_score (n, n_classes) logits or probabilities) -> score, larger is better."""

UNPREDICTED = -1
"""Stands in a row of predictions for a picture that was not predicted; such rows are left out of every score."""

_CHUNK_BYTES = 1 << 26


def predict(y_score: ArrayLike) -> Ints:
    """Return the class of the largest score.

    Parameters
    ----------
    y_score : array-like, shape (..., n_classes)
        Logits or probabilities; a row that holds NaN was not predicted.

    Returns
    -------
    ndarray of int64, shape (...)
        `UNPREDICTED` where the row holds NaN; the first of equal classes.

    Examples
    --------
    >>> predict([[0.1, 2.0], [float("nan"), float("nan")]])
    array([ 1, -1])
    """
    scores = np.asarray(y_score)
    return np.where(np.isnan(scores).any(axis=-1), UNPREDICTED, scores.argmax(axis=-1)).astype(np.int64)


def confusion(y_true: ArrayLike, y_pred: ArrayLike, n_classes: int) -> Ints:
    """Count pictures by (true class, predicted class).

    Parameters
    ----------
    y_true : array-like of int, shape (n,)
        0 to n_classes - 1.
    y_pred : array-like of int, shape (n,)
        0 to n_classes - 1, or `UNPREDICTED`.
    n_classes : int

    Returns
    -------
    ndarray of int64, shape (n_classes, n_classes)
        Rows are true classes.

    Raises
    ------
    ValueError
        If the shapes differ or a class is out of range.

    Examples
    --------
    >>> confusion([0, 0, 1], [0, 1, 1], 2)
    array([[1, 1],
           [0, 1]])
    """
    true, predicted = _checked(y_true, y_pred, n_classes)
    known = predicted != UNPREDICTED
    cells = true[known] * n_classes + predicted[known]
    return np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes).astype(np.int64)


def f1_per_class(y_true: ArrayLike, y_pred: ArrayLike, n_classes: int) -> Floats:
    """Return F1 of each class, shape (n_classes,), 0 to 1; 0 for a class that is neither true nor predicted."""
    table = confusion(y_true, y_pred, n_classes)
    return _f1(table.diagonal(), table.sum(axis=1), table.sum(axis=0))


def macro_f1(y_true: ArrayLike, y_pred: ArrayLike, n_classes: int) -> float:
    """Return the mean F1 of the classes that occur in `y_true`, 0 to 1; NaN where there is no row.

    Arguments and errors as in `confusion`. Never average this over batches or folds: pool the predictions.

    Examples
    --------
    >>> macro_f1([0, 0, 1, 1], [0, 0, 1, 0], 3)
    0.7333333333333334
    """
    table = confusion(y_true, y_pred, n_classes)
    return float(_macro_f1(table.diagonal(), table.sum(axis=1), table.sum(axis=0)))


def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Return the share of predicted pictures whose class is right, 0 to 1; NaN where there is none."""
    true, predicted = _checked(y_true, y_pred)
    known = predicted != UNPREDICTED
    return float((true[known] == predicted[known]).mean()) if known.any() else float("nan")


def softmax(logits: ArrayLike) -> Floats:
    """Return probabilities along the last axis, float64; safe for logits of any size.

    Examples
    --------
    >>> softmax([[0.0, 0.0], [1000.0, 0.0]])
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    exponentials = np.exp(_shifted(logits))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def log_loss(y_true: ArrayLike, logits: ArrayLike) -> float:
    """Return the mean negative log-probability of the true classes, in nats; logits (n, n_classes) must be finite."""
    shifted = _shifted(logits)
    true = np.asarray(y_true, dtype=np.int64)
    log_total = np.log(np.exp(shifted).sum(axis=-1))
    return float((log_total - np.take_along_axis(shifted, true[:, None], axis=-1)[:, 0]).mean())


def per_class_report(
    y_true: ArrayLike, y_pred: ArrayLike, classes: Sequence[str], groups: ArrayLike
) -> dict[str, dict[str, Any]]:
    """Return precision, recall and F1 of each class beside what they rest on.

    Parameters
    ----------
    y_true, y_pred : array-like of int, shape (n,)
        As in `confusion`.
    classes : sequence of str
    groups : array-like, shape (n,)

    Returns
    -------
    dict
        Class -> ``precision, recall, f1`` (0 to 1; None where nothing is predicted, or true, so that it has no
        value), ``support`` (pictures) and ``groups`` (parts), both of the true class.

    Examples
    --------
    >>> per_class_report([0, 0, 1], [0, 1, 1], ["good", "bent"], [7, 7, 8])["bent"]
    {'precision': 0.5, 'recall': 1.0, 'f1': 0.6666666666666666, 'support': 1, 'groups': 1}
    """
    table = confusion(y_true, y_pred, len(classes))
    true, predicted = _checked(y_true, y_pred)
    known = predicted != UNPREDICTED
    n_groups = groups_per_class(true[known], np.asarray(groups)[known], len(classes))
    report = {}
    for index, name in enumerate(classes):
        hits, support, claims = (int(n) for n in (table[index, index], table[index].sum(), table[:, index].sum()))
        report[name] = {
            "precision": hits / claims if claims else None,
            "recall": hits / support if support else None,
            "f1": 2 * hits / (support + claims) if support else None,
            "support": support,
            "groups": int(n_groups[index]),
        }
    return report


def groups_per_class(y_true: ArrayLike, groups: ArrayLike, n_classes: int) -> Ints:
    """Count the groups that hold each class, shape (n_classes,); a group with several classes counts in each."""
    pairs = np.unique(
        np.column_stack([np.asarray(y_true, np.int64), np.unique(groups, return_inverse=True)[1]]), axis=0
    )
    return np.bincount(pairs[:, 0], minlength=n_classes).astype(np.int64)


def group_bootstrap(
    y_true: ArrayLike, y_pred: ArrayLike, groups: ArrayLike, n_classes: int, n_boot: int = 2000, random_state: int = 0
) -> Floats:
    """Resample whole groups and return the macro F1 of several predictors in each resample.

    All predictors see the same resamples, so differences between rows are paired; all classes are drawn jointly.

    Parameters
    ----------
    y_true : array-like of int, shape (n,)
    y_pred : array-like of int, shape (m, n) or (n,)
        One row per predictor (trial or repeat); `UNPREDICTED` leaves a picture out of that row.
    groups : array-like, shape (n,)
    n_classes : int
    n_boot, random_state : int
        Number of resamples, and their seed.

    Returns
    -------
    ndarray of float64, shape (m, n_boot)
        NaN where a resample holds no picture that the row predicts.

    Raises
    ------
    ValueError
        If the arrays do not fit together, or nothing was predicted.

    References
    ----------
    Field and Welsh (2007), Bootstrapping clustered data, J. R. Stat. Soc. B 69(3): the randomised cluster bootstrap.

    Examples
    --------
    >>> group_bootstrap([0, 0, 1, 1], [0, 0, 1, 1], [0, 1, 2, 3], 2, n_boot=3)
    array([[1., 1., 1.]])
    """
    sums = group_sums(y_true, y_pred, groups, n_classes)
    weights = resamples(len(sums), n_boot, random_state)
    return np.concatenate([resampled_macro_f1(sums, some) for some in weights], axis=1)


def group_sums(y_true: ArrayLike, y_pred: ArrayLike, groups: ArrayLike, n_classes: int) -> Floats:
    """Return per group what macro F1 needs, so that scoring a resample is a matrix product, not a pass over pictures.

    Arguments as in `group_bootstrap`; shape (n_groups, 3, m, n_classes): hits, true and predicted pictures. Groups
    that nobody predicted are left out.
    """
    predictions, group = np.atleast_2d(np.asarray(y_pred, np.int64)), np.asarray(groups)
    seen = (predictions != UNPREDICTED).any(axis=0)
    if group.shape != seen.shape or not seen.any():
        raise ValueError(f"groups must name the part of each of {len(seen)} pictures, some of them predicted")
    true, group = np.asarray(y_true, np.int64)[seen], np.unique(group[seen], return_inverse=True)[1]
    n_groups = int(group.max()) + 1
    sums = np.zeros((n_groups, 3, len(predictions), n_classes))
    for row, predicted in enumerate(predictions[:, seen]):
        _checked(true, predicted, n_classes)
        known = predicted != UNPREDICTED
        right = known & (true == predicted)
        for kind, (mask, label) in enumerate([(right, true), (known, true), (known, predicted)]):
            cells = group[mask] * n_classes + label[mask]
            sums[:, kind, row] = np.bincount(cells, minlength=n_groups * n_classes).reshape(n_groups, n_classes)
    return sums


def resampled_macro_f1(sums: Floats, weights: ArrayLike) -> Floats:
    """Score resamples that hold each group so many times; weights (k, n_groups) -> scores (m, k)."""
    counts = np.asarray(weights, np.float64) @ sums.reshape(len(sums), -1)
    hits, true, predicted = np.moveaxis(counts.reshape(-1, *sums.shape[1:]), 1, 0)
    return _macro_f1(hits, true, predicted).T


def resamples(n_groups: int, n_boot: int, random_state: int) -> Iterator[Floats]:
    """Draw groups with replacement: yield how often each resample holds each group, arrays of shape (k, n_groups).

    The k add up to `n_boot`; only some resamples are held at a time, to bound memory.
    """
    generator = np.random.default_rng(random_state)
    chunk = max(1, _CHUNK_BYTES // (8 * max(1, n_groups)))
    for start in range(0, n_boot, chunk):
        k = min(chunk, n_boot - start)
        # Counting indices is ten times faster than Generator.multinomial.
        drawn = generator.integers(0, n_groups, (k, n_groups)) + n_groups * np.arange(k)[:, None]
        yield np.bincount(drawn.ravel(), minlength=k * n_groups).reshape(k, n_groups).astype(np.float64)


def score_macro_f1(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Return the macro F1 of the classes with the largest score; a `Metric`."""
    return macro_f1(y_true, predict(y_score), np.shape(y_score)[-1])


METRICS: Mapping[str, Metric] = {"macro_f1": score_macro_f1}
"""What a study may name as its objective."""


def _checked(y_true: ArrayLike, y_pred: ArrayLike, n_classes: int | None = None) -> tuple[Ints, Ints]:
    true, predicted = np.asarray(y_true, np.int64), np.asarray(y_pred, np.int64)
    if true.ndim != 1 or true.shape != predicted.shape:
        raise ValueError(f"y_true and y_pred must be flat and equally long, got {true.shape} and {predicted.shape}")
    if n_classes is not None and len(true):
        if true.min() < 0 or true.max() >= n_classes:
            raise ValueError(f"y_true must be in 0..{n_classes - 1}, got {true.min()}..{true.max()}")
        if predicted.min() < UNPREDICTED or predicted.max() >= n_classes:
            raise ValueError(f"y_pred must be in -1..{n_classes - 1}, got {predicted.min()}..{predicted.max()}")
    return true, predicted


def _shifted(logits: ArrayLike) -> Floats:
    values = np.asarray(logits, dtype=np.float64)
    return np.asarray(values - values.max(axis=-1, keepdims=True))


def _f1(hits: NDArray[Any], true: NDArray[Any], predicted: NDArray[Any]) -> Floats:
    return np.asarray(2.0 * hits / np.maximum(true + predicted, 1))


def _macro_f1(hits: NDArray[Any], true: NDArray[Any], predicted: NDArray[Any]) -> Floats:
    """Mean F1 over the last axis, of the classes with true pictures; NaN where there are none."""
    present = true > 0
    n_present = present.sum(axis=-1)
    total = (_f1(hits, true, predicted) * present).sum(axis=-1)
    return np.where(n_present > 0, total / np.maximum(n_present, 1), np.nan)
