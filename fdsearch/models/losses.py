"""The table of losses: functions of labels and logits, one number per picture.

They return a number per picture and no mean, because the trainer weighs pictures by their class. A plugin's join with
``@fdsearch.loss("name")``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from fdsearch.models.tables import NameTable
from fdsearch.trial import TrialConfig

LossFunction = Callable[[Any, Any], Any]
"""``(y_true int (n,), logits (n, n_classes)) -> float32 (n,)``, on tensors."""


class LossMaker(Protocol):
    """Makes the loss of a trial from its configuration."""

    def __call__(self, config: TrialConfig, n_classes: int) -> LossFunction: ...


LOSSES: NameTable[LossMaker] = NameTable("loss")


def loss(name: str) -> Callable[[LossMaker], LossMaker]:
    """Return a decorator that enters a `LossMaker` under `name`.

    Raises
    ------
    ConfigError
        If the name is taken.
    """
    return LOSSES.register(name)


def make_loss(config: TrialConfig, n_classes: int) -> LossFunction:
    """Return the loss a trial names.

    Raises
    ------
    ConfigError
        If there is none of that name.

    Examples
    --------
    >>> import numpy as np
    >>> config = TrialConfig.from_params({"loss": "cross_entropy"})
    >>> losses = make_loss(config, 2)(np.array([0, 1]), np.array([[0.0, 0.0], [2.0, 0.0]]))
    >>> [round(float(value), 3) for value in losses]
    [0.693, 2.127]
    """
    return LOSSES.find(config.loss, "$.loss")(config, n_classes)


@loss("cross_entropy")
def cross_entropy(config: TrialConfig, n_classes: int) -> LossFunction:
    """Cross-entropy against labels smoothed by ``label_smoothing``: that share is spread evenly over all classes."""

    def losses(y_true: Any, logits: Any) -> Any:
        from keras import ops

        targets, log_p = _targets(y_true, n_classes, config.label_smoothing), _log_softmax(logits)
        return -ops.sum(targets * log_p, axis=-1)

    return losses


@loss("focal")
def focal(config: TrialConfig, n_classes: int) -> LossFunction:
    """Focal loss: each class's term of the cross-entropy times ``(1 - p) ** focal_gamma``.

    With ``focal_gamma: 0`` it is the cross-entropy; the larger, the less a picture that is already right counts.

    References
    ----------
    .. [1] Lin, Goyal, Girshick, He, Dollár: Focal loss for dense object detection. ICCV 2017.
    """

    def losses(y_true: Any, logits: Any) -> Any:
        from keras import ops

        targets, log_p = _targets(y_true, n_classes, config.label_smoothing), _log_softmax(logits)
        # 1 - p can round below 0, and 0 ** gamma has no finite slope for gamma < 1.
        missed = ops.maximum(1.0 - ops.exp(log_p), 1e-7)
        return -ops.sum(targets * missed**config.focal_gamma * log_p, axis=-1)

    return losses


def _targets(y_true: Any, n_classes: int, smoothing: float) -> Any:
    from keras import ops

    return ops.one_hot(y_true, n_classes, dtype="float32") * (1.0 - smoothing) + smoothing / n_classes


def _log_softmax(logits: Any) -> Any:
    from keras import ops

    return ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
