"""`fit`: one job from start to end, in whatever process runs it.

Borrows a network, trains the configuration's phases in order, tells the caller each epoch, and keeps the best weights
where it was given rows to judge them on. Nothing here reads the validation rows except to report how well they are
predicted: the weights would be the same with any other labels on them.
"""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch import metrics
from fdsearch.errors import ResourceError
from fdsearch.files import digest_file
from fdsearch.training import phases
from fdsearch.training.batches import Floats, class_weights, effective_shares, training_rows
from fdsearch.training.features import PrefixCache
from fdsearch.training.job import CurveRow, Ints, Job, Report, Result
from fdsearch.training.network import Network, borrow
from fdsearch.training.phases import EpochFigures, Feed
from fdsearch.training.probe import fit_probe
from fdsearch.training.schedules import LearningRate
from fdsearch.training.stopping import Best, Monitored, Patience, Step
from fdsearch.trial import Phase


def fit(job: Job, report: Report) -> Result:
    """Train one configuration on some rows and predict others.

    Parameters
    ----------
    job : Job
    report : callable
        Called after each epoch; its answer False stops the job. A probe has no epochs and reports nothing.

    Returns
    -------
    Result
        ``failed`` only with `failure` ``non_finite``; whatever else goes wrong is raised.

    Raises
    ------
    ConfigError
        If the backbone or the loss is unknown.
    ResourceError
        If weights or a package are missing, or the disk is full.

    Notes
    -----
    The same job gives the same weights whatever ran before it in the process. Logits are computed from stored
    activations where training used them: they differ from the saved model's by the rounding to float16.
    """
    try:
        import keras  # noqa: F401
        import tensorflow as tf  # noqa: F401
    except ImportError as error:
        raise ResourceError("training needs Keras and TensorFlow: pip install fdsearch[train]") from error
    from fdsearch.models.builders import load_plugins

    started = time.monotonic()
    load_plugins(job.plugins)
    network = borrow(job.config, job.n_classes, job.plugins)
    network.reset(job.seed)
    run = _Run(job, report, network)
    try:
        status = run.train()
    except _NonFinite as error:
        return run.result("failed", time.monotonic() - started, failure="non_finite", message=str(error))
    if status == "done" and job.save_to is not None:
        if not all(np.isfinite(array).all() for array in network.weights()):  # the last step's, which no loss has seen
            failure = "the last step left weights that are not finite; lower learning_rate"
            return run.result("failed", time.monotonic() - started, failure="non_finite", message=failure)
        network.save(job.save_to)
    return run.result(status, time.monotonic() - started)


class _NonFinite(Exception):
    """Weights, loss or logits left the finite numbers."""


class _Stopped(Exception):
    """The report asked to stop."""


