"""The facts that `auto_space` chooses by: of the data that may be developed with, of this machine, of the study."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fdsearch.config import StudySpec
from fdsearch.data.dataset import Dataset
from fdsearch.data.images import Picture, PixelStore
from fdsearch.data.partition import Partition
from fdsearch.execution.gpus import chosen_gpus
from fdsearch.execution.machine import Machine
from fdsearch.metrics import groups_per_class
from fdsearch.models.weights import available
from fdsearch.models.weights_files import WEIGHTS_FILES

MAX_LOOKED_AT = 2000
"""Pictures whose size is asked for; what reading the data has found out about them is not found out again."""


@dataclass(frozen=True)
class Facts:
    """What the choice depends on.

    Parameters
    ----------
    pictures, parts : mapping of str to int
        Of each class, to develop with: the holdout's do not count.
    height, width : int
        Of the pictures, medians, pixels.
    backbones : tuple of str
        Those whose pretrained weights are on this machine.
    device : {"cpu", "gpu"}
    n_devices : int
        Cores, or GPUs, that trials may use.
    n_fits : int
        Fits of a trial: the folds.
    train_share : float
        Of the pictures to develop with: those that one fit trains on.
    budget_s : float or None
        Seconds of the whole run; None takes the device's.
    n_trials : int or None
        As the study states it.
    bounded : bool
        Whether the study bounds the time that a picture may take.
    """

    pictures: Mapping[str, int]
    parts: Mapping[str, int]
    height: int
    width: int
    backbones: tuple[str, ...]
    device: str
    n_devices: int
    n_fits: int
    train_share: float
    budget_s: float | None = None
    n_trials: int | None = None
    bounded: bool = False

    @property
    def n(self) -> int:
        return sum(self.pictures.values())

    @property
    def mean_parts(self) -> float:
        """Parts of a class in the mean."""
        return sum(self.parts.values()) / len(self.parts)


def collect(spec: StudySpec, dataset: Dataset, partition: Partition, machine: Machine) -> Facts:
    """Collect the facts of a study whose data was read and dealt."""
    rows = partition.development.rows
    labels, groups = dataset.labels[rows], dataset.groups[rows]
    n_classes = len(dataset.classes)
    height, width = median_size(dataset.store, [dataset.paths[row] for row in rows])
    device, n_devices = _devices(machine)
    trained = float(np.mean([len(fold.train) for fold in partition.folds]))
    return Facts(
        pictures=dict(zip(dataset.classes, np.bincount(labels, minlength=n_classes).tolist(), strict=True)),
        parts=dict(zip(dataset.classes, groups_per_class(labels, groups, n_classes).tolist(), strict=True)),
        height=height,
        width=width,
        backbones=tuple(name for name in WEIGHTS_FILES if "imagenet" in available(name)),
        device=device,
        n_devices=n_devices,
        n_fits=len(partition.folds),
        train_share=trained / len(rows),
        budget_s=spec.budget,
        n_trials=None if "n_trials" in spec.chosen else spec.search.n_trials,
        bounded=spec.search.max_latency_ms is not None or spec.registry.gates.max_latency_ms is not None,
    )


def median_size(store: PixelStore, paths: Sequence[Path]) -> tuple[int, int]:
    """Median height and width, pixels, of at most `MAX_LOOKED_AT` pictures spread over all."""
    chosen = np.unique(np.linspace(0, len(paths) - 1, MAX_LOOKED_AT).astype(int))
    found = store.examine([paths[index] for index in chosen])
    facts = [picture.facts for picture in found if isinstance(picture, Picture)]
    return int(np.median([each.height for each in facts])), int(np.median([each.width for each in facts]))


def _devices(machine: Machine) -> tuple[str, int]:
    """The kind of device that workers train on, and how many train at the same time."""
    gpus = chosen_gpus(machine.gpus, os.environ)
    if gpus:
        return "gpu", min(len(gpus), machine.n_workers)
    return "cpu", len(os.sched_getaffinity(0))
