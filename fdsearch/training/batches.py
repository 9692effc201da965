"""Which rows a fit sees, in which order, and what each weighs: pure functions of labels and seeds.

`trainer` calls these once per job, `phases` once per epoch. The order of the batches depends on the job's seed and the
epoch alone, so two runs of a job see the same batches whatever ran before them in the process.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fdsearch.training.job import Ints

Floats = NDArray[np.float64]


def training_rows(labels: Ints, rows: Ints, subsample: str, seed: int) -> Ints:
    """Rows that are trained on.

    Parameters
    ----------
    labels : ndarray of int64, shape (n,)
        Of the whole set.
    rows : ndarray of int64, shape (m,)
        The training part.
    subsample : {"none", "balanced"}
        ``balanced`` draws, once per job, as many rows of each class as the rarest class present has.
    seed : int

    Returns
    -------
    ndarray of int64, sorted

    Examples
    --------
    >>> training_rows(np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 2, 3, 4]), "balanced", seed=0).size
    4
    """
    if subsample == "none":
        return np.sort(rows)
    generator = np.random.default_rng([seed, 0])
    members = [rows[labels[rows] == label] for label in np.unique(labels[rows])]
    rarest = min(len(part) for part in members)
    return np.sort(np.concatenate([generator.choice(part, rarest, replace=False) for part in members]))


def class_weights(labels: Ints, n_classes: int, exponent: float) -> Floats:
    """Weight of each class in the loss: inverse frequency to a power, 1 on average over the training pictures.

    Parameters
    ----------
    labels : ndarray of int64, shape (m,)
        Of the pictures that are trained on.
    n_classes : int
    exponent : float
        0 gives every picture the weight 1, 1 gives every class present the same total weight.

    Returns
    -------
    ndarray of float64, shape (n_classes,)
        0 for classes without a training picture.

    Examples
    --------
    >>> class_weights(np.array([0, 0, 0, 1]), 2, 1.0).round(3).tolist()
    [0.667, 2.0]
    """
    counts = np.bincount(labels, minlength=n_classes).astype(np.float64)
    present = counts > 0
    weights = np.zeros(n_classes)
    weights[present] = (len(labels) / (present.sum() * counts[present])) ** exponent
    return weights * len(labels) / (weights @ counts)


def effective_shares(labels: Ints, weights: Floats) -> tuple[float, ...]:
    """Class shares as the loss weighs them; they sum to 1.

    Examples
    --------
    >>> effective_shares(np.array([0, 0, 0, 1]), np.array([1.0, 1.0]))
    (0.75, 0.25)
    """
    totals = np.bincount(labels, minlength=len(weights)) * weights
    return tuple(float(share) for share in totals / totals.sum())


@dataclass(frozen=True)
class Batches:
    """The batches of an epoch, or some of them, as arrays a device takes at once.

    Parameters
    ----------
    rows : ndarray of int64, shape (m,)
        Of all batches, one after the other.
    starts : ndarray of int64, shape (n_batches + 1,)
        Where each batch begins in `rows`; the last is m.
    labels : ndarray of int64, shape (m,)
    weights : ndarray of float32, shape (m,)
        Of each picture's loss, 1 on average over the training part.
    rates : ndarray of float32, shape (n_batches,)
    seeds : ndarray of int32, shape (n_batches,)
        Of the dropout before the head.
    draws : ndarray of float32, shape (m, N_DRAWS) or (m, 0)
        How each picture is varied, as `models.augmentation.augment` takes it; nothing where none is.
    """

    rows: Ints
    starts: Ints
    labels: Ints
    weights: NDArray[np.float32]
    rates: NDArray[np.float32]
    seeds: NDArray[np.int32]
    draws: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rates)

    def part(self, first: int, last: int) -> Batches:
        """Batches `first` to `last`, the latter excluded."""
        members = slice(self.starts[first], self.starts[last])
        return Batches(
            self.rows[members],
            self.starts[first : last + 1] - self.starts[first],
            self.labels[members],
            self.weights[members],
            self.rates[first:last],
            self.seeds[first:last],
            self.draws[members],
        )


def epoch_batches(rows: Ints, batch_size: int, seed: int, epoch: int) -> list[Ints]:
    """The rows of one epoch, shuffled and cut into batches of nearly equal size, none above `batch_size`.

    Equal sizes avoid a last batch of one or two pictures, which would take a full step of the optimizer and ruin the
    statistics of a trained batch normalisation.

    Examples
    --------
    >>> [len(batch) for batch in epoch_batches(np.arange(65), 32, seed=0, epoch=0)]
    [22, 22, 21]
    """
    order = np.random.default_rng([seed, 1, epoch]).permutation(rows)
    return np.array_split(order, -(-len(order) // batch_size))
