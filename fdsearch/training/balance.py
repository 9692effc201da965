"""How much each class counts while a job trains: by weights, by sampling, by when the weights begin.

`trainer` makes one `Balance` per job; `descent` asks it for the weights of an epoch, and the job's result for the class
shares that the final weights were trained on, which calibration undoes. What one of these means has balanced is not
balanced again by another: weights are inverse to how often a class is *drawn*.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fdsearch.models.losses import BALANCED_BY_THEMSELVES
from fdsearch.training.batches import Floats, class_weights, effective_shares
from fdsearch.training.job import Ints
from fdsearch.training.stopping import Step
from fdsearch.trial import TrialConfig


class Balance:
    """What the classes of a job weigh.

    Parameters
    ----------
    config : TrialConfig
    labels : ndarray of int64, shape (m,)
        Of the pictures that are trained on.
    n_classes : int

    Attributes
    ----------
    of_probe : ndarray of float64, shape (n_classes,)
        Class weights of a probe: it sees each picture once, its loss is always the cross-entropy, and nothing is
        deferred.

    Examples
    --------
    >>> labels = np.array([0, 0, 0, 1])
    >>> weighted = Balance(TrialConfig.from_params({"phases": "full", "deferred_weighting": 0.5}), labels, 2)
    >>> [weighted.weights(0, epoch).round(3).tolist() for epoch in (4, 5)]  # of 10
    [[1.0, 1.0], [0.667, 2.0]]
    >>> sampled = Balance(TrialConfig.from_params({"phases": "full", "sampling": "balanced"}), labels, 2)
    >>> sampled.weights(0, 0).tolist(), sampled.shares(0, 0).tolist()
    ([1.0, 1.0], [0.5, 0.5])
    """

    def __init__(self, config: TrialConfig, labels: Ints, n_classes: int) -> None:
        self._config, self._labels = config, labels
        self.counts: Floats = np.bincount(labels, minlength=n_classes).astype(np.float64)
        effective = config.loss == "class_balanced"
        self.of_probe = class_weights(labels, n_classes, config.class_weighting, effective=effective)
        self._even = class_weights(labels, n_classes, 0.0)
        drawn_evenly = config.sampling == "balanced" or config.loss == "soft_f1"
        self._in_descent = self._even if drawn_evenly else self.of_probe
        self._n_deferred = math.floor(config.deferred_weighting * config.epochs + 1e-9)

    def weights(self, phase: int, epoch: int) -> Floats:
        """Class weights in an epoch (0-based) of a phase of the configuration, 1 on average over its pictures.

        References
        ----------
        Deferred re-weighting: Cao et al., Learning imbalanced datasets with label-distribution-aware margin loss,
        NeurIPS 2019, algorithm 1.
        """
        # By planned lengths, so that a refit, whose early phases may be shorter, switches where its folds did.
        before = sum(planned.epochs for planned in self._config.phases[:phase])
        return self._even if before + epoch < self._n_deferred else self._in_descent

    def shares(self, phase: int, epoch: int) -> Floats:
        """Class shares as sampling and weights let the loss see them in an epoch of a phase; they sum to 1."""
        return np.array(self._seen(self.weights(phase, epoch)))

    def effective_shares(self, path: Sequence[Step]) -> tuple[float, ...]:
        """Class shares that weights reflect which some epochs have made; those of a probe where there are none.

        Weights that come late count for all epochs: the last stage decides where the class boundaries lie.
        """
        if not path:
            return effective_shares(self._labels, self.of_probe)
        if self._config.loss in BALANCED_BY_THEMSELVES:
            return self._of_equal_classes()
        phase = path[-1].phase
        return self._seen(self.weights(phase, sum(step.phase == phase for step in path) - 1))

    def _seen(self, weights: Floats) -> tuple[float, ...]:
        if self._config.sampling == "balanced":
            return self._of_equal_classes()
        return effective_shares(self._labels, weights)

    def _of_equal_classes(self) -> tuple[float, ...]:
        present = self.counts > 0
        return tuple(float(share) for share in present / present.sum())


def drawn_rows(rows: Ints, labels: Ints, sampling: str, seed: int, epoch: int) -> Ints:
    """The rows of one epoch, as many as `rows`, before they are shuffled.

    Parameters
    ----------
    rows : ndarray of int64, shape (m,)
        The training part.
    labels : ndarray of int64, shape (n,)
        Of the whole set.
    sampling : {"shuffled", "balanced"}
        ``shuffled`` is each row once. ``balanced`` takes the classes present equally often, up to one row: the rows of
        a small class all equally often, up to one, and of a large class a part, another one in each epoch.
    seed, epoch : int

    Examples
    --------
    >>> labels = np.array([0] * 6 + [1] * 2)
    >>> drawn = drawn_rows(np.arange(8), labels, "balanced", seed=0, epoch=0)
    >>> np.bincount(labels[drawn]).tolist(), np.bincount(drawn)[6:].tolist()
    ([4, 4], [2, 2])
    """
    if sampling == "shuffled":
        return rows
    generator = np.random.default_rng([seed, 4, epoch])
    classes = generator.permutation(np.unique(labels[rows]))  # which classes get one row more
    quotas = [len(part) for part in np.array_split(np.arange(len(rows)), len(classes))]
    drawn = [_of_class(rows[labels[rows] == label], n, generator) for label, n in zip(classes, quotas, strict=True)]
    return np.concatenate(drawn)


def _of_class(members: Ints, n: int, generator: np.random.Generator) -> NDArray[np.int64]:
    whole, rest = divmod(n, len(members))
    return np.concatenate([np.tile(members, whole), generator.choice(members, rest, replace=False)])
