"""The probe: a logistic regression on pooled features of the frozen backbone, folded into the model's head.

The cheapest model there is, the study's baseline (trial 0), and the starting point of the head in the other presets. It
needs no stopping rule and no learning rate, and its optimum does not depend on a seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.errors import ResourceError
from fdsearch.training.batches import Floats
from fdsearch.training.job import Ints

MAX_ITERATIONS = 5000
ABSENT_LOGIT = -20.0
"""Logit, below all others, of a class without a training picture: it is never chosen, and its loss stays finite."""


@dataclass(frozen=True)
class Head:
    """A linear head.

    Parameters
    ----------
    kernel : ndarray of float32, shape (d, n_classes)
    bias : ndarray of float32, shape (n_classes,)
    """

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, features: ArrayLike) -> NDArray[np.float32]:
        """Logits of features, shapes (n, d) to (n, n_classes)."""
        return np.asarray(features, np.float32) @ self.kernel + self.bias


def fit_probe(features: ArrayLike, labels: Ints, weights: Floats, c: float) -> Head:
    """Fit a multinomial logistic regression on standardised features.

    Parameters
    ----------
    features : array-like, shape (m, d)
        Of the training pictures; mean and deviation are taken from them alone.
    labels : ndarray of int64, shape (m,)
    weights : ndarray of float64, shape (n_classes,)
        Weight of a picture by its class.
    c : float
        Inverse strength of the L2 penalty, as scikit-learn's ``C``.

    Returns
    -------
    Head
        For the features as given: the standardisation is folded into it.

    Raises
    ------
    ResourceError
        If scikit-learn is not installed.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise ResourceError("training needs scikit-learn: pip install fdsearch[train]") from error
    values = np.array(features, np.float64)  # a copy: several views of a set take hundreds of megabytes
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    # Features that hardly move are not blown up to the size of the others: they are noise to the probe (magnetic_tile
    # at 224 px gains .02 of macro F1, elsewhere it stays), and kernels of 100 and more, which the fine-tuning that
    # starts from this head then turns into leaps of the logits.
    deviation = np.maximum(deviation, max(float(np.median(deviation)), 1e-6))
    # The matrices are small: a second thread saves little, and beside other workers threads that spin for each other
    # made a fit of one second take twenty. The answer does not depend on the number of cores either.
    with threadpool_limits(1, user_api="blas"):
        values -= mean
        values /= deviation
        scores, back = _rotated(values)
        coefficients, intercepts = _solve(scores, labels, weights, c)
        kernel = back(coefficients.T) / deviation[:, None]
    return Head(kernel.astype(np.float32), (intercepts - mean @ kernel).astype(np.float32))


def _rotated(values: Floats) -> tuple[Floats, Callable[[Floats], Floats]]:
    """Coordinates of the pictures in an orthonormal basis of their span, shape (m, r), and the way back to features.

    The penalty does not see rotations and the optimum lies in that span, so with fewer pictures than features the
    solver works on at most m columns instead of d, with the same answer.
    """
    n_pictures, n_features = values.shape
    if n_features <= n_pictures:
        return values, lambda columns: columns
    # Through the small Gram matrix: half the time of a QR or singular value decomposition of the pictures themselves.
    spread, directions = np.linalg.eigh(values @ values.T)
    kept = spread >= spread[-1] * 1e-10
    scale = np.sqrt(np.maximum(spread[kept], 1e-12))  # of pictures that are all alike, 0
    kept_directions = directions[:, kept]
    return kept_directions * scale, lambda columns: values.T @ (kept_directions @ (columns / scale[:, None]))


def _solve(values: Floats, labels: Ints, weights: Floats, c: float) -> tuple[Floats, Floats]:
    """Coefficients (n_classes, r) and intercepts (n_classes,) of the penalised likelihood's optimum."""
    n_classes = len(weights)
    coefficients = np.zeros((n_classes, values.shape[1]))
    intercepts = np.full(n_classes, ABSENT_LOGIT)
    present = np.unique(labels)
    if len(present) == 1:
        intercepts[present] = 0.0
        return coefficients, intercepts
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, max_iter=MAX_ITERATIONS)
    model.fit(values, labels, sample_weight=weights[labels])
    # Of two classes scikit-learn gives one row, the second's: half of it for, half against.
    two = len(present) == 2
    coefficients[present] = np.concatenate([-model.coef_, model.coef_]) / 2 if two else model.coef_
    intercepts[present] = np.concatenate([-model.intercept_, model.intercept_]) / 2 if two else model.intercept_
    intercepts[np.setdiff1d(np.arange(n_classes), present)] = intercepts[present].min() + ABSENT_LOGIT
    return coefficients, intercepts