class _Run:
    """The state of one job while it trains."""

    def __init__(self, job: Job, report: Report, network: Network) -> None:
        self.job, self.report, self.network = job, report, network
        config, labels = job.config, job.labels
        self.rows: Ints = training_rows(labels, job.train, config.subsample, job.seed)
        self.weights: Floats = class_weights(labels[self.rows], job.n_classes, config.class_weighting)
        watches = config.early_stopping.monitor != "none" and len(job.monitor) > 0 and job.refit is None
        self.best = Best(config.early_stopping.monitor) if watches else None
        self.curve: list[CurveRow] = []
        self.path: list[Step] = []  # the epochs that made the present weights
        self.logits: NDArray[np.float32] | None = None  # of the validation rows under the present weights, if known

    def train(self) -> str:
        """Run the phases; returns the status of the result."""
        pictures: Any = np.load(self.job.pixels, mmap_mode="r", allow_pickle=False)
        feeds = phases.feeds(self.network, self.job.config, pictures, self._cache(len(pictures)))
        try:
            for index, (phase, feed) in enumerate(zip(self.job.config.phases, feeds, strict=True)):
                self._restore_best()
                if phase.name == "probe":
                    self._probe(feed)
                else:
                    self._descend(index, phase, feed)
        except _Stopped:
            return "stopped"
        self._restore_best()
        if self.logits is None:
            self.logits = self._predict(feeds[-1], self.job.validation)
        return "done"

    def _cache(self, n_pictures: int) -> PrefixCache | None:
        config = self.job.config
        if self.network.weights_digest is None:
            return None
        identity = {
            "pixels": self.job.pixels_digest,
            "backbone": config.backbone,
            "weights": self.network.weights_digest,
            "custom": dict(config.custom),
            "plugins": [digest_file(plugin) for plugin in self.job.plugins],
        }
        return PrefixCache(self.job.prefix_cache, identity, config.pooling, n_pictures)

    def _probe(self, feed: Feed) -> None:
        labels = self.job.labels[self.rows]
        head = fit_probe(feed.array[self.rows], labels, self.weights, self.job.config.probe_c)
        self.network.set_head(head)
        self.logits = head.logits(feed.array[self.job.validation])
        if self.best is not None:
            monitored = self._judge(self.job.monitor, head.logits(feed.array[self.job.monitor]))
            self.best.offer(monitored, self.path, self.network.weights)

    def _descend(self, index: int, phase: Phase, feed: Feed) -> None:
        """One gradient phase."""
        config = self.job.config
        self.network.set_trainable(phase, config.batch_norm)
        step = self.network.step(config, feed.cut, stored=feed.stored)
        schedule = LearningRate(config.schedule, phase.learning_rate, config.warmup, phase.epochs)
        patience = Patience(config.early_stopping)
        for epoch in range(phases.planned_epochs(config, self.job.refit)[index]):
            began = time.monotonic()
            figures = phases.train_epoch(
                step,
                feed,
                self.rows,
                self.job.labels,
                self.weights,
                batch_size=config.batch_size,
                seed=self.job.seed,
                epoch=len(self.curve),
                rate=partial(self._rate, schedule, epoch),
            )
            self.path.append(Step(index, figures.learning_rate))
            monitored = self._after_epoch(phase, feed, figures, began)
            schedule.observe(epoch, figures.loss if monitored is None else monitored.loss)
            if self.best is not None and monitored is not None and patience.exhausted(epoch, monitored):
                break

    def _rate(self, schedule: LearningRate, epoch: int, share: float) -> float:
        """The rate when a share of a phase's epoch is done; a replay's rates are those of whole epochs."""
        replay = None if self.job.refit is None else self.job.refit.learning_rates
        return schedule.at(epoch + share) if not replay else replay[min(len(self.path), len(replay) - 1)]

    def _after_epoch(self, phase: Phase, feed: Feed, figures: EpochFigures, began: float) -> Monitored | None:
        """Score, record and report an epoch; returns the monitored rows' figures."""
        row: CurveRow = {"epoch": len(self.curve), "phase": phase.name, "learning_rate": figures.learning_rate}
        row |= {"loss": figures.loss, "accuracy": figures.accuracy}
        if not math.isfinite(figures.loss):
            raise _NonFinite(f"the training loss is {figures.loss} in epoch {row['epoch']}; lower learning_rate")
        self.logits = self._predict(feed, self.job.validation)
        row |= self._validation_figures(self.logits)
        monitored = None
        if len(self.job.monitor):
            same = np.array_equal(self.job.monitor, self.job.validation)
            monitored = self._judge(self.job.monitor, self.logits if same else self._predict(feed, self.job.monitor))
            row |= {"monitor_loss": monitored.loss, "monitor_macro_f1": monitored.macro_f1}
        row["seconds"] = time.monotonic() - began
        self.curve.append(row)
        if self.best is not None and monitored is not None:
            self.best.offer(monitored, self.path, self.network.weights)
        if not self.report(row["epoch"], row):
            raise _Stopped
        return monitored

    def _predict(self, feed: Feed, rows: Ints) -> NDArray[np.float32]:
        logits = self.network.logits(feed.array, rows, feed.start)
        if not np.isfinite(logits).all():
            raise _NonFinite(f"logits are not finite after epoch {len(self.path) - 1}; lower learning_rate")
        return logits

    def _validation_figures(self, logits: NDArray[np.float32]) -> CurveRow:
        if not len(logits):
            return {}
        y_true, y_pred = self.job.labels[self.job.validation], metrics.predict(logits)
        return {
            "val_loss": metrics.log_loss(y_true, logits),
            "val_accuracy": metrics.accuracy(y_true, y_pred),
            "val_macro_f1": metrics.macro_f1(y_true, y_pred, self.job.n_classes),
            "val_f1": metrics.f1_per_class(y_true, y_pred, self.job.n_classes).tolist(),
        }

    def _judge(self, rows: Ints, logits: NDArray[np.float32]) -> Monitored:
        y_true = self.job.labels[rows]
        macro_f1 = metrics.macro_f1(y_true, metrics.predict(logits), self.job.n_classes)
        return Monitored(macro_f1, metrics.log_loss(y_true, logits))

    def _restore_best(self) -> None:
        """Go back to the best weights so far, if the present ones are not they."""
        if self.best is None or self.best.weights is None or tuple(self.path) == self.best.path:
            return
        self.network.model.set_weights(self.best.weights)
        self.path = list(self.best.path)
        self.logits = None

    def result(self, status: str, seconds: float, *, failure: str | None = None, message: str = "") -> Result:
        """What the caller gets."""
        return Result(
            id=self.job.id,
            status=status,
            logits=None if failure else self.logits,
            curve=tuple(self.curve),
            epochs=len(self.path),
            phase_epochs=tuple(sum(step.phase == i for step in self.path) for i in range(len(self.job.config.phases))),
            learning_rates=tuple(step.learning_rate for step in self.path),
            effective_shares=effective_shares(self.job.labels[self.rows], self.weights),
            n_parameters=self.network.n_parameters,
            seconds=seconds,
            failure=failure,
            message=message,
        )
