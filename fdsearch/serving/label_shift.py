"""How often each class occurs in a batch that nobody labelled, from a classifier's probabilities: two estimates.

`drift` asks. Both assume that the pictures of a class look as they did: what is new altogether fools them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fdsearch.serving.units import numbered

CONFIDENCE = 0.95
"""Of all the intervals of one method together."""

DRAWS = 1000
_ITERATIONS = 200
_AT_ONCE = 1 << 21
"""Weights of pictures that are held at a time: 16 MB."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ShareEstimate:
    """How often one class occurs, as a share of pictures.

    Parameters
    ----------
    name : str
        The class.
    training : float
        Its share of the reference.
    share, interval : float and (float, float)
        By maximum likelihood.
    bbse, bbse_interval : float and (float, float)
        From the confusion matrix.
    claimed : bool
        Whether both intervals leave out `training`, on the same side.
    """

    name: str
    training: float
    share: float
    interval: tuple[float, float]
    bbse: float
    bbse_interval: tuple[float, float]
    claimed: bool


@dataclass(frozen=True, eq=False)
class Known:
    """Pictures with labels: out-of-fold probabilities (m, c), labels (m,), parts (m,)."""

    probabilities: Floats
    labels: Ints
    groups: Ints


def label_shift(
    classes: tuple[str, ...], known: Known, probabilities: Floats, groups: Ints, random_state: int = 0
) -> list[ShareEstimate]:
    """Estimate the share of each class in a batch.

    Parameters
    ----------
    classes : tuple of str, length c
    known : Known
        Each class has a picture in it.
    probabilities : ndarray of float64, shape (n, c)
        Of the batch, calibrated as those of `known`.
    groups : ndarray of int64, shape (n,)
    random_state : int

    Returns
    -------
    list of ShareEstimate
        In the order of `classes`.

    Notes
    -----
    Parts of both sides are weighted at random, and half a part of each class is added to the batch: a class that five
    parts do not show may still be there. Where every picture is recognised for certain the interval is Jeffreys' own.

    References
    ----------
    Saerens, Latinne and Decaestecker (2002), Neural Computation 14(1) (maximum likelihood by EM); Alexandari, Kundaje
    and Shrikumar (2020), ICML (on calibrated probabilities); Lipton, Wang and Smola (2018), ICML (from the confusion
    matrix); Rubin (1981), The Bayesian bootstrap, Annals of Statistics 9(1).
    """
    generator, n_classes = np.random.default_rng(random_state), len(classes)
    parts = numbered(groups)
    weights = _drawn(generator, int(parts.max()) + 1)
    halves = generator.gamma(0.5, size=(1 + DRAWS, n_classes)) * (len(parts) / (parts.max() + 1))
    halves[0] = 0
    confused = _resampled_confusion(generator, known, n_classes)
    training = _shares(confused.sum(axis=1))
    found = [
        _maximum_likelihood(probabilities, parts, training, weights, halves),
        _black_box(confused, weights @ _by_part(_named(probabilities), parts), halves),
    ]
    # What the training shares themselves owe to chance belongs to the interval.
    tails = (1 - CONFIDENCE) / (2 * n_classes)
    spans = [training[0] + np.quantile((each - training)[1:], [tails, 1 - tails], axis=0) for each in found]
    rows = []
    for index, name in enumerate(classes):
        likely, black_box = (
            (float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))) for low, high in (span[:, index] for span in spans)
        )
        share = float(training[0, index])
        claimed = max(likely[1], black_box[1]) < share or min(likely[0], black_box[0]) > share
        estimates = [float(each[0, index]) for each in found]
        rows.append(ShareEstimate(name, share, estimates[0], likely, estimates[1], black_box, claimed))
    return rows


def _drawn(generator: np.random.Generator, n_parts: int) -> Floats:
    """A weight for each part: one in the first row, then at random, shape (1 + DRAWS, n_parts)."""
    weights = generator.exponential(size=(1 + DRAWS, n_parts))
    weights[0] = 1
    return weights


def _named(scores: Floats) -> Floats:
    """One in the column of the most probable class, else zero."""
    return np.asarray(np.eye(scores.shape[1])[scores.argmax(axis=1)])


def _by_part(rows: Floats, parts: Ints) -> Floats:
    """Sums over the pictures of each part."""
    sums = np.zeros((int(parts.max()) + 1, rows.shape[1]))
    np.add.at(sums, parts, rows)
    return sums


def _resampled_confusion(generator: np.random.Generator, known: Known, n_classes: int) -> Floats:
    """How many pictures of each class (last axis) are taken for which, shape (1 + DRAWS, c, c)."""
    parts = numbered(known.groups)
    cells = known.probabilities.argmax(axis=1) * n_classes + known.labels
    counts = _by_part(np.eye(n_classes**2)[cells], parts)
    return np.asarray((_drawn(generator, len(counts)) @ counts).reshape(-1, n_classes, n_classes))


def _shares(counts: Floats) -> Floats:
    return np.asarray(counts / counts.sum(axis=-1, keepdims=True))


def _maximum_likelihood(scores: Floats, parts: Ints, training: Floats, weights: Floats, halves: Floats) -> Floats:
    """The likeliest shares under many weightings of the parts, shape (1 + DRAWS, c); all start where the first ends."""
    found = [_climb(scores, training[:1], weights[:1, parts], halves[:1], training[:1], 1e-6)]
    start = np.maximum(found[0], 1e-3)
    step = max(1, _AT_ONCE // len(parts))
    for first in range(1, len(weights), step):
        some = slice(first, first + step)
        found.append(_climb(scores, training[some], weights[some][:, parts], halves[some], start, 1e-4))
    return np.concatenate(found)


def _climb(
    scores: Floats, training: Floats, weights: Floats, halves: Floats, start: Floats, tolerance: float
) -> Floats:
    """EM of Saerens and others from `start` on."""
    prior, likelihoods = np.maximum(training, 1e-12), np.maximum(scores, 1e-12)
    total = weights.sum(axis=1, keepdims=True) + halves.sum(axis=1, keepdims=True)
    shares = np.broadcast_to(_shares(start), prior.shape)
    for _ in range(_ITERATIONS):
        ratio = shares / prior
        before, shares = shares, (ratio * ((weights / (ratio @ likelihoods.T)) @ likelihoods) + halves) / total
        if np.abs(shares - before).max() < tolerance:
            break
    return np.asarray(shares)


def _black_box(confused: Floats, named: Floats, halves: Floats) -> Floats:
    """What the confusion matrix makes of the classes that were named, for many weightings at once."""
    rates = confused / np.maximum(confused.sum(axis=1, keepdims=True), 1e-12)
    told = _shares(named + np.einsum("dpt,dt->dp", rates, halves))
    shares = np.einsum("dtp,dp->dt", np.linalg.pinv(rates, rcond=1e-3), told)
    return _shares(np.maximum(shares, 1e-12))
