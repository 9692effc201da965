"""One gradient phase: where its pictures come from, and one epoch over them.

`trainer` decides what happens between epochs. A phase reads stored activations of its frozen prefix where they can be
had, else the pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.layers import FEATURES, PREPROCESSING
from fdsearch.training import life
from fdsearch.training.batches import Floats, epoch_batches
from fdsearch.training.features import Compute, Halves, PrefixCache, Shape, affordable
from fdsearch.training.job import Ints, Refit
from fdsearch.training.network import Network
from fdsearch.training.steps import TrainStep
from fdsearch.trial import Phase, TrialConfig


@dataclass(frozen=True)
class Feed:
    """What a phase reads.

    Parameters
    ----------
    array : ndarray, shape (n, ...)
        The pictures (uint8), or the stored activations of `cut` (float16).
    cut : str
        Up to where the phase's network is frozen.
    stored : bool
    """

    array: NDArray[Any]
    cut: str
    stored: bool

    @property
    def start(self) -> str | None:
        """The cut whose activations `array` holds; None for pictures."""
        return self.cut if self.stored else None


@dataclass(frozen=True)
class EpochFigures:
    """Means over one epoch's pictures, taken before each step: loss (weighted), accuracy, learning rate."""

    loss: float
    accuracy: float
    learning_rate: float


def cuts(network: Network, config: TrialConfig) -> tuple[str, ...]:
    """Where the frozen prefix of each phase ends; ``features`` for a probe.

    A prefix never reaches past layers that an earlier phase trained, even if the later one does not train them: what is
    stored of them would be out of date.
    """
    order = {name: place for place, name in enumerate(network.cut_names)}
    ends: list[str] = []
    for phase in config.phases:
        end = FEATURES if phase.name == "probe" else network.set_trainable(phase, config.batch_norm)
        ends.append(min([end, *ends], key=order.__getitem__))
    return tuple(ends)


def reads_stored(network: Network, config: TrialConfig, phase: Phase, cut: str, n_pictures: int) -> bool:
    """Whether a phase trains on stored activations of its cut.

    Not with augmentation (each epoch sees other pictures), not where nothing is frozen, not where the prefix is
    drawn at random for each seed, and not where they would take too much room.
    """
    if phase.name == "probe":
        return True
    shared = network.weights_digest is not None and config.augmentation == 0 and cut != PREPROCESSING
    return shared and affordable(network.shape(cut), n_pictures)


def feeds(network: Network, config: TrialConfig, pictures: NDArray[np.uint8], cache: PrefixCache | None) -> list[Feed]:
    """What each phase of a configuration reads; activations that are not stored yet are computed in one pass.

    Parameters
    ----------
    network : Network
        With its initial weights.
    config : TrialConfig
    pictures : ndarray of uint8, shape (n, size, size, 1)
    cache : PrefixCache or None
        None computes a probe's features for this job alone.
    """
    ends = cuts(network, config)
    stored = [
        reads_stored(network, config, phase, end, len(pictures)) for phase, end in zip(config.phases, ends, strict=True)
    ]
    shapes = {end: network.shape(end) for end, kept in zip(ends, stored, strict=True) if kept}
    compute = partial(network.activations, pictures)
    arrays: Mapping[str, NDArray[Any]]
    arrays = _in_memory(shapes, compute) if cache is None else cache.activations(shapes, compute)
    return [Feed(arrays[end] if kept else pictures, end, kept) for end, kept in zip(ends, stored, strict=True)]


def _in_memory(shapes: Mapping[str, Shape], compute: Compute) -> dict[str, Halves]:
    parts = []
    for part in compute(list(shapes)) if shapes else ():
        life.sign_or_stop()
        parts.append(part)
    return {cut: np.concatenate([part[cut] for part in parts]).astype(np.float16) for cut in shapes}


def planned_epochs(config: TrialConfig, refit: Refit | None) -> tuple[int, ...]:
    """Epochs each phase takes at most.

    Examples
    --------
    >>> config = TrialConfig.from_params({"phases": "head_tail", "epochs": 8})
    >>> planned_epochs(config, None), planned_epochs(config, Refit(epochs=5))
    ((0, 2, 6), (0, 2, 3))
    """
    if refit is not None and refit.phase_epochs is not None:
        return refit.phase_epochs
    left = config.epochs if refit is None else refit.epochs
    taken = []
    for phase in config.phases:
        taken.append(min(phase.epochs, left))
        left -= taken[-1]
    return tuple(taken)


def n_batches(rows: Ints, batch_size: int) -> int:
    """Steps of one epoch."""
    return -(-len(rows) // batch_size)


def train_epoch(
    step: TrainStep,
    feed: Feed,
    rows: Ints,
    labels: Ints,
    weights: Floats,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    rate: Callable[[float], float],
) -> EpochFigures:
    """Train once over some rows.

    Parameters
    ----------
    step : TrainStep
    feed : Feed
    rows : ndarray of int64
        Of `feed.array`.
    labels : ndarray of int64, shape (n,)
        Of the whole set.
    weights : ndarray of float64, shape (n_classes,)
    batch_size, seed : int
    epoch : int
        Over all phases; decides the order of the batches.
    rate : callable
        Share of the epoch that is done (0 to 1) to the learning rate.
    """
    batches = epoch_batches(rows, batch_size, seed, epoch)
    augmentation_seeds = np.random.default_rng([seed, 2, epoch]).integers(0, 2**31 - 1, len(batches))
    rates = [rate(number / len(batches)) for number in range(len(batches))]
    sums = []
    for number, batch in enumerate(batches):
        life.sign()  # asked to end, it still ends the epoch: the next report hears it and can keep a checkpoint
        targets = labels[batch], weights[labels[batch]]
        sums.append(step(feed.array[batch], *targets, rates[number], int(augmentation_seeds[number])))
    loss = math.fsum(float(loss) for loss, _ in sums) / len(rows)
    return EpochFigures(loss, sum(float(hits) for _, hits in sums) / len(rows), float(np.mean(rates)))
