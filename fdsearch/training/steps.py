"""Compiled work on a device: some optimizer steps at once, and the forward pass.

Both read an array that lies on the device and gather their batches there by row number. They take batches of any size
with one trace, because tracing a backbone costs seconds, and what varies between two trials of one shape is a variable
and not part of the trace. Own code instead of `keras.Model.fit`, whose every call prepares data adapters and callbacks,
traces anew after each `compile`, and counts its accuracy with weights; nothing is compiled by XLA, which made the same
step 16 times slower on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.models.augmentation import augment
from fdsearch.training.batches import Batches
from fdsearch.training.resident import dtype_there
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    import keras

    from fdsearch.models.losses import LossFunction

Forward = Callable[[Any, NDArray[np.int64]], Any]
"""``(array on the device, rows (b,)) -> outputs of those rows`` as numpy arrays."""

MOMENTUM = 0.9
_KNOBS = ("label_smoothing", "focal_gamma", "weight_decay", "dropout", "augmentation")
"""Numbers of a configuration that a traced step reads from variables."""
_OWN_LOSSES = ("cross_entropy", "focal")


def make_optimizer(config: TrialConfig) -> keras.optimizers.Optimizer:
    """The optimizer of a configuration; its rate is set before each step.

    Weight decay is decoupled for all of them and spares biases and normalisation, as in Loshchilov, Hutter (2019).
    """
    import keras

    kinds = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "sgd": lambda **options: keras.optimizers.SGD(momentum=MOMENTUM, nesterov=True, **options),
    }
    optimizer = kinds[config.optimizer](learning_rate=0.0, weight_decay=config.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    # Keras sums gradients over replicas even where there is one, by an operation whose gradient TensorFlow registers
    # for the life of the process; that keeps every step ever traced, 40 MB for each configuration of a search.
    optimizer._all_reduce_sum_gradients = lambda grads_and_vars: grads_and_vars
    return optimizer


def make_forward(model: keras.Model, *, constant: bool = False) -> Forward:
    """A function from rows of an array to the model's output or outputs, in inference mode.

    With `constant` it has the weights that the model has now, whatever becomes of them. TensorFlow then folds what
    follows a convolution into it: 1.3 times as fast for EfficientNet-Lite0 on a CPU, after a second of preparation.
    """
    import tensorflow as tf

    entry = model.inputs[0]
    call = tf.function(
        lambda array, rows: model(tf.cast(tf.gather(array, rows), entry.dtype), training=False),
        input_signature=[_signature(entry.shape[1:], dtype_there(entry.dtype)), _signature((), "int64")],
        autograph=False,
        jit_compile=False,
    )
    run = _with_constants(call) if constant else _without_leftovers(call)
    return lambda array, rows: tf.nest.map_structure(lambda tensor: tensor.numpy(), run(array, rows))


def _with_constants(function: Any) -> Callable[..., Any]:
    """A function as it is now, its variables' values a part of its graph."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    with _nothing_left():
        traced = function.get_concrete_function()
    folded = convert_variables_to_constants_v2(traced)
    structure = tf.nest.map_structure(lambda tensor: None, traced.structured_outputs)  # without the graph it came from

    def call(*arguments: Any) -> Any:
        return tf.nest.pack_sequence_as(structure, tf.nest.flatten(folded(*map(tf.constant, arguments))))

    return call


def _without_leftovers(function: Any) -> Callable[..., Any]:
    """A traced function whose graph nothing but itself keeps."""

    def call(*arguments: Any) -> Any:
        if function.experimental_get_tracing_count():
            return function(*arguments)
        with _nothing_left():
            return function(*arguments)

    return call


@contextmanager
def _nothing_left() -> Iterator[None]:
    """Take back what tracing registers within a block.

    TensorFlow keeps the gradients that operations like silu define themselves, with the graph they were traced in, for
    the life of the process. The gradients of what is compiled here are part of its one trace.
    """
    from tensorflow.python.framework.ops import gradient_registry

    known = set(gradient_registry._registry)
    try:
        yield
    finally:
        for name in set(gradient_registry._registry) - known:
            del gradient_registry._registry[name]


def _signature(shape: Sequence[int | None], dtype: str) -> Any:
    import tensorflow as tf

    return tf.TensorSpec((None, *shape), dtype)


