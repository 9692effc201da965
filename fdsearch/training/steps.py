"""Compiled optimizer steps on a device, some at once.

They read an array that lies on the device and gather their batches there by row number. They take batches of any size
with one trace, because tracing a backbone costs seconds, and what varies between two trials of one shape, or between
two folds, is a variable and not part of the trace. Own code instead of `keras.Model.fit`, whose every call prepares
data adapters and callbacks, traces anew after each `compile`, and counts its accuracy with weights; nothing is compiled
by XLA, which made the same step 16 times slower on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fdsearch.models.augmentation import augment
from fdsearch.models.losses import ClassStatistics, make_loss
from fdsearch.training.averaging import RunningMean
from fdsearch.training.batches import Batches, Floats
from fdsearch.training.optimizers import Updates
from fdsearch.training.resident import dtype_there
from fdsearch.training.tracing import signature, without_leftovers
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    import keras

    from fdsearch.models.losses import LossFunction

_KNOBS = ("label_smoothing", "focal_gamma", "weight_decay", "dropout", "augmentation", "layer_decay", "l2_sp")
"""Numbers of a configuration that a traced step reads from variables."""
_OWN_LOSSES = ("cross_entropy", "focal", "class_balanced", "logit_adjusted", "ldam", "soft_f1")


def traced_for(config: TrialConfig) -> tuple[Any, ...]:
    """What of a configuration is part of a trace: steps of configurations that agree in it are interchangeable."""
    loss = config.loss if config.loss in _OWN_LOSSES else repr(config)  # a plugin's may do anything with its numbers
    varied = config.augmentation_policy if config.augmentation > 0 else None
    methods = (config.mixup > 0, config.layer_decay < 1, config.l2_sp > 0, config.weight_average == "ema")
    return (config.optimizer, loss, varied, *methods)


class TrainStep:
    """Gradient steps of the layers that are trainable when this is made.

    Parameters
    ----------
    prefix : keras.Model or None
        Frozen layers that run first, in inference mode; None where their outputs are the input.
    trunk : keras.Model or None
        What follows, up to the pooled features, in training mode; None where the features are the input.
    head : keras.layers.Dense
        From features to logits; dropout before it is the step's own, so that its rate can vary without a new trace.
    config : TrialConfig
        Loss, optimizer, augmentation (of pictures alone: a step on stored outputs does not augment), mixup, averaging.
    n_classes : int
    depths : mapping or None
        Blocks between each of the backbone's variables and the head, as `optimizers.depths_from_head` gives them.

    Attributes
    ----------
    averaged : list of keras.Variable
        What a mean of the weights is taken of: all that is trained, and the statistics of trained batch normalisation.
    """

    def __init__(
        self,
        prefix: keras.Model | None,
        trunk: keras.Model | None,
        head: keras.layers.Dense,
        config: TrialConfig,
        n_classes: int,
        depths: Mapping[int, int] | None = None,
    ) -> None:
        import tensorflow as tf

        variables = [*([] if trunk is None else trunk.trainable_variables), *head.trainable_variables]
        self.averaged = [*variables, *_trained_statistics(trunk)]
        self._knobs = {name: tf.Variable(float(getattr(config, name)), dtype=tf.float32) for name in _KNOBS}
        self._statistics = ClassStatistics(tf.Variable(tf.ones(n_classes)), tf.Variable(tf.ones(n_classes) / n_classes))
        self._updates = Updates(config, variables, depths or {}, self._knobs)
        self._mean = RunningMean(self.averaged) if config.weight_average == "ema" else None
        knobs: dict[str, Any] = self._knobs
        loss_config = replace(config, **knobs) if config.loss in _OWN_LOSSES else config
        loss = make_loss(loss_config, n_classes, self._statistics)
        network = _Network(prefix, trunk, head, knobs["dropout"], _variation(config, knobs["augmentation"]))
        self._call = _compile(network, variables, self._updates, loss, self._mean, mixes=config.mixup > 0)

    def restart(self, config: TrialConfig, origins: Mapping[int, NDArray[Any]] | None = None) -> None:
        """Forget moments and means, as a new phase does, and take the numbers of a configuration.

        `origins` are the weights that ``l2_sp`` pulls to, by the ids of the variables; needed only with it.
        """
        for variable in self._variables:  # all of them start at 0
            variable.assign(np.zeros(variable.shape, variable.dtype))
        for name, knob in self._knobs.items():
            knob.assign(float(getattr(config, name)))
        self._updates.pull_to(origins or {})

    def prepare(self, counts: Floats, shares: Floats, ema_decay: float) -> None:
        """Take, before an epoch, how often each class is seen, as `ClassStatistics`, and the decay of the mean."""
        self._statistics.counts.assign(counts.astype(np.float32))
        self._statistics.shares.assign(shares.astype(np.float32))
        if self._mean is not None:
            self._mean.decay.assign(ema_decay)

    @property
    def _variables(self) -> list[Any]:
        return [*self._updates.state, *([] if self._mean is None else self._mean.state)]

    def state(self) -> list[NDArray[Any]]:
        """A copy of the variables of optimizer and running mean."""
        return [np.array(variable.numpy()) for variable in self._variables]

    def restore(self, state: Sequence[NDArray[Any]]) -> None:
        """Go on from an earlier `state`."""
        for variable, value in zip(self._variables, state, strict=True):
            variable.assign(value)

    def running_mean(self) -> list[NDArray[np.float32]]:
        """The exponential mean of `averaged` over the steps since `restart`; only with ``weight_average: ema``."""
        if self._mean is None:
            raise ValueError("this step keeps no running mean")
        return self._mean.values()

    def __call__(self, array: Any, batches: Batches) -> tuple[NDArray[np.float32], int]:
        """Train on some batches, one after the other.

        Parameters
        ----------
        array : tensor or ndarray, shape (n, ...)
            As `resident.on_device` gives it. What `batches.rows` count in.
        batches : Batches

        Returns
        -------
        losses : ndarray of float32, shape (n_batches,)
            Sum of the weighted loss over each batch, before its step.
        hits : int
            Right predictions in all batches, each before its step.
        """
        losses, hits = self._call(
            array,
            batches.rows,
            batches.starts.astype(np.int32),  # they stay on the host, where slices are cut
            batches.rates,
            batches.seeds,
            batches.labels,
            batches.weights,
            batches.draws,
            batches.partners,
            batches.mixes,
        )
        return losses.numpy(), int(hits)


@dataclass(frozen=True)
class _Network:
    """A network in training mode, its dropout before the head drawn from a seed."""

    prefix: keras.Model | None
    trunk: keras.Model | None
    head: keras.layers.Dense
    dropout: Any
    vary: Callable[[Any, Any], Any] | None

    @property
    def entry(self) -> Any:
        """Shape and dtype of its input."""
        first = self.prefix or self.trunk
        return self.head.input if first is None else first.inputs[0]

    def frozen(self, batch: Any, draws: Any) -> Any:
        """What comes before the first trained layer."""
        import tensorflow as tf

        inputs = tf.cast(batch if self.vary is None else self.vary(batch, draws), self.entry.dtype)
        return inputs if self.prefix is None else self.prefix(inputs, training=False)

    def logits(self, inputs: Any, seed: Any) -> Any:
        """From the outputs of `frozen`."""
        import tensorflow as tf

        features = inputs if self.trunk is None else self.trunk(inputs, training=True)
        drawn = tf.random.stateless_uniform(tf.shape(features), tf.stack([seed, 1]))
        return self.head(tf.where(drawn < self.dropout, 0.0, features / (1.0 - self.dropout)))


def _compile(
    network: _Network,
    variables: Sequence[Any],
    updates: Updates,
    loss: LossFunction,
    mean: RunningMean | None,
    *,
    mixes: bool,
) -> Callable[..., tuple[Any, Any]]:
    import tensorflow as tf

    def step(inputs: Any, batch: _Batch) -> tuple[Any, Any]:
        inputs = network.frozen(inputs, batch.draws)
        if mixes:
            inputs = _mixed(inputs, tf.gather(inputs, batch.partners), batch.mixes)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            logits = network.logits(inputs, batch.seed)
            losses = batch.weights * tf.cast(loss(batch.labels, logits), tf.float32)
            if mixes:
                labels, weights = tf.gather(batch.labels, batch.partners), tf.gather(batch.weights, batch.partners)
                losses = _mixed(losses, weights * tf.cast(loss(labels, logits), tf.float32), batch.mixes)
            average = tf.reduce_mean(losses)
        updates.apply(tape.gradient(average, [variable.value for variable in variables]), batch.rate)
        if mean is not None:
            mean.update()
        hits = tf.reduce_sum(tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int64) == batch.labels, tf.int32))
        return tf.reduce_sum(losses), hits

    def steps(array: Any, rows: Any, starts: Any, rates: Any, seeds: Any, *of_rows: Any) -> tuple[Any, Any]:
        def one(number: Any, losses: Any, hits: Any) -> tuple[Any, Any, Any]:
            members = slice(starts[number], starts[number + 1])
            batch = _Batch(rates[number], seeds[number], *(values[members] for values in of_rows))
            loss_sum, n_right = step(tf.gather(array, rows[members]), batch)
            return number + 1, losses.write(number, loss_sum), hits + n_right

        n_batches = tf.size(rates)
        start = (tf.constant(0), tf.TensorArray(tf.float32, n_batches, element_shape=()), tf.constant(0))
        _, losses, hits = tf.while_loop(lambda number, *_: number < n_batches, one, start, parallel_iterations=1)
        return losses.stack(), hits

    entry = network.entry
    scalars = [signature((), dtype) for dtype in ("int64", "int32", "float32", "int32", "int64", "float32")]
    mixing = [signature((), "int32"), signature((), "float32")]
    taken = [signature(entry.shape[1:], dtype_there(entry.dtype)), *scalars, signature((None,), "float32"), *mixing]
    return without_leftovers(tf.function(steps, input_signature=taken, autograph=False, jit_compile=False))


class _Batch(NamedTuple):
    """One batch as tensors, in the order in which `TrainStep` hands the arrays of `Batches` over."""

    rate: Any
    seed: Any
    labels: Any
    weights: Any
    draws: Any
    partners: Any
    mixes: Any


def _mixed(own: Any, others: Any, shares: Any) -> Any:
    """Convex mixtures, shape (b, ...), of two tensors, by the share of the first in each row."""
    import tensorflow as tf

    shares = tf.reshape(shares, tf.concat([tf.shape(shares), tf.ones(own.shape.rank - 1, tf.int32)], 0))
    return shares * own + (1.0 - shares) * others


def _trained_statistics(trunk: keras.Model | None) -> list[keras.Variable]:
    """Moving means and variances that training changes."""
    import keras

    layers = [] if trunk is None else trunk._flatten_layers()
    trained = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable]
    return [statistic for layer in trained for statistic in (layer.moving_mean, layer.moving_variance)]


def _variation(config: TrialConfig, strength: Any) -> Callable[[Any, Any], Any] | None:
    if config.augmentation == 0:
        return None
    return lambda pictures, draws: augment(pictures, draws, strength, config.augmentation_policy)
