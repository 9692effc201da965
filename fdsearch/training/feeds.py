"""Where each phase's pictures come from: stored outputs of its frozen prefix where they can be had and pay.

`costs` says what pays, `features` keeps what is stored, `network` computes it; `phases` trains on it, `judging`
predicts from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache as cached
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.layers import FEATURES, PREPROCESSING
from fdsearch.models.graph import prefix_ends
from fdsearch.training import life
from fdsearch.training.costs import Costs
from fdsearch.training.features import Compute, PrefixCache, Shape, as_stored
from fdsearch.training.job import Job
from fdsearch.training.network import Network
from fdsearch.training.prefix_store import NoRoom
from fdsearch.training.views import AnyView, FixedView, View, view_of
from fdsearch.trial import TrialConfig


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
    of_view : callable or None
        From a `FixedView` to what would be read of its pictures; see `seen`.
    """

    array: NDArray[Any]
    cut: str
    stored: bool
    varied: Callable[[View], NDArray[Any]] | None = None
    of_view: Callable[[FixedView], Feed] | None = None

    def seen(self, view: FixedView) -> Feed:
        """What the phase would read of the pictures of a view."""
        return self.of_view(view) if view.changes and self.of_view is not None else self

    @property
    def start(self) -> str | None:
        """The cut whose outputs `array` holds; None for pictures."""
        return self.cut if self.stored else None


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


def feeds_of(
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
    seen = cached(partial(_seen, network, pictures, cache))
    made = []
    for phase, end in zip(job.config.phases, ends, strict=True):
        stored = phase.name == "probe" or end in read
        # A single fit judges few pictures: their mirror images are cheaper to compute than those of all to store.
        kept = stored and (end == FEATURES or job.n_fits > 1)
        made.append(
            Feed(
                array=arrays[end] if stored else pictures,
                cut=end,
                stored=stored,
                varied=partial(varied, end) if stored and varied is not None else None,
                of_view=partial(seen, end, kept),
            )
        )
    return made


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


def _seen(
    network: Network, pictures: NDArray[np.uint8], cache: PrefixCache | None, cut: str, kept: bool, view: FixedView
) -> Feed:
    """What is read of a fixed view: its stored outputs where they are kept and there is room, else its pictures."""
    if kept:
        try:
            return Feed(_outputs(network, pictures, {cut}, cache, view)[cut], cut, True)
        except NoRoom:
            if cut == FEATURES:  # small, and what a probe needs in any case
                return Feed(_outputs(network, pictures, {cut}, None, view)[cut], cut, True)
    return Feed(view.of_pictures(pictures), cut, False)


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
    view: AnyView | None = None,
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