def traced_for(config: TrialConfig) -> tuple[Any, ...]:
    """What of a configuration is part of a trace: steps of configurations that agree in it are interchangeable."""
    loss = config.loss if config.loss in _OWN_LOSSES else repr(config)  # a plugin's may do anything with its numbers
    varied = config.augmentation_policy if config.augmentation > 0 else None
    return (config.optimizer, loss, varied)


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
        Loss, optimizer, augmentation (of pictures alone: a step on stored outputs does not augment).
    n_classes : int
    """

    def __init__(
        self,
        prefix: keras.Model | None,
        trunk: keras.Model | None,
        head: keras.layers.Dense,
        config: TrialConfig,
        n_classes: int,
    ) -> None:
        import tensorflow as tf

        from fdsearch.models.losses import make_loss

        self._optimizer = make_optimizer(config)
        variables = [*([] if trunk is None else trunk.trainable_variables), *head.trainable_variables]
        self._optimizer.build(variables)
        self._knobs = {name: tf.Variable(float(getattr(config, name)), dtype=tf.float32) for name in _KNOBS}
        self._optimizer.weight_decay = self._knobs["weight_decay"]
        knobs: dict[str, Any] = self._knobs
        loss = make_loss(replace(config, **knobs) if config.loss in _OWN_LOSSES else config, n_classes)
        network = _Network(prefix, trunk, head, knobs["dropout"], _variation(config, knobs["augmentation"]))
        self._call = _compile(network, variables, self._optimizer, loss)

    def restart(self, config: TrialConfig) -> None:
        """Forget the optimizer's moments, as a new phase does, and take the numbers of a configuration."""
        for variable in self._optimizer.variables:  # all of them start at 0
            variable.assign(np.zeros(variable.shape, variable.dtype))
        for name, knob in self._knobs.items():
            knob.assign(float(getattr(config, name)))

    def state(self) -> list[NDArray[Any]]:
        """A copy of the optimizer's variables."""
        return [np.array(variable.numpy()) for variable in self._optimizer.variables]

    def restore(self, state: Sequence[NDArray[Any]]) -> None:
        """Go on from an earlier `state`."""
        for variable, value in zip(self._optimizer.variables, state, strict=True):
            variable.assign(value)

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
            batches.labels,
            batches.weights,
            batches.rates,
            batches.seeds,
            batches.draws,
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
    network: _Network, variables: Sequence[Any], optimizer: keras.optimizers.Optimizer, loss: LossFunction
) -> Callable[..., tuple[Any, Any]]:
    import tensorflow as tf

    def step(batch: Any, labels: Any, weights: Any, seed: Any, draws: Any) -> tuple[Any, Any]:
        inputs = network.frozen(batch, draws)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            logits = network.logits(inputs, seed)
            losses = weights * tf.cast(loss(labels, logits), tf.float32)
            mean = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(mean, [variable.value for variable in variables]), variables)
        hits = tf.reduce_sum(tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int64) == labels, tf.int32))
        return tf.reduce_sum(losses), hits

    def steps(
        array: Any, rows: Any, starts: Any, labels: Any, weights: Any, rates: Any, seeds: Any, draws: Any
    ) -> tuple[Any, Any]:
        def one(number: Any, losses: Any, hits: Any) -> tuple[Any, Any, Any]:
            members = slice(starts[number], starts[number + 1])
            optimizer.learning_rate = rates[number]
            batch = tf.gather(array, rows[members])
            loss_sum, n_right = step(batch, labels[members], weights[members], seeds[number], draws[members])
            return number + 1, losses.write(number, loss_sum), hits + n_right

        n_batches = tf.size(rates)
        start = (tf.constant(0), tf.TensorArray(tf.float32, n_batches, element_shape=()), tf.constant(0))
        _, losses, hits = tf.while_loop(lambda number, *_: number < n_batches, one, start, parallel_iterations=1)
        return losses.stack(), hits

    entry = network.entry
    of_rows = [_signature((), dtype) for dtype in ("int64", "int32", "int64", "float32", "float32", "int32")]
    signature = [_signature(entry.shape[1:], dtype_there(entry.dtype)), *of_rows, _signature((None,), "float32")]
    return _without_leftovers(tf.function(steps, input_signature=signature, autograph=False, jit_compile=False))


def _variation(config: TrialConfig, strength: Any) -> Callable[[Any, Any], Any] | None:
    if config.augmentation == 0:
        return None
    return lambda pictures, draws: augment(pictures, draws, strength, config.augmentation_policy)
