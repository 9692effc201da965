"""The mean of the weights that a phase passes through, which is what the network holds whenever it is not trained.

`descent` trains inside `WeightAverage.training`, so that whatever reads the network between two epochs (figures, best
weights, checkpoints, the saved model) finds the mean without knowing of it; `steps` keeps the running mean over steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

    from fdsearch.training.steps import TrainStep

EMA_SHARE = 0.1
"""Of a phase's planned steps, over which its exponential mean reaches back: decay is 1 - 1 / that number."""

SWA_SHARE = 0.25
"""Of a phase's planned epochs: the ends of the last ones, this share of them, are averaged."""


def ema_decay(n_steps: int) -> float:
    """Factor, per step, on the weight of what is past, in a phase of so many planned steps.

    Examples
    --------
    >>> ema_decay(400), ema_decay(5)
    (0.975, 0.0)
    """
    return 1.0 - 1.0 / max(1.0, EMA_SHARE * n_steps)


class RunningMean:
    """The exponential mean of some variables, on the device, updated inside a traced step.

    It starts at 0 and is divided by the weight that has gone into it, as Kingma and Ba (Adam, ICLR 2015, section 3)
    correct their moments: after one step it is that step's weights, whatever the decay.
    """

    def __init__(self, variables: Sequence[keras.Variable]) -> None:
        import keras

        self._variables = variables
        self._sums = [keras.Variable(np.zeros(variable.shape, variable.dtype)) for variable in variables]
        self._mass = keras.Variable(0.0)
        self.decay = keras.Variable(0.0)

    @property
    def state(self) -> list[keras.Variable]:
        """The variables that change; all of them start at 0."""
        return [*self._sums, self._mass]

    def update(self) -> None:
        """Take the present weights in; part of a trace."""
        for mean, variable in zip(self._sums, self._variables, strict=True):
            mean.assign(self.decay * mean + (1.0 - self.decay) * variable)
        self._mass.assign(self.decay * self._mass + (1.0 - self.decay))

    def values(self) -> list[NDArray[np.float32]]:
        """The mean."""
        mass = self._mass.numpy()
        return [np.asarray(mean.numpy() / mass) for mean in self._sums]


class WeightAverage:
    """The mean weights of one phase.

    Parameters
    ----------
    kind : {"none", "ema", "swa"}
        ``ema`` follows each step; ``swa`` is the mean over the ends of the last epochs (Izmailov et al.: Averaging
        weights leads to wider optima and better generalization, UAI 2018), and before those there is none. Both take
        in the statistics of trained batch normalisation.
    step : TrainStep
    n_epochs : int
        Planned, the schedule's horizon: a refit that ends sooner averages what its folds averaged.
    """

    def __init__(self, kind: str, step: TrainStep, n_epochs: int) -> None:
        self._kind, self._step = kind, step
        self._first = n_epochs - math.ceil(SWA_SHARE * n_epochs) if kind == "swa" else 0
        self._trained: list[NDArray[Any]] = []  # what training goes on from, while the network holds the mean
        self._sums: list[NDArray[np.float64]] = []
        self._n = 0

    @contextmanager
    def training(self, epoch: int) -> Iterator[None]:
        """Train an epoch (0-based in the phase) inside: there the network holds the weights that are trained."""
        if self._kind == "none":
            yield
            return
        mean = _read(self._step.averaged) if self._trained else []
        _assign(self._step.averaged, self._trained)
        try:
            yield
        except BaseException:  # asked to stop before the epoch's first step: nothing has changed
            _assign(self._step.averaged, mean)
            raise
        self._take(epoch)

    def _take(self, epoch: int) -> None:
        if epoch < self._first:
            return
        self._trained = _read(self._step.averaged)
        if self._kind == "ema":
            self._hold(self._step.running_mean())
            return
        sums = self._sums or [np.zeros(values.shape) for values in self._trained]
        self._sums, self._n = [sum_ + now for sum_, now in zip(sums, self._trained, strict=True)], self._n + 1
        self._hold([sum_ / self._n for sum_ in self._sums])

    def _hold(self, mean: Sequence[NDArray[Any]]) -> None:
        """Put a mean into the network, under the constraints of its weights: that of unit vectors is a shorter one."""
        _assign(self._step.averaged, mean)
        for variable in self._step.averaged:
            if variable.constraint is not None:
                variable.assign(variable.constraint(variable))

    def state(self) -> list[NDArray[Any]]:
        """What `training` goes on from."""
        return [np.array(self._n), *self._trained, *self._sums]

    def restore(self, state: Sequence[NDArray[Any]]) -> None:
        """Go on from an earlier `state`."""
        n, arrays = int(state[0]), list(state[1:])
        size = len(arrays) // 2 if n else len(arrays)
        self._n, self._trained, self._sums = n, arrays[:size], arrays[size:]


def _read(variables: Sequence[keras.Variable]) -> list[NDArray[Any]]:
    return [np.array(variable.numpy()) for variable in variables]


def _assign(variables: Sequence[keras.Variable], values: Sequence[NDArray[Any]]) -> None:
    """Set variables; nothing where there are no values."""
    for variable, value in zip(variables, values, strict=bool(values)):
        variable.assign(value)
