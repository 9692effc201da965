"""The corrected resampled t-test: the customary test of two recipes over folds, beside the bootstrap of `comparison`.

The folds of a cross-validation share most of what they train on, so their differences are no independent draws; the
correction widens the variance by what a fold tests over what it trains on. It is approximate, and printed as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fdsearch.data.folds import Fold
from fdsearch.metrics import UNPREDICTED, macro_f1


def corrected_t(
    y_true: ArrayLike,
    pred_a: ArrayLike,
    pred_b: ArrayLike,
    repeats: Sequence[Sequence[Fold]],
    groups: ArrayLike,
    n_classes: int,
) -> dict[str, Any]:
    """Test whether two recipes differ over the folds of all repeats; sizes are counted in groups.

    Parameters
    ----------
    y_true : array-like of int, shape (n,)
    pred_a, pred_b : array-like of int, shape (n_repeats, n)
        Predicted classes; what a repeat's folds do not validate is not read.
    repeats : sequence of sequence of Fold
        The folds of each repeat, rows 0 to n - 1.
    groups : array-like of int, shape (n,)
    n_classes : int

    Returns
    -------
    dict
        ``t`` (positive where a is better), ``df`` (folds of all repeats minus 1), ``p`` (two-sided), each None where
        the test is omitted: a fold lacks a class, so that its macro F1 is another quantity, or there is no spread to
        test against. ``why`` says so, and is empty otherwise.

    Raises
    ------
    ValueError
        If there are not as many repeats of predictions as of folds.

    References
    ----------
    Nadeau and Bengio (2003), Inference for the generalization error, Machine Learning 52 (the corrected variance);
    Bouckaert and Frank (2004), Evaluating the replicability of significance tests for comparing learning algorithms,
    PAKDD (folds of several repeats).

    Examples
    --------
    >>> rows = np.arange(12)
    >>> folds = [Fold(rows[rows % 3 != k], rows[rows % 3 == k]) for k in range(3)]
    >>> y_true, other = rows % 2, (rows % 2) ^ (rows < 4)
    >>> result = corrected_t(y_true, [y_true], [other], [folds], rows, 2)
    >>> round(result["t"], 3), result["df"]
    (2.801, 2)
    """
    true, group = np.asarray(y_true, np.int64), np.asarray(groups)
    a, b = (np.atleast_2d(np.asarray(predictions, np.int64)) for predictions in (pred_a, pred_b))
    if not len(a) == len(b) == len(repeats):
        raise ValueError(f"{len(repeats)} repeats of folds for {len(a)} and {len(b)} of predictions")
    differences, ratios = [], []
    for number, folds in enumerate(repeats):
        for fold in folds:
            rows = fold.validation[(a[number] != UNPREDICTED)[fold.validation]]
            if len(np.unique(true[rows])) < n_classes:
                return _omitted("a fold lacks a class, and without it its macro F1 is another quantity")
            scores = [macro_f1(true[rows], one[number][rows], n_classes) for one in (a, b)]
            differences.append(scores[0] - scores[1])
            ratios.append(len(np.unique(group[fold.validation])) / len(np.unique(group[fold.train])))
    if len(differences) < 2:
        return _omitted("a single fold has no spread")
    variance = float(np.var(differences, ddof=1))
    if variance < 1e-18:
        return _omitted("the difference is the same in every fold: there is no spread to test against")
    from scipy.stats import t as student

    n_folds = len(differences)
    error = np.sqrt((1 / n_folds + np.mean(ratios)) * variance)
    value = float(np.mean(differences) / error)
    return {"t": value, "df": n_folds - 1, "p": float(2 * student.sf(abs(value), n_folds - 1)), "why": ""}


def _omitted(why: str) -> dict[str, Any]:
    return {"t": None, "df": None, "p": None, "why": why}
