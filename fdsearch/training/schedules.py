"""Learning rates inside one phase: warm-up, then constant, step, cosine or plateau.

A phase asks for a rate before every batch and reports the watched loss after every epoch; only the plateau schedule
listens. The optimizer never holds a schedule of its own, so that a phase, a replay and a record see the same numbers.
"""

from __future__ import annotations

import math
from typing import Any

from fdsearch.parameters import SCHEDULES

PLATEAU_FACTOR = 0.3
PLATEAU_PATIENCE = 2
PLATEAU_MIN_IMPROVEMENT = 1e-3
"""Relative to the best loss. Phases last 4 to 24 epochs, so the plateau reacts sooner than Keras' default (10)."""


class LearningRate:
    """The rate of one phase as a function of the time inside it.

    Parameters
    ----------
    schedule : {"constant", "step", "cosine", "plateau"}
        ``step`` divides by 10 after 1/2 and again after 3/4 of the phase [1]_; ``cosine`` falls to 0 at the phase's
        planned end [2]_; ``plateau`` multiplies by `PLATEAU_FACTOR` after `PLATEAU_PATIENCE` epochs in which the
        watched loss did not improve.
    peak : float
        Rate at the top.
    warmup : float
        Share of the planned epochs, 0 to 1, in which the rate rises linearly to `peak`.
    epochs : int
        Planned length. It stays the horizon where a refit or early stopping ends the phase sooner.

    References
    ----------
    .. [1] He et al. (2016), "Deep residual learning for image recognition", section 4.2.
    .. [2] Loshchilov, Hutter (2017), "SGDR: stochastic gradient descent with warm restarts", equation 5.

    Examples
    --------
    >>> rate = LearningRate("cosine", peak=1.0, warmup=0.0, epochs=10)
    >>> [round(rate.at(epoch), 2) for epoch in (0, 5, 10)]
    [1.0, 0.5, 0.0]
    """

    def __init__(self, schedule: str, peak: float, warmup: float, epochs: int) -> None:
        if schedule not in SCHEDULES:
            raise ValueError(f"schedule is {schedule!r}; known: {', '.join(SCHEDULES)}")
        self._schedule = schedule
        self._peak = peak
        self._warmup = warmup * epochs
        self._epochs = epochs
        self._scale = 1.0
        self._best = math.inf
        self._stale = 0

    def at(self, time: float) -> float:
        """The rate at a time, in epochs since the phase began (fractions are batches)."""
        if time < self._warmup:
            # Not from 0: the first batch would be wasted.
            return self._peak * max(time / self._warmup, 0.01)
        return self._peak * self._scale * self._shape((time - self._warmup) / max(self._epochs - self._warmup, 1e-9))

    def state(self) -> dict[str, Any]:
        """What `observe` has learnt, as JSON values."""
        return {"scale": self._scale, "best": self._best, "stale": self._stale}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from an earlier `state`."""
        self._scale, self._best, self._stale = state["scale"], state["best"], state["stale"]

    def _shape(self, progress: float) -> float:
        if self._schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        if self._schedule == "step":
            return 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01
        return 1.0

    def observe(self, epoch: int, loss: float) -> None:
        """Take notice of the watched loss after an epoch (0-based in the phase); warm-up epochs do not count."""
        if self._schedule != "plateau" or epoch + 1 <= self._warmup:
            return
        if loss < self._best * (1 - PLATEAU_MIN_IMPROVEMENT):
            self._best, self._stale = loss, 0
            return
        self._stale += 1
        if self._stale >= PLATEAU_PATIENCE:
            self._scale *= PLATEAU_FACTOR
            self._stale = 0
