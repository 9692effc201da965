"""`fit`: one job from start to end, in whatever process runs it.

Borrows a network, trains the configuration's phases in order, tells the caller each epoch, and keeps the best weights
where it was given rows to judge them on. Nothing here reads the validation rows except to report how well they are
predicted: the weights would be the same with any other labels on them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.errors import ResourceError
from fdsearch.files import digest_file, digest_json
from fdsearch.training import latency, life
from fdsearch.training.balance import Balance
from fdsearch.training.batches import training_rows
from fdsearch.training.checkpoint import Checkpoint, CheckpointFile
from fdsearch.training.costs import calibrated
from fdsearch.training.descent import Descent
from fdsearch.training.features import PrefixCache
from fdsearch.training.feeds import Feed, feeds_of
from fdsearch.training.job import CurveRow, Ints, Job, Report, Result, job_digest
from fdsearch.training.judging import NonFinite, monitored_figures, predict, validation_figures
from fdsearch.training.network import Network, borrow
from fdsearch.training.probe import fit_probe
from fdsearch.training.saving import save
from fdsearch.training.stopping import Best, Step
from fdsearch.training.views import fixed_views


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
    latency.ensure(job)
    network = borrow(job.config, job.n_classes, job.plugins)
    network.reset(job.seed)
    run = _Run(job, report, network, started)
    try:
        status = run.train()
    except NonFinite as error:
        return run.result("failed", failure="non_finite", message=str(error))
    if status == "done" and job.save_to is not None:
        if not all(np.isfinite(array).all() for array in network.weights()):  # the last step's, which no loss has seen
            failure = "the last step left weights that are not finite; lower learning_rate"
            return run.result("failed", failure="non_finite", message=failure)
        save(network.model, job.config.test_views, job.save_to)
    return run.result(status)


class _Stopped(Exception):
    """The report asked to stop."""


class _Run:
    """The state of one job while it trains."""

    def __init__(self, job: Job, report: Report, network: Network, started: float) -> None:
        self.job, self.report, self.network, self.started = job, report, network, started
        config, labels = job.config, job.labels
        self.rows: Ints = training_rows(labels, job.train, config.subsample, job.seed)
        self.balance = Balance(config, labels[self.rows], job.n_classes)
        watches = config.early_stopping.monitor != "none" and len(job.monitor) > 0 and job.refit is None
        self.best = Best(config.early_stopping.monitor) if watches else None
        self.curve: list[CurveRow] = []
        self.path: list[Step] = []  # the epochs that made the present weights
        self.logits: NDArray[np.float32] | None = None  # of the validation rows under the present weights, if known
        self.checkpoints: CheckpointFile | None = None

    def train(self) -> str:
        """Run the phases; returns the status of the result."""
        pictures: Any = np.load(self.job.pixels, mmap_mode="r", allow_pickle=False)
        # What the prefix cache holds belongs to the initial weights: a checkpoint is restored only after this.
        feeds = feeds_of(
            self.network, self.job, pictures, self._cache(len(pictures)), calibrated(self.job.prefix_cache)
        )
        self.checkpoints = _checkpoint_file(self.job, self.network, feeds)
        saved = None if self.checkpoints is None else self.checkpoints.read()
        try:
            for index in range(0 if saved is None else saved.phase, len(feeds)):
                halfway = saved if saved is not None and saved.phase == index else None
                if halfway is None:
                    self._restore_best()
                if self.job.config.phases[index].name == "probe":
                    self._probe(feeds[index])
                else:
                    self._descend(index, feeds[index], halfway)
        except _Stopped:
            return "stopped"
        self._restore_best()
        if self.logits is None or self.job.config.test_views > 1:  # epochs are judged without test views
            self.logits = self._predict(feeds[-1], self.job.validation, self.job.config.test_views)
        return "done"

    def _cache(self, n_pictures: int) -> PrefixCache | None:
        config = self.job.config
        if self.network.weights_digest is None:
            return None
        identity = {
            "pixels": self.job.pixels_digest,
            "backbone": config.backbone,
            "exposure": config.exposure,
            "weights": self.network.weights_digest,
            "custom": dict(config.custom),
            "plugins": [digest_file(plugin) for plugin in self.job.plugins],
        }
        return PrefixCache(self.job.prefix_cache, identity, config.pooling, n_pictures)

    def _probe(self, feed: Feed) -> None:
        config, views = self.job.config, fixed_views(self.job.config.probe_views)
        features = np.concatenate([feed.seen(view).array[self.rows] for view in views])
        labels = np.tile(self.job.labels[self.rows], len(views))
        # A picture's views share its weight, or more of them would loosen the penalty.
        head = fit_probe(features, labels, self.balance.of_probe / len(views), config.probe_c)
        head = self.network.set_head(head)
        self.logits = head.logits(feed.array[self.job.validation])
        if self.best is not None:
            monitored = monitored_figures(self.job, self._predict(feed, self.job.monitor, config.test_views))
            self.best.offer(monitored, self.path, self.network.weights)

    def _descend(self, index: int, feed: Feed, saved: Checkpoint | None) -> None:
        """One gradient phase, or what is left of it."""
        if len(self.job.monitor):  # now: a job that is asked to end in the middle of an epoch could not go on with it
            for view in fixed_views(self.job.config.test_views):
                feed.seen(view)
        descent = Descent(self.job, self.network, index, feed)
        if saved is not None:
            self._restore(saved, descent)
        while not descent.ended:
            try:
                go_on = self._epoch(descent)
            except life.Stopped:  # before the epoch's first step, while a view was computed
                go_on = False
                if self.logits is None:
                    raise
            if self.checkpoints is not None and (self.checkpoints.due or not go_on):
                self.checkpoints.write(self._checkpoint(descent))
            if not go_on:
                raise _Stopped

    def _epoch(self, descent: Descent) -> bool:
        """Train, score, record and report one epoch; returns the report's answer."""
        began = time.monotonic()
        figures = descent.train_epoch(self.rows, self.balance, len(self.curve))
        self.path.append(Step(descent.index, figures.learning_rate))
        row: CurveRow = {"epoch": len(self.curve), "phase": descent.phase.name, "learning_rate": figures.learning_rate}
        row |= {"loss": figures.loss, "accuracy": figures.accuracy}
        if not math.isfinite(figures.loss):
            raise NonFinite(f"the training loss is {figures.loss} in epoch {row['epoch']}; lower learning_rate")
        # Test views cost several passes. Rows that decide which weights ship are judged with them, the record without.
        same = len(self.job.monitor) > 0 and np.array_equal(self.job.monitor, self.job.validation)
        n_views = self.job.config.test_views
        self.logits = self._predict(descent.feed, self.job.validation, n_views if same else 1)
        row |= validation_figures(self.job, self.logits)
        monitored = None
        if len(self.job.monitor):
            monitored = monitored_figures(
                self.job, self.logits if same else self._predict(descent.feed, self.job.monitor, n_views)
            )
            row |= {"monitor_loss": monitored.loss, "monitor_macro_f1": monitored.macro_f1}
        row["seconds"] = time.monotonic() - began
        self.curve.append(row)
        if self.best is not None and monitored is not None:
            self.best.offer(monitored, self.path, self.network.weights)
        descent.finish_epoch(figures, monitored, may_stop=self.best is not None)
        return self.report(row["epoch"], row)

    def _predict(self, feed: Feed, rows: Ints, n_views: int) -> NDArray[np.float32]:
        return predict(self.network, feed, rows, n_views, f"after epoch {len(self.path) - 1}")

    def _checkpoint(self, descent: Descent) -> Checkpoint:
        best = self.best
        return Checkpoint(
            phase=descent.index,
            seconds=time.monotonic() - self.started,
            curve=tuple(self.curve),
            path=tuple(self.path),
            descent=descent.state(),
            best=None if best is None else best.state(),
            weights=self.network.changes(self.network.weights()),
            best_weights=None if best is None or best.weights is None else self.network.changes(best.weights),
            optimizer=descent.optimizer_state(),
            logits=np.asarray(self.logits),  # known: the epoch has just computed them
        )

    def _restore(self, saved: Checkpoint, descent: Descent) -> None:
        self.network.model.set_weights(self.network.changed(saved.weights))
        descent.restore(saved.descent, saved.optimizer)
        if self.best is not None and saved.best is not None:
            kept = saved.best_weights
            self.best.restore(saved.best, None if kept is None else self.network.changed(kept))
        self.curve, self.path, self.logits = list(saved.curve), list(saved.path), saved.logits
        self.started -= saved.seconds

    def _restore_best(self) -> None:
        """Go back to the best weights so far, if the present ones are not they."""
        if self.best is None or self.best.weights is None or tuple(self.path) == self.best.path:
            return
        self.network.model.set_weights(self.best.weights)
        self.path = list(self.best.path)
        self.logits = None

    def result(self, status: str, *, failure: str | None = None, message: str = "") -> Result:
        """What the caller gets."""
        return Result(
            id=self.job.id,
            status=status,
            logits=None if failure else self.logits,
            curve=tuple(self.curve),
            epochs=len(self.path),
            phase_epochs=tuple(sum(step.phase == i for step in self.path) for i in range(len(self.job.config.phases))),
            learning_rates=tuple(step.learning_rate for step in self.path),
            effective_shares=self.balance.effective_shares(self.path),
            n_parameters=self.network.n_parameters,
            seconds=time.monotonic() - self.started,
            failure=failure,
            message=message,
        )


def _checkpoint_file(job: Job, network: Network, feeds: Sequence[Feed]) -> CheckpointFile | None:
    if job.checkpoint is None:
        return None
    import keras

    # Another version may order a model's weights or an optimizer's variables otherwise, and what is stored is rounded.
    stored = [feed.stored for feed in feeds]
    identity = digest_json([job_digest(job), network.weights_digest, keras.__version__, stored])
    return CheckpointFile(job.checkpoint, identity)
