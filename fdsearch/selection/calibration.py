"""Fit the few numbers that turn a model's logits into probabilities; `fdsearch.decide.probabilities` applies them.

Fitted on out-of-fold logits only: a model is overconfident about the pictures it was trained on. `reliability` measures
what came of it, on logits that `cross_fitting` calibrated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.decide import probabilities
from fdsearch.metrics import groups_per_class

VECTOR_FROM = 30
"""Groups that every class needs for a temperature and an offset of its own."""

_LOG_TEMPERATURES = (-3.0, 5.0)
"""Search range; the smoothed targets keep the optimum inside for any logits a network gives."""


@dataclass(frozen=True)
class Calibration:
    """Probabilities are ``softmax(logits / temperature + bias)``.

    The temperature makes an honest posterior, under the class shares that the loss saw, of the logits; the bias then
    carries it to the true shares. The other order would shrink the bias with the temperature.

    Parameters
    ----------
    temperature : float or tuple of float, length n_classes
        Positive; above 1 the model was too sure of itself. One for all classes, or one for each (vector scaling).
    bias : tuple of float, length n_classes
        Log ratio of true to trained class shares, with the offsets of vector scaling added.
    """

    temperature: float | tuple[float, ...]
    bias: tuple[float, ...]

    @property
    def method(self) -> str:
        """``temperature`` or ``vector``."""
        return "vector" if isinstance(self.temperature, tuple) else "temperature"

    def apply(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Return the probabilities of logits, shape (..., n_classes); NaN rows stay NaN."""
        return probabilities(logits, self.temperature, self.bias)

    def scaled(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Return the logits whose softmax the probabilities are, shape (..., n_classes)."""
        return np.asarray(np.asarray(logits, np.float64) / np.asarray(self.temperature) + np.asarray(self.bias))

    def to_json(self) -> dict[str, Any]:
        """The numbers as they stand in ``contract.json``."""
        temperature = list(self.temperature) if isinstance(self.temperature, tuple) else self.temperature
        return {"temperature": temperature, "bias": list(self.bias)}


Fit = Callable[[ArrayLike, ArrayLike, ArrayLike], Calibration]
"""(logits, y_true, shift) -> Calibration; `fit_temperature` or `fit_vector`."""


def supported_fit(logits: ArrayLike, y_true: ArrayLike, groups: ArrayLike) -> Fit:
    """Return the fit that the data can carry: vector scaling from `VECTOR_FROM` groups in every class.

    Parameters
    ----------
    logits : array-like, shape (n, n_classes) or (n_repeats, n, n_classes)
        Pictures that no repeat predicted, all of whose rows hold NaN, do not count.
    y_true : array-like of int, shape (n,)
    groups : array-like, shape (n,)

    Returns
    -------
    callable
        `fit_vector` or `fit_temperature`.

    Examples
    --------
    >>> y_true = [0] * 30 + [1] * 30
    >>> [supported_fit([[1.0, 0.0]] * 60, y_true, parts).__name__ for parts in (range(60), [0] * 2 + list(range(58)))]
    ['fit_vector', 'fit_temperature']
    """
    values = np.asarray(logits, np.float64)
    known = ~np.isnan(values).any(axis=-1)
    seen = known.reshape(-1, known.shape[-1]).any(axis=0)
    counts = groups_per_class(np.asarray(y_true)[seen], np.asarray(groups)[seen], values.shape[-1])
    return fit_vector if counts.min() >= VECTOR_FROM else fit_temperature


def prior_shift(y_true: ArrayLike, effective_shares: ArrayLike) -> NDArray[np.float64]:
    """Return the log ratio of true class shares to those the loss saw.

    A weighted loss teaches the model the weighted shares; adding this to its logits takes them back.

    Parameters
    ----------
    y_true : array-like of int, shape (n,)
        Labels in their true shares.
    effective_shares : array-like, shape (n_classes,)
        `Result.effective_shares`, averaged over folds; positive.

    Returns
    -------
    ndarray of float64, shape (n_classes,)

    References
    ----------
    Saerens, Latinne and Decaestecker (2002), Adjusting the outputs of a classifier to new a priori probabilities,
    Neural Computation 14(1).

    Examples
    --------
    >>> prior_shift([0, 0, 0, 1], [0.5, 0.5]).round(3)
    array([ 0.405, -0.693])
    """
    effective = np.asarray(effective_shares, np.float64)
    counts = np.bincount(np.asarray(y_true, np.int64), minlength=len(effective)).astype(np.float64)
    # A class that is absent on either side has no ratio; a half picture keeps it finite.
    true = np.maximum(counts, 0.5) / counts.sum()
    return np.asarray(np.log(true) - np.log(np.maximum(effective, 0.5 / counts.sum())))


def fit_temperature(logits: ArrayLike, y_true: ArrayLike, shift: ArrayLike) -> Calibration:
    """Fit one temperature to out-of-fold logits whose class shares were set right first.

    Parameters
    ----------
    logits : array-like, shape (n, n_classes) or (n_repeats, n, n_classes)
        Rows that hold NaN were not predicted and are left out.
    y_true : array-like of int, shape (n,)
    shift : array-like, shape (n_classes,)
        From `prior_shift`; zeros where the loss saw the true shares.

    Returns
    -------
    Calibration

    Raises
    ------
    ValueError
        If no row was predicted.

    Notes
    -----
    The target of a right answer is (n + 1/2) / (n + 1), not 1. Plain likelihood wants a temperature near zero where few
    or no pictures are wrong, and so a certainty that n pictures cannot carry. On fresh pictures of a simulated source
    whose true log loss is .05, after a fit to 60 pictures with logits four times too large, it reached .51 and this
    rule .06; after a fit to 1,000 pictures both reached .054.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks, ICML; Krichevsky and Trofimov
    (1981), The performance of universal encoding, IEEE Trans. Inf. Theory 27(2) (the half).

    Examples
    --------
    >>> logits = [[4.0, 0.0]] * 30 + [[0.0, 4.0]] * 30
    >>> honest = [0] * 24 + [1] * 6 + [1] * 24 + [0] * 6
    >>> fit_temperature(logits, honest, [0.0, 0.0]).apply([[4.0, 0.0]]).round(1)
    array([[0.8, 0.2]])
    """
    bias = np.asarray(shift, np.float64)
    log_temperature = _log_temperature(*_smoothed(logits, y_true, len(bias)), bias, tolerance=1e-6)
    return Calibration(float(np.exp(log_temperature)), tuple(float(value) for value in bias))


def fit_vector(logits: ArrayLike, y_true: ArrayLike, shift: ArrayLike) -> Calibration:
    """Fit a temperature and an offset for each class; arguments, errors and targets as in `fit_temperature`.

    Returns
    -------
    Calibration
        With a temperature per class; the offsets are added to the shift.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks, ICML, section 4.2.

    Examples
    --------
    >>> logits = [[4.0, 0.0]] * 50 + [[0.0, 4.0]] * 50
    >>> honest = [0] * 45 + [1] * 5 + [1] * 30 + [0] * 20
    >>> fit_vector(logits, honest, [0.0, 0.0]).apply([[4.0, 0.0], [0.0, 4.0]]).round(2)
    array([[0.9, 0.1],
           [0.4, 0.6]])
    """
    from scipy.optimize import minimize

    bias = np.asarray(shift, np.float64)
    n_classes = len(bias)
    predicted, targets = _smoothed(logits, y_true, n_classes)

    def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        inner = predicted / np.exp(point[:n_classes, np.newaxis])
        entropy, excess = _cross_entropy(inner + (bias + point[n_classes:])[:, np.newaxis], targets)
        return entropy, np.concatenate([-(excess * inner).mean(axis=1), excess.mean(axis=1)])

    start = _log_temperature(predicted, targets, bias, tolerance=0.1)
    point = np.concatenate([np.full(n_classes, start), np.zeros(n_classes)])
    bounds = [_LOG_TEMPERATURES] * n_classes + [(None, None)] * n_classes
    best = minimize(loss, point, jac=True, method="L-BFGS-B", bounds=bounds).x
    temperatures, offsets = np.exp(best[:n_classes]), best[n_classes:]
    return Calibration(tuple(map(float, temperatures)), tuple(map(float, bias + offsets)))


def _log_temperature(
    predicted: NDArray[np.float64], targets: NDArray[np.float64], bias: NDArray[np.float64], tolerance: float
) -> float:
    """The logarithm of the best single temperature, arguments from `_smoothed`."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        return _cross_entropy(predicted / np.exp(log_temperature) + bias[:, np.newaxis], targets)[0]

    return float(minimize_scalar(loss, bounds=_LOG_TEMPERATURES, method="bounded", options={"xatol": tolerance}).x)


def _smoothed(logits: ArrayLike, y_true: ArrayLike, n_classes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The predicted rows of all repeats and their targets, shapes (n_classes, m): such sums over classes are quick."""
    values = np.asarray(logits, np.float64)
    true = np.broadcast_to(np.asarray(y_true, np.int64), values.shape[:-1])
    known = ~np.isnan(values).any(axis=-1)
    if not known.any():
        raise ValueError("logits must hold a row without NaN")
    predicted = np.ascontiguousarray(values[known].T)
    # A picture is evidence once, however many repeats predicted it.
    smoothing = 0.5 / (np.asarray(y_true).size + 1)
    targets = np.full(predicted.shape, smoothing / max(1, n_classes - 1))
    np.put_along_axis(targets, true[known][np.newaxis], 1 - smoothing, axis=0)
    return predicted, targets


def _cross_entropy(scaled: NDArray[np.float64], targets: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Mean cross-entropy of logits, shape (n_classes, m), in nats; and by how much each probability is too large.

    The logits are overwritten: most of the time goes into fresh memory otherwise.
    """
    scaled -= scaled.max(axis=0)
    chosen = np.vdot(targets, scaled)
    np.exp(scaled, out=scaled)
    total = scaled.sum(axis=0)
    scaled /= total
    scaled -= targets
    return float((np.log(total).sum() - chosen) / len(total)), scaled
