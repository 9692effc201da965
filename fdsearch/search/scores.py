"""Scores of the complete trials: what a trial's path is compared with, and which trial an equal point repeats.

`ledger` fills it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


class Scores:
    """The complete trials of one study that went through every fold.

    Copies did not, nor did trials that somebody ended with a score of his own (a dashboard can, on the database
    itself): they are compared with nothing.

    Parameters
    ----------
    n_folds : int
    first_fold_step : int
        The step at which trials report their score after the first fold; later folds follow.
    """

    def __init__(self, n_folds: int, first_fold_step: int) -> None:
        self._n_folds, self._first_fold_step = n_folds, first_fold_step
        self._twins: dict[str, tuple[int, float]] = {}
        self._paths: dict[int, tuple[float, ...]] = {}

    @property
    def paths(self) -> list[tuple[float, ...]]:
        """The pooled scores of each trial, fold by fold."""
        return list(self._paths.values())

    def twin(self, params: Mapping[str, Any]) -> tuple[int, float] | None:
        """Number and score of a trial with the same parameters: the folds and seeds are the same, so is the score."""
        return self._twins.get(_key(params))

    def add(self, number: int, params: Mapping[str, Any], value: float, path: Sequence[float]) -> None:
        """Take a complete trial's score and its path there."""
        if len(path) == self._n_folds:
            self._twins.setdefault(_key(params), (number, value))
            self._paths[number] = tuple(path)

    def read(self, trial: FrozenTrial) -> None:
        """Take a complete trial as it is stored."""
        reported = sorted(trial.intermediate_values.items())
        path = [score for step, score in reported if step >= self._first_fold_step]
        if trial.value is not None:
            self.add(trial.number, trial.params, trial.value, path)


def _key(params: Mapping[str, Any]) -> str:
    return repr(sorted(params.items()))
