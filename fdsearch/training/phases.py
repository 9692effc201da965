"""One gradient phase: where its pictures come from, and one epoch over them.

`trainer` decides what happens between epochs. A phase reads stored outputs of its frozen prefix where they can be had
and pay (`costs`), else the pictures.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.layers import FEATURES, PREPROCESSING
from fdsearch.models.graph import prefix_ends
from fdsearch.training import life
from fdsearch.training.batches import Batches, Floats, epoch_batches
from fdsearch.training.costs import Costs
from fdsearch.training.features import Compute, PrefixCache, Shape, as_stored
from fdsearch.training.job import Ints, Job, Refit
from fdsearch.training.network import Network
from fdsearch.training.prefix_store import NoRoom
from fdsearch.training.resident import fits, on_device
from fdsearch.training.steps import TrainStep
from fdsearch.training.views import View, view_of
from fdsearch.trial import TrialConfig

_CALL_S = 0.5
"""Steps are handed to the device in calls of about this length, so that a stop is heard and life is shown."""
_CALL_BYTES = 1 << 26
"""Of a set that does not stay on the device, so much goes there with each call."""


@dataclass(frozen=True)
class Feed:
    """What a phase reads.

    Parameters
    ----------
    array : ndarray, shape (n, ...)
        The pictures (uint8), or the stored outputs of `cut` (float16); not varied.
    cut : str
        Up to where the phase's network is frozen.
    stored : bool
    varied : callable or None
        From a `View` to the stored outputs of its pictures, shape (n, ...); None where nothing is varied or the
        training step varies the pictures itself.
    """

    array: NDArray[Any]
    cut: str
    stored: bool
    varied: Callable[[View], NDArray[Any]] | None = None

    @property
    def start(self) -> str | None:
        """The cut whose outputs `array` holds; None for pictures."""
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


def feeds(
    network: Network, job: Job, pictures: NDArray[np.uint8], cache: PrefixCache | None, costs: Costs
) -> list[Feed]:
    """What each phase of a job's configuration reads; outputs that are not stored yet are computed in one pass.

    Stored outputs are read where something is frozen, with the same weights for all seeds, and where they pay.

    Parameters
    ----------
    network : Network
        With its initial weights.
    job : Job
    pictures : ndarray of uint8, shape (n, size, size, 1)
    cache : PrefixCache or None
        None computes a probe's features for this job alone.
    costs : Costs
        Of this machine.
    """
    ends = cuts(network, job.config)
    of_probe = {FEATURES} if job.config.phases[0].name == "probe" else set()
    worth = of_probe if cache is None else _worth_storing(network, job, ends, cache, costs)
    try:
        arrays = _outputs(network, pictures, of_probe | worth, cache, also=partial(_foreseen, network, job, costs))
    except NoRoom:
        worth, arrays = set(), _outputs(network, pictures, of_probe, None)
    varies = job.config.augmentation > 0
    varied = partial(_varied, network, pictures, cache) if varies else None
    read = worth if varies else of_probe | worth  # what the probe reads is there anyway
    return [
        Feed(arrays[end], end, True, None if varied is None else partial(varied, end))
        if phase.name == "probe" or end in read
        else Feed(pictures, end, False)
        for phase, end in zip(job.config.phases, ends, strict=True)
    ]


def _worth_storing(network: Network, job: Job, ends: Sequence[str], cache: PrefixCache, costs: Costs) -> set[str]:
    """The cuts whose outputs are cheaper to read than to compute in each step, and for which there is room."""
    config, worth = job.config, set()
    for phase, end in zip(config.phases, ends, strict=True):
        if phase.name == "probe" or end == PREPROCESSING:
            continue
        n_reads = job.n_fits * _readings(config, phase.epochs)
        if costs.storing_pays(network.frozen_macs(end), network.shape(end), n_reads):
            worth.add(end)
    views = {view_of(config, job.view_seed, epoch, len(job.labels)) for epoch in range(config.epochs)}
    identities = [None, *(view.identity() for view in views if config.augmentation > 0)]
    return worth if cache.fits(_shapes(network, worth), identities) else set()


def _foreseen(network: Network, job: Job, costs: Costs) -> dict[str, Shape]:
    """What other trials of the study may ask for and a pass can store as well, the likely and small first."""
    if job.depths is None:
        return {}
    ends = [FEATURES, *prefix_ends(network.model, *job.depths, job.config.batch_norm)]
    worth = [
        end
        for end in ends
        if end != PREPROCESSING and costs.storing_pays(network.frozen_macs(end), network.shape(end), job.n_fits)
    ]
    return {name: network.shape(name) for name in map(network.stored_as, worth)}


def _readings(config: TrialConfig, epochs: int) -> int:
    """How often a fit reads what is stored of one view; without augmentation there is one view of all epochs."""
    if config.augmentation == 0:
        return max(1, epochs)
    return math.ceil(epochs / config.augmentation_views) if config.augmentation_views else 1


def _varied(
    network: Network, pictures: NDArray[np.uint8], cache: PrefixCache | None, cut: str, view: View
) -> NDArray[Any]:
    """The outputs of a cut for the pictures of a view, stored where there is room."""
    try:
        return _outputs(network, pictures, {cut}, cache, view)[cut]
    except NoRoom:
        return _outputs(network, pictures, {cut}, None, view)[cut]


def _outputs(
    network: Network,
    pictures: NDArray[np.uint8],
    cuts: Set[str],
    cache: PrefixCache | None,
    view: View | None = None,
    also: Callable[[], Mapping[str, Shape]] = dict,
) -> dict[str, NDArray[np.float16]]:
    """The outputs of cuts, read or computed; without a cache they are kept in memory."""
    shapes, compute = _shapes(network, cuts), partial(network.activations, pictures, view=view)
    if cache is None:
        arrays: Mapping[str, NDArray[np.float16]] = _in_memory(shapes, compute)
    else:
        arrays = cache.activations(shapes, compute, None if view is None else view.identity(), also)
    return {cut: network.own(cut, arrays[network.stored_as(cut)]) for cut in cuts}


def _shapes(network: Network, cuts: Set[str]) -> dict[str, Shape]:
    """Shapes, for one picture, of what is stored of cuts."""
    return {name: network.shape(name) for name in sorted(map(network.stored_as, cuts))}


def _in_memory(shapes: Mapping[str, Shape], compute: Compute) -> dict[str, NDArray[np.float16]]:
    parts = []
    for part in compute(list(shapes)) if shapes else ():
        life.sign_or_stop()
        parts.append({cut: as_stored(values) for cut, values in part.items()})
    return {cut: np.concatenate([part[cut] for part in parts]) for cut in shapes}


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
    parts = epoch_batches(rows, job.config.batch_size, job.seed, epoch)
    order = np.concatenate(parts)
    labels = job.labels[order]
    return Batches(
        rows=order,
        starts=np.cumsum([0, *map(len, parts)], dtype=np.int64),
        labels=labels,
        weights=weights[labels].astype(np.float32),
        rates=np.array([rate(number / len(parts)) for number in range(len(parts))], np.float32),
        seeds=np.random.default_rng([job.seed, 3, epoch]).integers(0, 2**31 - 1, len(parts), np.int32),
        draws=np.empty((len(order), 0), np.float32) if draws is None else draws[order],
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
