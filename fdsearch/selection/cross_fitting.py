"""Calibrate every part by a fit to other parts, as the parts of tomorrow will be.

A calibration makes the very pictures it was fitted to look better than they are: their defective parts a little worse,
so that a threshold tested on them escapes more than it seems. `reliability` and `promise` therefore see these logits;
the one calibration that ships is fitted to all parts (`calibration`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.selection.calibration import Calibration, prior_shift, supported_fit

Calibrate = Callable[[NDArray[np.float64], NDArray[np.int64]], Calibration]
"""(logits (n_repeats, m, n_classes), y_true (m,)) -> Calibration."""


def calibrated(
    logits: ArrayLike, y_true: ArrayLike, groups: ArrayLike, effective_shares: ArrayLike
) -> tuple[Calibration, NDArray[np.float64]]:
    """Set the class shares right and fit what the data can carry: once to all parts, and once to the others of each.

    Parameters
    ----------
    logits, y_true, groups
        As in `cross_fitted`.
    effective_shares : array-like, shape (n_classes,)
        As in `fdsearch.selection.calibration.prior_shift`.

    Returns
    -------
    Calibration
        That ships.
    ndarray of float64, shape (n_repeats, n, n_classes)
        From `cross_fitted`: what is to be measured and tested.

    Raises
    ------
    ValueError
        If no row was predicted.
    """
    fit = supported_fit(logits, y_true, groups)

    def calibrate(some: ArrayLike, true: ArrayLike) -> Calibration:
        return fit(some, true, prior_shift(true, effective_shares))

    return calibrate(logits, y_true), cross_fitted(logits, y_true, groups, calibrate)


def cross_fitted(
    logits: ArrayLike, y_true: ArrayLike, groups: ArrayLike, calibrate: Calibrate, n_folds: int = 5
) -> NDArray[np.float64]:
    """Return logits as they are calibrated by fits to the groups of other folds.

    Parameters
    ----------
    logits : array-like, shape (n_repeats, n, n_classes)
        Out of fold; NaN rows were not predicted.
    y_true : array-like of int, shape (n,)
    groups : array-like, shape (n,)
        Pictures of one group are on one side of every fit.
    calibrate : callable
        Makes each fit; it never sees a picture that no repeat predicted.
    n_folds : int
        At least 2; fewer where there are fewer groups.

    Returns
    -------
    ndarray of float64, shape (n_repeats, n, n_classes)
        Logits whose softmax are the probabilities; NaN where there was no prediction, or no other group to fit to.

    References
    ----------
    Chernozhukov and others (2018), Double/debiased machine learning, The Econometrics Journal 21(1) (cross-fitting).

    Examples
    --------
    >>> logits, y_true = [[[4.0, 0.0], [0.0, 4.0], [4.0, 0.0], [0.0, 4.0]]], [0, 1, 1, 1]
    >>> cross_fitted(logits, y_true, [7, 7, 8, 8], lambda some, true: Calibration(1.0 + sum(true), (0.0, 0.0)))[0, :, 0]
    array([1.33333333, 0.        , 2.        , 0.        ])
    """
    values, true, group = np.asarray(logits, np.float64), np.asarray(y_true, np.int64), np.asarray(groups)
    seen = np.flatnonzero(~np.isnan(values).any(axis=-1).all(axis=0))
    names, index = np.unique(group[seen], return_inverse=True)
    scaled = np.full_like(values, np.nan)
    if len(names) < 2:
        return scaled
    # RandomState, not Generator: its stream never changes (NEP 19).
    fold = (np.random.RandomState(0).permutation(len(names)) % min(n_folds, len(names)))[index]
    for number in np.unique(fold):
        judged, fitted = seen[fold == number], seen[fold != number]
        scaled[:, judged] = calibrate(values[:, fitted], true[fitted]).scaled(values[:, judged])
    return scaled
