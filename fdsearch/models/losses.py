"""The table of losses: functions of labels and logits, one number per picture.

They return a number per picture and no mean, because the trainer weighs pictures by their class. A plugin's join with
``@fdsearch.loss("name")``.

Which go with which weights: ``cross_entropy`` and ``focal`` with any ``class_weighting``; ``class_balanced`` with 1,
the default, for the weights of its paper; ``logit_adjusted`` with 0 (what weights have balanced is not adjusted again,
so that with 1 it is the weighted cross-entropy); ``ldam`` with 1 and a ``deferred_weighting`` for its paper's deferred
re-weighting; ``soft_f1`` takes none.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from fdsearch.models.tables import NameTable
from fdsearch.trial import TrialConfig

LossFunction = Callable[[Any, Any], Any]
"""``(y_true int (n,), logits (n, n_classes)) -> float32 (n,)``, on tensors."""

BALANCED_BY_THEMSELVES = frozenset({"logit_adjusted", "soft_f1"})
"""Losses whose logits are those of equally frequent classes, whatever the shares of the classes they saw."""

MARGIN = 5.0
"""Of the rarest class in ``ldam``, in logits: its paper's margin, 0.5, times a scale s of 10.

The paper's s of 30 belongs to its normalised head, whose products lie between -1 and 1; a linear head's have no bound.
"""


@dataclass(frozen=True)
class ClassStatistics:
    """How often the classes are seen; tensors or variables, so that fits on other rows can share a traced step.

    Parameters
    ----------
    counts : float32, shape (n_classes,)
        Training pictures of each class; 0 where it is absent.
    shares : float32, shape (n_classes,)
        Class shares as sampling and weights let the loss see them at the moment; they sum to 1.
    """

    counts: Any
    shares: Any


class LossMaker(Protocol):
    """Makes the loss of a trial from its configuration."""

    def __call__(self, config: TrialConfig, n_classes: int) -> LossFunction: ...


class StatisticalLossMaker(Protocol):
    """Makes a loss that depends on how often the classes are seen; known by the name of its third parameter."""

    def __call__(self, config: TrialConfig, n_classes: int, statistics: ClassStatistics) -> LossFunction: ...


LOSSES: NameTable[LossMaker | StatisticalLossMaker] = NameTable("loss")

_Maker = TypeVar("_Maker", bound=LossMaker | StatisticalLossMaker)


def loss(name: str) -> Callable[[_Maker], _Maker]:
    """Return a decorator that enters a `LossMaker` or a `StatisticalLossMaker` under `name`.

    Raises
    ------
    ConfigError
        If the name is taken.
    """
    return cast(Callable[[_Maker], _Maker], LOSSES.register(name))


def make_loss(config: TrialConfig, n_classes: int, statistics: ClassStatistics | None = None) -> LossFunction:
    """Return the loss a trial names.

    Parameters
    ----------
    config : TrialConfig
    n_classes : int
    statistics : ClassStatistics or None
        Of the rows that are trained on, for losses that ask for them.

    Raises
    ------
    ConfigError
        If there is none of that name.
    ValueError
        If the loss needs `statistics` and there are none.

    Examples
    --------
    >>> import numpy as np
    >>> config = TrialConfig.from_params({"loss": "cross_entropy"})
    >>> losses = make_loss(config, 2)(np.array([0, 1]), np.array([[0.0, 0.0], [2.0, 0.0]]))
    >>> [round(float(value), 3) for value in losses]
    [0.693, 2.127]
    """
    maker: Any = LOSSES.find(config.loss, "$.loss")
    if "statistics" not in inspect.signature(maker).parameters:
        return maker(config, n_classes)  # type: ignore[no-any-return]
    if statistics is None:
        raise ValueError(f"the loss {config.loss} needs the class statistics of the training rows")
    return maker(config, n_classes, statistics=statistics)  # type: ignore[no-any-return]


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


@loss("class_balanced")
def class_balanced(config: TrialConfig, n_classes: int) -> LossFunction:
    """Cross-entropy of classes weighed by the effective number of their pictures.

    The weights are the trainer's, which takes a class's effective number for its count where a trial names this loss:
    ``class_weighting`` is the exponent of its inverse, so that nothing is weighed twice, 0 is the plain cross-entropy,
    and a probe before the gradient phases is weighed alike. See `fdsearch.training.balance.effective_numbers`.

    References
    ----------
    .. [1] Cui, Jia, Lin, Song, Belongie: Class-balanced loss based on effective number of samples. CVPR 2019,
       section 4.
    """
    return cross_entropy(config, n_classes)


@loss("logit_adjusted")
def logit_adjusted(config: TrialConfig, n_classes: int, statistics: ClassStatistics) -> LossFunction:
    """Cross-entropy of the logits plus the log of the class shares the loss sees; tau is 1.

    The network's own logits are then those of equally frequent classes. A class without a picture takes no part.

    References
    ----------
    .. [1] Menon et al.: Long-tail learning via logit adjustment. ICLR 2021, equation 10.
    """
    plain = cross_entropy(config, n_classes)

    def losses(y_true: Any, logits: Any) -> Any:
        from keras import ops

        # The floor keeps the smoothed label's term of an absent class finite.
        return plain(y_true, ops.cast(logits, "float32") + ops.log(ops.maximum(statistics.shares, 1e-6)))

    return losses


@loss("ldam")
def ldam(config: TrialConfig, n_classes: int, statistics: ClassStatistics) -> LossFunction:
    """Cross-entropy that asks of a picture's own class a margin, the larger the rarer it is: `MARGIN` for the rarest.

    Margins fall with the fourth root of a class's count. The paper's second stage, in which classes are weighed, is
    ``class_weighting`` with a ``deferred_weighting``.

    References
    ----------
    .. [1] Cao, Wei, Gaidon, Arechiga, Ma: Learning imbalanced datasets with label-distribution-aware margin loss.
       NeurIPS 2019, equation 13.
    """
    plain = cross_entropy(config, n_classes)

    def losses(y_true: Any, logits: Any) -> Any:
        from keras import ops

        counts = statistics.counts
        roots = ops.where(counts > 0, ops.maximum(counts, 1.0) ** -0.25, 0.0)
        margins = MARGIN * roots / ops.max(roots)
        own = ops.one_hot(y_true, n_classes, dtype="float32")
        return plain(y_true, ops.cast(logits, "float32") - own * margins)

    return losses


@loss("soft_f1")
def soft_f1(config: TrialConfig, n_classes: int) -> LossFunction:
    """One minus the batch's macro F1, its counts replaced by sums of probabilities; the same number for each picture.

    Classes without a picture in the batch are left out, so batches should hold several of each class: large ones, or
    ``sampling: balanced``. ``label_smoothing`` and ``class_weighting`` play no part.

    References
    ----------
    .. [1] Bénédict, Koops, Odijk, de Rijke: sigmoidF1: a smooth F1 score surrogate loss for multilabel classification.
       TMLR 2022, section 3 (there with sigmoids instead of the softmax).
    """

    def losses(y_true: Any, logits: Any) -> Any:
        from keras import ops

        p, true = ops.exp(_log_softmax(logits)), _targets(y_true, n_classes, 0.0)
        n_true = ops.sum(true, axis=0)
        f1 = 2.0 * ops.sum(p * true, axis=0) / ops.maximum(ops.sum(p, axis=0) + n_true, 1e-7)
        present = ops.cast(n_true > 0, "float32")
        macro = ops.sum(f1 * present) / ops.sum(present)
        return ops.ones_like(p[:, 0]) * (1.0 - macro)

    return losses


def _targets(y_true: Any, n_classes: int, smoothing: float) -> Any:
    from keras import ops

    return ops.one_hot(y_true, n_classes, dtype="float32") * (1.0 - smoothing) + smoothing / n_classes


def _log_softmax(logits: Any) -> Any:
    from keras import ops

    return ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
