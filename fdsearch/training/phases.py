"""One gradient phase: how long it is, and one epoch over what `feeds` has it read.

`trainer` decides what happens between epochs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.training import life
from fdsearch.training.balance import drawn_rows
from fdsearch.training.batches import Batches, Floats, epoch_batches, mixtures
from fdsearch.training.feeds import Feed
from fdsearch.training.job import Ints, Job, Refit
from fdsearch.training.resident import fits, on_device
from fdsearch.training.steps import TrainStep
from fdsearch.training.views import view_of
from fdsearch.trial import TrialConfig

_CALL_S = 0.5
"""Steps are handed to the device in calls of about this length, so that a stop is heard and life is shown."""
_CALL_BYTES = 1 << 26
"""Of a set that does not stay on the device, so much goes there with each call."""


@dataclass(frozen=True)
class EpochFigures:
    """Means over one epoch's pictures, taken before each step: loss (weighted), accuracy, learning rate."""

    loss: float
    accuracy: float
    learning_rate: float


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
    step: TrainStep, feed: Feed, job: Job, rows: Ints, weights: Floats, *, epoch: int, rate: Callable[[float], float]
) -> EpochFigures:
    """Train once over some rows.

    Parameters
    ----------
    step : TrainStep
    feed : Feed
    job : Job
    rows : ndarray of int64
        Of `feed.array`.
    weights : ndarray of float64, shape (n_classes,)
    epoch : int
        Over all phases; decides the order of the batches and the view.
    rate : callable
        Share of the epoch that is done (0 to 1) to the learning rate.
    """
    array, draws = feed.array, None
    if job.config.augmentation > 0:
        view = view_of(job.config, job.view_seed, epoch, len(feed.array))
        if feed.varied is not None:
            array = feed.varied(view)
        else:
            draws = view.draws()
    batches = _plan(job, rows, weights, epoch, rate, draws)
    losses, hits = _run(step, array, batches)
    loss = math.fsum(losses) / len(rows)
    return EpochFigures(loss, hits / len(rows), float(np.mean(batches.rates)))


def _plan(
    job: Job, rows: Ints, weights: Floats, epoch: int, rate: Callable[[float], float], draws: NDArray[Any] | None
) -> Batches:
    config, seed = job.config, job.seed
    parts = epoch_batches(drawn_rows(rows, job.labels, config.sampling, seed, epoch), config.batch_size, seed, epoch)
    order = np.concatenate(parts)
    labels = job.labels[order]
    partners, mixes = mixtures([len(part) for part in parts], config.mixup, seed, epoch)
    return Batches(
        rows=order,
        starts=np.cumsum([0, *map(len, parts)], dtype=np.int64),
        labels=labels,
        weights=weights[labels].astype(np.float32),
        rates=np.array([rate(number / len(parts)) for number in range(len(parts))], np.float32),
        seeds=np.random.default_rng([seed, 3, epoch]).integers(0, 2**31 - 1, len(parts), np.int32),
        draws=np.empty((len(order), 0), np.float32) if draws is None else draws[order],
        partners=partners,
        mixes=mixes,
    )


def _run(step: TrainStep, array: NDArray[Any], batches: Batches) -> tuple[list[float], int]:
    """Hand the batches over in calls that are neither long nor large."""
    size = len(batches.rows) / len(batches) * array[0].nbytes
    most = len(batches) if fits(array) else max(1, int(_CALL_BYTES // size))
    losses: list[float] = []
    hits, first, n_steps = 0, 0, 1
    while first < len(batches):
        life.sign()  # asked to end, it still ends the epoch: the next report hears it and can keep a checkpoint
        part = batches.part(first, min(first + n_steps, len(batches)))
        on, places = on_device(array, part.rows)
        began = time.monotonic()
        more, right = step(on, replace(part, rows=places))
        losses, hits, first = [*losses, *map(float, more)], hits + right, first + len(part)
        n_steps = min(most, max(1, int(n_steps * _CALL_S / (time.monotonic() - began + 1e-9))))
    return losses, hits
