"""Fit the two numbers that turn a model's logits into probabilities; `fdsearch.decide.probabilities` applies them.

Fitted on out-of-fold logits only: a model is overconfident about the pictures it was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.decide import probabilities

_LOG_TEMPERATURES = (-3.0, 5.0)
"""Search range; the smoothed targets keep the optimum inside for any logits a network gives."""


@dataclass(frozen=True)
class Calibration:
    """Probabilities are ``softmax(logits / temperature + bias)``.

    The temperature makes an honest posterior, under the class shares that the loss saw, of the logits; the bias then
    carries it to the true shares. The other order would shrink the bias with the temperature.

    Parameters
    ----------
    temperature : float
        Positive; above 1 the model was too sure of itself.
    bias : tuple of float, length n_classes
        Log ratio of true to trained class shares.
    """

    temperature: float
    bias: tuple[float, ...]

    def apply(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Return the probabilities of logits, shape (..., n_classes); NaN rows stay NaN."""
        return probabilities(logits, self.temperature, self.bias)

    def to_json(self) -> dict[str, Any]:
        """The numbers as they stand in ``contract.json``."""
        return {"temperature": self.temperature, "bias": list(self.bias)}


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
    from scipy.optimize import minimize_scalar

    bias = np.asarray(shift, np.float64)
    values = np.asarray(logits, np.float64)
    true = np.broadcast_to(np.asarray(y_true, np.int64), values.shape[:-1])
    known = ~np.isnan(values).any(axis=-1)
    if not known.any():
        raise ValueError("logits must hold a row without NaN")
    predicted, n_classes = values[known], len(bias)
    smoothing = 0.5 / (np.asarray(y_true).size + 1)
    targets = np.full(predicted.shape, smoothing / max(1, n_classes - 1))
    np.put_along_axis(targets, true[known][:, None], 1 - smoothing, axis=-1)

    def loss(log_temperature: float) -> float:
        scaled = predicted / np.exp(log_temperature) + bias
        scaled -= scaled.max(axis=-1, keepdims=True)
        log_total = np.log(np.exp(scaled).sum(axis=-1))
        return float((log_total - (targets * scaled).sum(axis=-1)).mean())

    found = minimize_scalar(loss, bounds=_LOG_TEMPERATURES, method="bounded", options={"xatol": 1e-6})
    return Calibration(float(np.exp(found.x)), tuple(float(value) for value in bias))
