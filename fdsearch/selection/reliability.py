"""Whether probabilities mean what they say, before and after calibration.

"After" is to be judged on what `cross_fitting` calibrated: judged on its own pictures any calibration looks good.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.metrics import log_loss, softmax

_N_BINS = 10


def reliability(before: ArrayLike, after: ArrayLike, y_true: ArrayLike) -> dict[str, Any]:
    """Compare confidence with accuracy, out of fold.

    Parameters
    ----------
    before : array-like, shape (n_repeats, n, n_classes)
        Logits out of fold; NaN rows were not predicted and are left out. Repeats are pooled.
    after : array-like, shape (n_repeats, n, n_classes)
        The same, calibrated by `fdsearch.selection.cross_fitting.cross_fitted`.
    y_true : array-like of int, shape (n,)

    Returns
    -------
    dict
        ``n``: pictures. ``log_loss, ece, bins``: each with ``before`` and ``after``. A bin has ``low, high`` (of the
        largest probability), ``n`` (predictions), ``confidence`` (their mean largest probability) and ``accuracy``
        (share of them whose class is right); empty bins are left out. ``after`` is None, with ``why``, where there is
        one group alone.

    References
    ----------
    Naeini, Cooper and Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning, AAAI (the
    expected calibration error, here with 10 bins of equal width); Guo, Pleiss, Sun and Weinberger (2017), ICML.

    Examples
    --------
    >>> found = reliability([[[3.0, 0.0]] * 10], [[[1.0, 0.0]] * 10], [0] * 10)
    >>> [(each["low"], each["n"], each["accuracy"], round(each["confidence"], 3)) for each in found["bins"]["before"]]
    [(0.9, 10, 1.0, 0.953)]
    >>> round(found["ece"]["before"], 3), round(found["ece"]["after"], 3)
    (0.047, 0.269)
    """
    values, true = np.asarray(before, np.float64), np.asarray(y_true, np.int64)
    first, then = (_figures(np.asarray(logits, np.float64), true) for logits in (values, after))
    unknown = then["log_loss"] is None
    return {
        "n": int((~np.isnan(values).any(axis=-1)).any(axis=0).sum()),
        **{key: {"before": first[key], "after": then[key]} for key in first},
        "why": "a calibration cannot be judged on the one group it was fitted to" if unknown else "",
    }


def _figures(logits: NDArray[np.float64], true: NDArray[np.int64]) -> dict[str, Any]:
    """Log loss, calibration error and bins of logits, shape (n_repeats, n, n_classes); None without predictions."""
    known = ~np.isnan(logits).any(axis=-1)
    if not known.any():
        return {"log_loss": None, "ece": None, "bins": None}
    rows, labels = logits[known], np.broadcast_to(true, known.shape)[known]
    scores = softmax(rows)
    confidence, right = scores.max(axis=-1), scores.argmax(axis=-1) == labels
    bins = []
    number = np.minimum((confidence * _N_BINS).astype(np.int64), _N_BINS - 1)
    for index in np.unique(number).tolist():
        inside = number == index
        bins.append(
            {
                "low": index / _N_BINS,
                "high": (index + 1) / _N_BINS,
                "n": int(inside.sum()),
                "confidence": float(confidence[inside].mean()),
                "accuracy": float(right[inside].mean()),
            }
        )
    error = sum(each["n"] * abs(each["accuracy"] - each["confidence"]) for each in bins) / len(rows)
    return {"log_loss": log_loss(labels, rows), "ece": float(error), "bins": bins}
