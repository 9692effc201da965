"""Compiled work on batches: one optimizer step, and the forward pass.

Both take batches of any size with one trace, because tracing a backbone costs seconds. Own code instead of
`keras.Model.fit`, whose every call prepares data adapters and callbacks, traces anew after each `compile`, and counts
its accuracy with weights; nothing is compiled by XLA, which made the same step 16 times slower on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    import keras

Forward = Callable[[NDArray[Any]], NDArray[np.float32]]

MOMENTUM = 0.9


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


def make_forward(model: keras.Model) -> Forward:
    """A function from a batch to logits, or to a list of outputs, in inference mode."""
    import tensorflow as tf

    entry = model.inputs[0]
    call = tf.function(
        lambda batch: model(tf.cast(batch, entry.dtype), training=False),
        input_signature=[_signature(entry.shape[1:], stored_dtype(entry.dtype))],
        jit_compile=False,
    )
    return lambda batch: tf.nest.map_structure(lambda tensor: tensor.numpy(), call(batch))


def stored_dtype(dtype: str) -> str:
    """What a model's input is kept as: pictures as they are, outputs of layers as float16."""
    return dtype if dtype == "uint8" else "float16"


def _signature(shape: tuple[int, ...], dtype: str) -> Any:
    import tensorflow as tf

    return tf.TensorSpec((None, *shape), dtype)


class TrainStep:
    """One gradient step of the layers that were trainable when this was made.

    Parameters
    ----------
    prefix : keras.Model or None
        Frozen layers that run first, in inference mode; None where their outputs are the input.
    tail : keras.Model
        The rest, up to the logits, in training mode.
    config : TrialConfig
        Loss, optimizer, augmentation.
    n_classes : int
    """

    def __init__(self, prefix: keras.Model | None, tail: keras.Model, config: TrialConfig, n_classes: int) -> None:
        self._optimizer = make_optimizer(config)
        self._optimizer.build(tail.trainable_variables)
        self._fresh = self.state()
        self._call = _compile(prefix, tail, self._optimizer, config, n_classes)

    def restart(self) -> None:
        """Forget the optimizer's moments, as a new phase does."""
        self.restore(self._fresh)

    def state(self) -> list[NDArray[Any]]:
        """A copy of the optimizer's variables."""
        return [np.array(variable.numpy()) for variable in self._optimizer.variables]

    def restore(self, state: Sequence[NDArray[Any]]) -> None:
        """Go on from an earlier `state`."""
        for variable, value in zip(self._optimizer.variables, state, strict=True):
            variable.assign(value)

    def __call__(
        self, batch: NDArray[Any], labels: NDArray[np.int64], weights: NDArray[Any], rate: float, seed: int
    ) -> tuple[Any, Any]:
        """Train on one batch.

        Parameters
        ----------
        batch : ndarray of uint8 or float16, shape (b, ...)
        labels : ndarray of int64, shape (b,)
        weights : ndarray, shape (b,)
            Of each picture's loss, 1 on average over the training part.
        rate : float
        seed : int
            Of the augmentation.

        Returns
        -------
        loss, hits : scalar tensors
            Sums over the batch of the weighted loss and of right predictions, before the step; not yet read back,
            so that an accelerator is not waited for.
        """
        self._optimizer.learning_rate = rate
        loss, hits = self._call(batch, labels, weights.astype(np.float32), np.int32(seed))
        return loss, hits


def _compile(
    prefix: keras.Model | None,
    tail: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    config: TrialConfig,
    n_classes: int,
) -> Callable[..., tuple[Any, Any]]:
    import tensorflow as tf

    from fdsearch.models.losses import make_loss

    per_picture = make_loss(config, n_classes)
    variables = tail.trainable_variables
    entry = (prefix or tail).inputs[0]

    def step(batch: Any, labels: Any, weights: Any, seed: Any) -> tuple[Any, Any]:
        inputs = tf.cast(_varied(batch, seed, config) if config.augmentation > 0 else batch, entry.dtype)
        if prefix is not None:
            inputs = prefix(inputs, training=False)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            logits = tail(inputs, training=True)
            losses = weights * tf.cast(per_picture(labels, logits), tf.float32)
            mean = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(mean, [variable.value for variable in variables]), variables)
        hits = tf.reduce_sum(tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int64) == labels, tf.float32))
        return tf.reduce_sum(losses), hits

    signature = [
        _signature(entry.shape[1:], stored_dtype(entry.dtype)),
        _signature((), "int64"),
        _signature((), "float32"),
        tf.TensorSpec((), tf.int32),
    ]
    return tf.function(step, input_signature=signature, jit_compile=False)  # type: ignore[no-any-return]


def _varied(pictures: Any, seed: Any, config: TrialConfig) -> Any:
    """Augmented pictures, rounded to gray values as a camera would deliver them."""
    import tensorflow as tf

    from fdsearch.models.augmentation import augment

    varied = augment(pictures, seed, config.augmentation, config.augmentation_policy)
    return tf.round(tf.clip_by_value(varied, 0.0, 255.0))
