"""Which rows a fit sees, in which order, and what each weighs: pure functions of labels and seeds.

`trainer` calls these once per job, `phases` once per epoch. The order of the batches depends on the job's seed and the
epoch alone, so two runs of a job see the same batches whatever ran before them in the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

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


def class_weights(labels: Ints, n_classes: int, exponent: float, *, effective: bool = False) -> Floats:
    """Weight of each class in the loss: inverse frequency to a power, 1 on average over the training pictures.

    Parameters
    ----------
    labels : ndarray of int64, shape (m,)
        Of the pictures that are trained on.
    n_classes : int
    exponent : float
        0 gives every picture the weight 1, 1 gives every class present the same total weight.
    effective : bool
        Whether `effective_numbers` stand for the classes' counts; then large classes keep more of the total weight.

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
    sizes = effective_numbers(counts) if effective else counts
    weights[present] = (len(labels) / (present.sum() * sizes[present])) ** exponent
    return weights * len(labels) / (weights @ counts)


def effective_numbers(counts: Floats) -> Floats:
    """How many pictures of a class count, when each further one repeats more of what those before it showed.

    ``(1 - beta ** count) / (1 - beta)``. The paper's beta is ``(N - 1) / N`` for a number N of different pictures that
    a class can have, which it searches for; here N is the mean count of the classes present, so that a class of the
    mean size counts for 0.63 of its pictures, and no class for more than N.

    Parameters
    ----------
    counts : ndarray of float64, shape (n_classes,)

    References
    ----------
    Cui, Jia, Lin, Song, Belongie: Class-balanced loss based on effective number of samples. CVPR 2019, equation 2.

    Examples
    --------
    >>> effective_numbers(np.array([10.0, 100.0, 1000.0, 0.0])).round(1).tolist()
    [9.9, 87.7, 345.3, 0.0]
    """
    mean = counts.sum() / (counts > 0).sum()
    beta = (mean - 1.0) / mean
    return np.asarray((1.0 - beta**counts) / (1.0 - beta))


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
    partners : ndarray of int32, shape (m,) or (0,)
        Place, in its batch, of the picture that each one is mixed with; nothing where none is.
    mixes : ndarray of float32, shape (m,) or (0,)
        Share of the picture itself in the mixture, 0.5 to 1.
    """

    rows: Ints
    starts: Ints
    labels: Ints
    weights: NDArray[np.float32]
    rates: NDArray[np.float32]
    seeds: NDArray[np.int32]
    draws: NDArray[np.float32]
    partners: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    mixes: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

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
            self.partners[members],
            self.mixes[members],
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


def mixtures(
    sizes: Sequence[int], alpha: float, seed: int, epoch: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Whom each picture of an epoch's batches is mixed with and by how much it remains itself.

    Parameters
    ----------
    sizes : sequence of int
        Of the batches.
    alpha : float
        Each picture's share is drawn from beta(alpha, alpha); 0 mixes nothing. Of the two shares the larger belongs to
        the picture itself: pairs are drawn at random, so the mixtures are the same, and the label that counts as right
        is the picture's own.
    seed, epoch : int

    Returns
    -------
    partners : ndarray of int32, shape (sum(sizes),) or (0,)
        Places in the batch: a permutation of it.
    mixes : ndarray of float32, shape (sum(sizes),) or (0,)

    References
    ----------
    Zhang, Cisse, Dauphin, Lopez-Paz: mixup: Beyond empirical risk minimization. ICLR 2018, section 2.

    Examples
    --------
    >>> partners, mixes = mixtures([3, 2], 0.2, seed=0, epoch=0)
    >>> sorted(partners[:3].tolist()), sorted(partners[3:].tolist()), bool((mixes >= 0.5).all())
    ([0, 1, 2], [0, 1], True)
    """
    if alpha == 0:
        return np.empty(0, np.int32), np.empty(0, np.float32)
    generator = np.random.default_rng([seed, 5, epoch])
    partners = np.concatenate([generator.permutation(size) for size in sizes]).astype(np.int32)
    own = generator.beta(alpha, alpha, len(partners))
    return partners, np.maximum(own, 1.0 - own).astype(np.float32)
