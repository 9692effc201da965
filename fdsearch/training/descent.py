"""One gradient phase while it runs: its step, its learning rate, its patience, and how many epochs it has done.

`trainer` asks for epochs until the phase has ended; `checkpoint` keeps the state between two of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from numpy.typing import NDArray

from fdsearch.training import phases
from fdsearch.training.averaging import WeightAverage, ema_decay
from fdsearch.training.balance import Balance
from fdsearch.training.feeds import Feed
from fdsearch.training.job import Ints, Job
from fdsearch.training.network import Network
from fdsearch.training.phases import EpochFigures
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
        averaged = config.weight_average if index == len(config.phases) - 1 else "none"
        self._step = network.step(replace(config, weight_average=averaged), feed.cut, stored=feed.stored)
        self._average = WeightAverage(averaged, self._step, self.phase.epochs)
        self._schedule = LearningRate(config.schedule, self.phase.learning_rate, config.warmup, self.phase.epochs)
        self._patience = Patience(config.early_stopping)
        self._planned = phases.planned_epochs(config, job.refit)[index]
        self._epoch = 0
        self._out_of_patience = False

    @property
    def ended(self) -> bool:
        """Whether the phase has no epoch left."""
        return self._out_of_patience or self._epoch >= self._planned

    def train_epoch(self, rows: Ints, balance: Balance, number: int) -> EpochFigures:
        """Train once over some rows; `number` counts the job's epochs, over all phases.

        Where weights are averaged, the network holds their mean afterwards.
        """
        config, seed = self._job.config, self._job.seed
        n_steps = phases.n_batches(rows, config.batch_size)
        # All epochs have as many steps, so this is where an uninterrupted fit would be.
        self._network.seed_random_layers(seed, number * n_steps)
        shares = balance.shares(self.index, self._epoch)
        self._step.prepare(balance.counts, shares, ema_decay(n_steps * self.phase.epochs))
        with self._average.training(self._epoch):
            return phases.train_epoch(
                self._step,
                self.feed,
                self._job,
                rows,
                balance.weights(self.index, self._epoch),
                epoch=number,
                rate=partial(self._rate, number),
            )

    def _rate(self, number: int, share: float) -> float:
        """The rate when a share of an epoch is done; a replay's rates are those of whole epochs."""
        replay = None if self._job.refit is None else self._job.refit.learning_rates
        return self._schedule.at(self._epoch + share) if not replay else replay[min(number, len(replay) - 1)]

    def finish_epoch(self, figures: EpochFigures, monitored: Monitored | None, *, may_stop: bool) -> None:
        """Let schedule and, where it may end the phase, patience take notice of an epoch."""
        self._schedule.observe(self._epoch, figures.loss if monitored is None else monitored.loss)
        if may_stop and monitored is not None:
            self._out_of_patience = self._patience.exhausted(self._epoch, monitored)
        self._epoch += 1

    def state(self) -> dict[str, Any]:
        """Where the phase is, as JSON values; arrays are apart."""
        return {
            "epoch": self._epoch,
            "out_of_patience": self._out_of_patience,
            "schedule": self._schedule.state(),
            "patience": self._patience.state(),
        }

    def optimizer_state(self) -> list[NDArray[Any]]:
        """The variables of the training step, and what the mean of the weights goes on from."""
        return [*self._step.state(), *self._average.state()]

    def restore(self, state: dict[str, Any], optimizer: Sequence[NDArray[Any]]) -> None:
        """Go on from an earlier `state` and `optimizer_state`; the network's weights are those of that time."""
        self._epoch, self._out_of_patience = state["epoch"], state["out_of_patience"]
        self._schedule.restore(state["schedule"])
        self._patience.restore(state["patience"])
        n_of_step = len(self._step.state())
        self._step.restore(optimizer[:n_of_step])
        self._average.restore(optimizer[n_of_step:])
