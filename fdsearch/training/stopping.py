"""When a phase ends early, and which weights are kept: the trainer's memory of the monitored rows.

Keras' `EarlyStopping` forgets its best at each `fit` while `ModelCheckpoint` does not; with several phases that mixes
two histories. Here one `Best` lives through all phases and one `Patience` through each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.trial import EarlyStopping

Weights = list[NDArray[np.float32]]


@dataclass(frozen=True)
class Monitored:
    """Figures of the monitored rows after an epoch."""

    macro_f1: float
    loss: float


@dataclass(frozen=True)
class Step:
    """One epoch on the way to the present weights: the phase it belongs to and its mean learning rate."""

    phase: int
    learning_rate: float


class Patience:
    """Counts the epochs of one phase without an improvement.

    Parameters
    ----------
    settings : EarlyStopping
        With ``both``, whichever of the two figures stops improving first ends the phase.

    Examples
    --------
    >>> patience = Patience(EarlyStopping("loss", patience=2))
    >>> [patience.exhausted(epoch, Monitored(0.5, loss)) for epoch, loss in enumerate([1.0, 0.8, 0.9, 0.8])]
    [False, False, False, True]
    """

    def __init__(self, settings: EarlyStopping) -> None:
        self._settings = settings
        watched = {"both": ("macro_f1", "loss"), "none": ()}.get(settings.monitor, (settings.monitor,))
        self._best = dict.fromkeys(watched, -np.inf)
        self._stale = dict.fromkeys(watched, 0)

    def exhausted(self, epoch: int, figures: Monitored) -> bool:
        """Take the figures of an epoch (0-based in the phase); whether the phase should end after it."""
        if epoch < self._settings.start_epoch:
            return False
        current = {"macro_f1": figures.macro_f1, "loss": -figures.loss}
        for name, best in self._best.items():
            improved = current[name] > best and current[name] - best >= self._settings.min_delta
            self._stale[name] = 0 if improved else self._stale[name] + 1
            if improved:
                self._best[name] = current[name]
        return any(stale >= self._settings.patience for stale in self._stale.values())

    def state(self) -> dict[str, Any]:
        """What `exhausted` has counted, as JSON values."""
        return {"best": dict(self._best), "stale": dict(self._stale)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from an earlier `state`."""
        self._best, self._stale = dict(state["best"]), dict(state["stale"])


@dataclass
class Best:
    """The best weights over all phases and the epochs that made them.

    `min_delta` belongs to patience alone: of two epochs the strictly better one is kept. Macro F1 moves in jumps on few
    pictures, so equal macro F1 is decided by the loss.
    """

    monitor: str
    weights: Weights | None = None
    path: tuple[Step, ...] = ()
    _score: tuple[float, ...] = field(default=(-np.inf,), repr=False)

    def offer(self, figures: Monitored, path: Sequence[Step], weights: Callable[[], Weights]) -> bool:
        """Keep the present weights if their figures are the best so far; `weights` is called only then."""
        score = (-figures.loss,) if self.monitor == "loss" else (figures.macro_f1, -figures.loss)
        if score <= self._score:
            return False
        self._score, self.weights, self.path = score, weights(), tuple(path)
        return True

    def state(self) -> dict[str, Any]:
        """All but the weights, as JSON values."""
        return {"score": list(self._score), "path": [asdict(step) for step in self.path]}

    def restore(self, state: dict[str, Any], weights: Weights | None) -> None:
        """Go on from an earlier `state` and its weights."""
        self._score, self.weights = tuple(state["score"]), weights
        self.path = tuple(Step(**step) for step in state["path"])
