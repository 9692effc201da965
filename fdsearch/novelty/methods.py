"""Ways to say how unlike the known pictures a picture is, each as a pair of functions; numpy alone.

`measure` applies them; `fdsearch.selection.novelty` chooses among them, `fdsearch.serving.novelty` stores what a fit
returns. Pictures come as `space.Space` reduces their embedding: coordinates (n, r) and the length of what these leave
out (n,).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fdsearch.metrics import softmax

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[np.float64]]

NEIGHBOURS = 5
MAX_REFERENCE = 4096
"""Pictures that ``knn`` keeps at most."""

_RIDGE = 300.0
_NEWTON_STEPS = 12
_SMALLEST = 1e-9


@dataclass(frozen=True, eq=False)
class Seen:
    """Pictures as a method sees them.

    Parameters
    ----------
    coordinates : ndarray of float64, shape (n, r)
    residual : ndarray of float64, shape (n,)
    logits : ndarray of float64, shape (n, n_classes)
        Uncalibrated; of known pictures out of fold, so that they look like those of new ones.
    """

    coordinates: Floats
    residual: Floats
    logits: Floats


@dataclass(frozen=True, eq=False)
class Known:
    """The reference: pictures whose class is known.

    Parameters
    ----------
    seen : Seen
    labels : ndarray of int64, shape (n,)
    regular : ndarray of bool, shape (n,)
        Whether the picture shows what may pass.
    """

    seen: Seen
    labels: NDArray[np.int64]
    regular: NDArray[np.bool_]


@dataclass(frozen=True)
class Method:
    """What ``fit`` learns of known pictures, ``score`` applies to any: shape (n,), larger is more novel."""

    fit: Callable[[Known], Arrays]
    score: Callable[[Mapping[str, Floats], Seen], Floats]


def fit_nothing(known: Known) -> Arrays:
    """For methods that ask the logits alone."""
    return {}


def max_softmax(arrays: Mapping[str, Floats], seen: Seen) -> Floats:
    """How unsure the classifier is (Hendrycks and Gimpel 2017, section 2)."""
    return np.asarray(-softmax(seen.logits).max(axis=1))


def energy(arrays: Mapping[str, Floats], seen: Seen) -> Floats:
    """Free energy of the logits at temperature 1 (Liu et al. 2020, section 3.1)."""
    return -_log_sum_exp(seen.logits)


def pca_residual(arrays: Mapping[str, Floats], seen: Seen) -> Floats:
    """Length of what the main directions of the known pictures do not explain."""
    return seen.residual


def fit_gaussians(known: Known) -> Arrays:
    """Mean of each known class and of all, with the inverse roots of two shrunk covariances: within classes, of all."""
    points, classes = known.seen.coordinates, np.unique(known.labels)
    means = np.stack([points[known.labels == each].mean(axis=0) for each in classes])
    within = points - means[np.searchsorted(classes, known.labels)]
    centre = points.mean(axis=0)
    # What lies outside the main directions counts as one more direction; how far it reaches is seen.
    outside = float(np.mean(known.seen.residual**2))
    return {
        "means": means,
        "root": _inverse_root(within),
        "centre": centre,
        "root_all": _inverse_root(points - centre),
        "outside": np.array([max(outside, _SMALLEST)]),
    }


def mahalanobis(arrays: Mapping[str, Floats], seen: Seen) -> Floats:
    """Distance to the nearest class under one covariance (Lee et al. 2018, section 2.1), as a logarithm."""
    return np.log(_nearest(arrays, seen) + seen.residual**2 / arrays["outside"] + _SMALLEST)


def relative_mahalanobis(arrays: Mapping[str, Floats], seen: Seen) -> Floats:
    """The same less the distance to one Gaussian of everything (Ren et al. 2021, section 3)."""
    everything = (((seen.coordinates - arrays["centre"]) @ arrays["root_all"]) ** 2).sum(axis=1)
    return np.asarray(_nearest(arrays, seen) - everything)


def fit_neighbours(known: Known) -> Arrays:
    """Known pictures at unit length, at most `MAX_REFERENCE`, evenly over the rows."""
    points = _unit(known.seen.coordinates)
    rows = np.unique(np.linspace(0, len(points) - 1, min(len(points), MAX_REFERENCE)).round().astype(np.int64))
    return {"neighbours": points[rows].astype(np.float64)}


def neighbours(arrays: Mapping[str, Floats], seen: Seen) -> Floats:
    """Distance to one of the nearest known pictures, all at unit length (Sun et al. 2022, section 4)."""
    likeness = _unit(seen.coordinates) @ arrays["neighbours"].T
    place = min(NEIGHBOURS, likeness.shape[1])
    nearest = np.partition(likeness, -place, axis=1)[:, -place]
    return np.sqrt(np.maximum(2 - 2 * nearest, 0.0))


def fit_virtual_logit(known: Known) -> Arrays:
    """The factor that makes residuals as long as the largest logits are, on average."""
    residual = max(float(known.seen.residual.mean()), _SMALLEST)
    return {"factor": np.array([float(np.abs(known.seen.logits.max(axis=1)).mean()) / residual])}


def virtual_logit(arrays: Mapping[str, Floats], seen: Seen) -> Floats:
    """The residual as one more logit against all the others (ViM: Wang et al. 2022, section 4)."""
    return np.asarray(arrays["factor"] * seen.residual - _log_sum_exp(seen.logits))


def fit_binary(known: Known) -> Arrays:
    """A classifier of examples (`regular` False) against everything else."""
    return {"direction": logistic(known.seen.coordinates, ~known.regular)}


def binary(arrays: Mapping[str, Floats], seen: Seen) -> Floats:
    """Log odds of drift against regular: the ribbon-bond write-up's detector as a head on frozen layers."""
    return _odds(arrays, seen)


