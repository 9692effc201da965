"""One gradient phase while it runs: its step, its learning rate, its patience, and how many epochs it has done.

`trainer` asks for epochs until the phase has ended; `checkpoint` keeps the state between two of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from fdsearch.training import phases
from fdsearch.training.batches import Floats
from fdsearch.training.job import Ints, Job
from fdsearch.training.network import Network
from fdsearch.training.phases import EpochFigures, Feed
from fdsearch.training.schedules import LearningRate
from fdsearch.training.stopping import Monitored, Patience


class Descent:
    """A gradient phase of a job.

    Parameters
    ----------
    job : Job
    network : Network
        Its trainable layers are set, and its optimizer starts afresh.
    index : int
        Of the phase in the configuration.
    feed : Feed
    """

    def __init__(self, job: Job, network: Network, index: int, feed: Feed) -> None:
        config = job.config
        self.index, self.phase, self.feed = index, config.phases[index], feed
        self._job, self._network = job, network
        network.set_trainable(self.phase, config.batch_norm)
        self._step = network.step(config, feed.cut, stored=feed.stored)
        self._schedule = LearningRate(config.schedule, self.phase.learning_rate, config.warmup, self.phase.epochs)
        self._patience = Patience(config.early_stopping)
        self._planned = phases.planned_epochs(config, job.refit)[index]
        self._epoch = 0
        self._out_of_patience = False

    @property
    def ended(self) -> bool:
        """Whether the phase has no epoch left."""
        return self._out_of_patience or self._epoch >= self._planned

    def train_epoch(self, rows: Ints, weights: Floats, number: int) -> EpochFigures:
        """Train once over some rows; `number` counts the job's epochs, over all phases."""
        config, seed = self._job.config, self._job.seed
        # All epochs have as many steps, so this is where an uninterrupted fit would be.
        self._network.seed_random_layers(seed, number * phases.n_batches(rows, config.batch_size))
        replay = None if self._job.refit is None else self._job.refit.learning_rates

        def rate(share: float) -> float:
            """The rate when a share of the epoch is done; a replay's rates are those of whole epochs."""
            return self._schedule.at(self._epoch + share) if not replay else replay[min(number, len(replay) - 1)]

        return phases.train_epoch(
            self._step,
            self.feed,
            self._job,
            rows,
            weights,
            epoch=number,
            rate=rate,
        )

    def finish_epoch(self, figures: EpochFigures, monitored: Monitored | None, *, may_stop: bool) -> None:
        """Let schedule and, where it may end the phase, patience take notice of an epoch."""
        self._schedule.observe(self._epoch, figures.loss if monitored is None else monitored.loss)
        if may_stop and monitored is not None:
            self._out_of_patience = self._patience.exhausted(self._epoch, monitored)
        self._epoch += 1

    def state(self) -> dict[str, Any]:
        """Where the phase is, as JSON values; the optimizer's variables are apart."""
        return {
            "epoch": self._epoch,
            "out_of_patience": self._out_of_patience,
            "schedule": self._schedule.state(),
            "patience": self._patience.state(),
        }

    def optimizer_state(self) -> list[NDArray[Any]]:
        """The optimizer's variables."""
        return self._step.state()

    def restore(self, state: dict[str, Any], optimizer: Sequence[NDArray[Any]]) -> None:
        """Go on from an earlier `state` and `optimizer_state`."""
        self._epoch, self._out_of_patience = state["epoch"], state["out_of_patience"]
        self._schedule.restore(state["schedule"])
        self._patience.restore(state["patience"])
        self._step.restore(optimizer)
