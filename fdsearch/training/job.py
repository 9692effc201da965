"""What a worker is asked to do and what it answers: plain values that cross a process boundary.

A job is one fit: train on some rows, predict others. It knows no study and no fold number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.data.folds import Fold, inner_split
from fdsearch.files import digest_file, digest_json
from fdsearch.trial import TrialConfig

_INNER_SHARE = 0.2
"""Share of a fold's training groups that early stopping watches."""

Ints = NDArray[np.int64]
CurveRow = dict[str, Any]
"""One epoch: epoch (0-based, over all phases), phase, learning_rate, loss, accuracy, val_loss, val_accuracy,
val_macro_f1, val_f1 (list, per class), monitor_loss, monitor_macro_f1, seconds; the val_* and monitor_* keys only where
there are such rows."""

Report = Callable[[int, CurveRow], bool]
"""Called after each epoch with (epoch, row); False asks the trainer to stop now."""


OF_THE_MACHINE = frozenset({"disk_full", "no_device"})
"""Failures that the next job would meet as well: they end the study's work, and no trial or candidate pays for them."""

LOST = frozenset({"signal", "lost", "host_memory", "timeout"})
"""Failures of a process, not of what it trained: the job is worth another try."""


def fit_seed(random_state: int, repeat: int, fold: int) -> int:
    """Seed of one fit, 0 to 2**31 - 1: the same for every configuration, so that equal ones score equally.

    Parameters
    ----------
    random_state : int
        The study's.
    repeat : int
        0 for the search's own folds.
    fold : int
    """
    return int(np.random.SeedSequence([random_state, repeat, fold]).generate_state(1)[0] % 2**31)


@dataclass(frozen=True)
class Refit:
    """How the final fit repeats what the folds did.

    `epochs` is where it stops (the folds' median; the schedule keeps the configuration's horizon);
    `learning_rates` replays a plateau schedule, one rate per epoch. `phase_epochs` says how many epochs each of the
    configuration's phases takes, for folds whose early phases ended early; without it, phases take their planned length
    until `epochs` are used up.
    """

    epochs: int
    learning_rates: tuple[float, ...] | None = None
    phase_epochs: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Job:
    """One fit.

    Parameters
    ----------
    id : str
    config : TrialConfig
    pixels : Path
        ``.npy`` of uint8, shape (n, size, size, 1).
    pixels_digest : str
        Names the content of `pixels`; key of the prefix cache.
    labels : ndarray of int64, shape (n,)
    n_classes : int
    train, validation, monitor : ndarray of int64
        Rows. Nothing that decides the weights may read `validation`; early stopping and best weights read `monitor`
        (empty: they are off). In single-split mode the two are the same rows.
    seed : int
    prefix_cache : Path
        Folder of the frozen layers' outputs.
    view_seed : int
        Of the variations of the pictures; the folds of a repeat share it, so that they share the varied pictures.
    n_fits : int
        How many fits share it.
    depths : (float, float) or None
        The least and the largest share of the backbone that other trials of the study may train: a pass through the
        frozen layers stores what those would read as well.
    plugins : tuple of Path
        Python files that register builders and losses.
    save_to : Path or None
        Where to write the model as ``.keras``.
    refit : Refit or None
    checkpoint : Path or None
        ``.npz`` that the fit writes at most once a minute and whenever its report stops it, and goes on from where the
        file exists and belongs to this very fit. The caller removes it with `training.checkpoint.discard`.
    latencies : Path or None
        Folder of measured latencies, in which that of the job's architecture shall be found after it.
    """

    id: str
    config: TrialConfig
    pixels: Path
    pixels_digest: str
    labels: Ints
    n_classes: int
    train: Ints
    validation: Ints
    monitor: Ints
    seed: int
    prefix_cache: Path
    view_seed: int = 0
    n_fits: int = 1
    depths: tuple[float, float] | None = None
    plugins: tuple[Path, ...] = ()
    save_to: Path | None = None
    refit: Refit | None = None
    checkpoint: Path | None = None
    latencies: Path | None = None


def job_digest(job: Job) -> str:
    """SHA-256 over all that decides a job's result, its id and its files left out."""
    arrays = (job.labels, job.train, job.validation, job.monitor)
    return digest_json(
        [
            job.config.to_json(),
            job.pixels_digest,
            [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in arrays],
            job.n_classes,
            job.seed,
            job.view_seed,
            [digest_file(path) for path in job.plugins],
            None if job.refit is None else asdict(job.refit),
        ]
    )


