"""The optimizer of a training step, with a rate of its own for each block and a pull back to where training began.

`steps` builds on it. Decay, pull and gradient step are all proportional to the rate, so a block's share of the rate is
its share of the whole update, whatever the optimizer; scaling gradients would not do, because Adam divides by them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.models.blocks import blocks
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    import keras

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


def depths_from_head(model: keras.Model) -> dict[int, int]:
    """How many blocks each weight of a backbone is away from the head, by the id of its variable; 1 for the last block.

    Examples
    --------
    >>> from fdsearch.models.builders import build_model
    >>> model = build_model(TrialConfig.from_params({"backbone": "s_cnn_02", "image_size": 32}), 3)
    >>> depths = depths_from_head(model)
    >>> [(weight.path, depths.get(id(weight))) for weight in model.weights[::2]]
    [('conv_1/kernel', 3), ('conv_2/kernel', 2), ('hidden_1/kernel', 1), ('logits/kernel', None)]
    """
    depths: dict[int, int] = {}
    for depth, block in enumerate(reversed(blocks(model)), 1):
        for layer in block.layers:
            for weight in layer.weights:
                depths.setdefault(id(weight), depth)
    return depths


class Updates:
    """What a step does to its variables, given their gradients.

    Parameters
    ----------
    config : TrialConfig
        Says which of decay by layers and pull there are; how strong they are, `knobs` say.
    variables : sequence of keras.Variable
        All that are trained.
    depths : mapping
        From the id of a variable to its blocks' distance from the head; those without an entry, the head's, have 0.
    knobs : mapping of str to tf.Variable
        Of ``weight_decay``, ``layer_decay`` and ``l2_sp``.

    Notes
    -----
    With ``layer_decay`` d the rate of a block is d to the power of its distance from the head, times the rate of the
    head, as Clark et al. (ELECTRA, ICLR 2020, appendix B) fine-tune. ``l2_sp`` adds ``-rate * l2_sp * (w - w0)`` to
    the update of a backbone's weight w, w0 being what the job began with (Li, Grandvalet, Davoine: Explicit inductive
    bias for transfer learning with convolutional networks, ICML 2018); their penalty is decoupled from the gradient
    for the same reason as weight decay. The head has no w0 and its own `weight_decay`.
    """

    def __init__(
        self,
        config: TrialConfig,
        variables: Sequence[keras.Variable],
        depths: Mapping[int, int],
        knobs: Mapping[str, Any],
    ) -> None:
        import tensorflow as tf

        self._variables, self._knobs = variables, knobs
        self._depths = [depths.get(id(variable), 0) for variable in variables]
        self._graded = config.layer_decay < 1
        self._origins: dict[int, tf.Variable] = {}
        if config.l2_sp > 0:
            backbone = [variable for variable, depth in zip(variables, self._depths, strict=True) if depth > 0]
            self._origins = {id(variable): tf.Variable(variable.value, trainable=False) for variable in backbone}
        self._optimizer = make_optimizer(config)
        self._optimizer.build(variables)
        self._optimizer.weight_decay = None if self._graded else knobs["weight_decay"]
        if self._graded:
            self._grade()

    @property
    def state(self) -> list[Any]:
        """The optimizer's variables; all of them start at 0."""
        return list(self._optimizer.variables)

    def pull_to(self, origins: Mapping[int, NDArray[Any]]) -> None:
        """Set what ``l2_sp`` pulls to: values by the ids of variables, of those that are not trained too."""
        for name, origin in self._origins.items():
            origin.assign(origins[name])

    def apply(self, gradients: Sequence[Any], rate: Any) -> None:
        """One step at a rate; part of a trace."""
        self._optimizer.learning_rate = rate
        for variable, depth in zip(self._variables, self._depths, strict=True):
            self._decay(variable, rate * self._share(depth) if self._graded else rate)
        self._optimizer.apply(gradients, self._variables)

    def _decay(self, variable: keras.Variable, rate: Any) -> None:
        """The decoupled terms that Keras' optimizer does not apply itself."""
        if id(variable) in self._origins:
            variable.value.assign_sub(rate * self._knobs["l2_sp"] * (variable.value - self._origins[id(variable)]))
        if self._graded and self._optimizer._use_weight_decay(variable.value):
            variable.value.assign_sub(rate * self._knobs["weight_decay"] * variable.value)

    def _share(self, depth: int) -> Any:
        import tensorflow as tf

        return tf.pow(self._knobs["layer_decay"], float(depth))

    def _grade(self) -> None:
        """Give each variable its share of the rate that Keras hands to every `update_step`."""
        optimizer, depths = self._optimizer, self._depths
        plain = optimizer.update_step

        def update_step(gradient: Any, variable: Any, learning_rate: Any) -> None:
            plain(gradient, variable, learning_rate * self._share(depths[optimizer._get_variable_index(variable)]))

        optimizer.update_step = update_step


def values_by_id(model: keras.Model, weights: Sequence[NDArray[np.float32]]) -> dict[int, NDArray[np.float32]]:
    """Some weights of a model, in the order of ``model.weights``, by the ids of its variables."""
    return {id(variable): values for variable, values in zip(model.weights, weights, strict=True)}