def logistic(points: Floats, positive: NDArray[np.bool_]) -> Floats:
    """Ridge logistic regression with both classes at equal weight, by Newton's method.

    Returns
    -------
    ndarray of float64, shape (r + 1,)
        Coefficients, the intercept (not penalised) last.
    """
    padded = np.column_stack([points, np.ones(len(points))])
    weights = np.where(positive, 0.5 / max(positive.sum(), 1), 0.5 / max((~positive).sum(), 1)) * len(points)
    penalty = np.full(padded.shape[1], _RIDGE)
    penalty[-1] = _SMALLEST
    direction = np.zeros(padded.shape[1])
    for _ in range(_NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(padded @ direction, -30, 30)))
        gradient = padded.T @ (weights * (chance - positive)) + penalty * direction
        curvature = (padded * (weights * chance * (1 - chance))[:, None]).T @ padded + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        direction -= step
        if float(np.abs(step).max()) < 1e-8:
            break
    return direction


METHODS: Mapping[str, Method] = {
    "softmax": Method(fit_nothing, max_softmax),
    "energy": Method(fit_nothing, energy),
    "mahalanobis": Method(fit_gaussians, mahalanobis),
    "relative_mahalanobis": Method(fit_gaussians, relative_mahalanobis),
    "knn": Method(fit_neighbours, neighbours),
    "vim": Method(fit_virtual_logit, virtual_logit),
    "pca": Method(fit_nothing, pca_residual),
    "binary": Method(fit_binary, binary),
}
"""By the name that a study and a contract use; ``binary`` needs examples of drift."""


def _nearest(arrays: Mapping[str, Floats], seen: Seen) -> Floats:
    points, means = seen.coordinates @ arrays["root"], arrays["means"] @ arrays["root"]
    squares = (points**2).sum(axis=1)[:, None] + (means**2).sum(axis=1) - 2 * points @ means.T
    return np.asarray(np.maximum(squares.min(axis=1), 0.0))


def _odds(arrays: Mapping[str, Floats], seen: Seen) -> Floats:
    direction = arrays["direction"]
    return np.asarray(seen.coordinates @ direction[:-1] + direction[-1])


def _inverse_root(centred: Floats) -> Floats:
    """A matrix whose product with a centred point has the Mahalanobis length of the point.

    The covariance is shrunk towards a multiple of the identity (Ledoit and Wolf 2004, section 3.3).
    """
    n, width = centred.shape
    covariance = centred.T @ centred / n
    level = max(float(np.trace(covariance)) / width, _SMALLEST)
    distance = float(((covariance - level * np.eye(width)) ** 2).sum())
    noise = float((((centred**2).T @ centred**2) / n - covariance**2).sum()) / n
    share = min(1.0, noise / distance) if distance > 0 else 1.0
    values, vectors = np.linalg.eigh((1 - share) * covariance + share * level * np.eye(width))
    return np.asarray(vectors / np.sqrt(np.maximum(values, level * 1e-6)))


def _log_sum_exp(logits: Floats) -> Floats:
    largest = logits.max(axis=1)
    return np.asarray(largest + np.log(np.exp(logits - largest[:, None]).sum(axis=1)))


def _unit(points: Floats) -> Floats:
    return np.asarray(points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), _SMALLEST))