@dataclass(frozen=True)
class Result:
    """What became of a job.

    Parameters
    ----------
    status : {"done", "stopped", "failed"}
        ``stopped`` was told so by its report; `logits` is then those of the last epoch, where there was one, of the
        pictures alone: only a finished fit's are the mean over the configuration's test views, as its model's are.
    logits : ndarray of float32, shape (len(validation), n_classes), or None
    curve : tuple of dict
        One `CurveRow` per epoch; where a checkpoint was continued, those of the attempt before come first.
    epochs : int
        Epochs that made the final weights (best epoch + 1 where best weights were restored); 0 for a probe.
    phase_epochs : tuple of int
        The same for each phase of the configuration.
    learning_rates : tuple of float
        Mean rate of each of those epochs, for a replay.
    effective_shares : tuple of float, length n_classes
        Class shares that the logits reflect, by weights, sampling and loss; calibration undoes the shift.
    seconds : float
        Those that led to a continued checkpoint included.
    failure : {None, "exception", "non_finite", "host_memory", "device_memory", "disk_full", "no_device", "signal",
        "lost", "timeout"}
    message : str
        The error in words; the worker's traceback for an exception.
    """

    id: str
    status: str
    logits: NDArray[np.float32] | None = None
    curve: tuple[CurveRow, ...] = ()
    epochs: int = 0
    phase_epochs: tuple[int, ...] = ()
    learning_rates: tuple[float, ...] = ()
    effective_shares: tuple[float, ...] = ()
    n_parameters: int = 0
    seconds: float = 0.0
    failure: str | None = None
    message: str = ""

    @property
    def last_words(self) -> str:
        """The last line of the message, or the failure's class where there is none."""
        return (self.message.strip().splitlines()[-1:] or [str(self.failure)])[0]


@dataclass(frozen=True)
class JobMaker:
    """Makes the jobs of one dataset, so that search, selection and refit build them alike."""

    labels: Ints
    groups: Ints
    n_classes: int
    pixels: Mapping[tuple[int, str], Path]
    data_digest: str
    prefix_cache: Path
    plugins: tuple[Path, ...] = field(default=())
    depths: tuple[float, float] | None = None

    def job(
        self,
        job_id: str,
        config: TrialConfig,
        train: Ints,
        validation: Ints,
        *,
        seed: int,
        view_seed: int | None = None,
        n_fits: int = 1,
        monitor: Ints | None = None,
        save_to: Path | None = None,
        refit: Refit | None = None,
        checkpoint: Path | None = None,
    ) -> Job:
        """Make one job; arguments as in `Job`."""
        key = (config.image_size, config.resize)
        return Job(
            id=job_id,
            config=config,
            pixels=self.pixels[key],
            pixels_digest=f"{self.data_digest}-{key[0]}-{key[1]}",
            labels=self.labels,
            n_classes=self.n_classes,
            train=train,
            validation=validation,
            monitor=np.empty(0, np.int64) if monitor is None else monitor,
            seed=seed,
            prefix_cache=self.prefix_cache,
            view_seed=seed if view_seed is None else view_seed,
            n_fits=n_fits,
            depths=self.depths,
            plugins=self.plugins,
            save_to=save_to,
            refit=refit,
            checkpoint=checkpoint,
        )

    def fold_job(
        self,
        job_id: str,
        config: TrialConfig,
        folds: Sequence[Fold],
        number: int,
        *,
        random_state: int,
        repeat: int,
        single_split: bool,
        checkpoint: Path | None = None,
    ) -> Job:
        """Make the job of fold `number` of a repeat.

        Early stopping watches the validation part in single-split mode. With several folds it must not: there it
        watches an inner grouped part of the fold's own training rows, which then are not trained on.
        """
        fold, seed = folds[number], fit_seed(random_state, repeat, number)
        train, monitor = fold.train, np.empty(0, np.int64)
        if config.early_stopping.monitor != "none":
            if single_split:
                monitor = fold.validation
            else:
                inner = inner_split(self.labels[train], self.groups[train], _INNER_SHARE, seed)
                train, monitor = train[inner.train], train[inner.validation]
        return self.job(
            job_id,
            config,
            train,
            fold.validation,
            seed=seed,
            view_seed=fit_seed(random_state, repeat, 0),
            n_fits=len(folds),
            monitor=monitor,
            checkpoint=checkpoint,
        )
