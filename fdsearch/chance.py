"""What a score is worth: the macro F1 that the same predictions would reach if they knew nothing.

A base module beside `metrics`: the search for shortcuts compares with it, and so does whoever measures how much a whole
run flatters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.metrics import confusion


def chance(y_true: ArrayLike, y_pred: ArrayLike, n_classes: int) -> float:
    """Return the macro F1 that predictions with these shares are expected to have where they say nothing of the labels.

    Of n pictures, of which a class has the share p and is predicted for the share q, n p q are right by chance. F1 is
    linear in what is right, so a class is expected to reach 2 p q / (p + q). A model that always names one class has
    less chance than one that names each as often as it occurs.

    Parameters
    ----------
    y_true : array-like of int, shape (n,)
        0 to n_classes - 1.
    y_pred : array-like of int, shape (n,)
        0 to n_classes - 1, or `fdsearch.metrics.UNPREDICTED`: such pictures are left out.
    n_classes : int

    Returns
    -------
    float
        0 to 1, the mean over the classes that occur; NaN where nothing was predicted.

    Raises
    ------
    ValueError
        If the shapes differ or a class is out of range.

    Examples
    --------
    >>> round(chance([0, 0, 0, 1], [0, 0, 1, 1], 2), 4), chance([0, 1], [0, 0], 2)
    (0.4667, 0.3333333333333333)
    """
    per_class = chance_per_class(y_true, y_pred, n_classes)
    present = ~np.isnan(per_class)
    return float(per_class[present].mean()) if present.any() else float("nan")


def chance_per_class(y_true: ArrayLike, y_pred: ArrayLike, n_classes: int) -> NDArray[np.float64]:
    """Return the F1 of each class that is expected where predictions say nothing of the labels.

    Arguments and errors as in `chance`; shape (n_classes,), NaN for a class that does not occur.

    Examples
    --------
    >>> chance_per_class([0, 1], [0, 0], 3)
    array([0.66666667, 0.        ,        nan])
    """
    table = confusion(y_true, y_pred, n_classes)
    n = max(1, int(table.sum()))
    shares, claimed = table.sum(axis=1) / n, table.sum(axis=0) / n
    expected = 2 * shares * claimed / np.maximum(shares + claimed, 1 / n)
    return np.where(shares > 0, expected, np.nan)
