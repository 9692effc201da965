"""One configuration with everything its cross-validation left behind; made by `cross_validation`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fdsearch.data.folds import Fold
from fdsearch.metrics import predict
from fdsearch.training.job import Job, Refit, Result
from fdsearch.trial import TrialConfig


@dataclass(frozen=True, eq=False)
class Candidate:
    """What cross-validation found out about one configuration.

    Parameters
    ----------
    name : str
    config : TrialConfig
    logits : ndarray of float32, shape (n_repeats, n, n_classes)
        Out of fold, by dataset row; NaN in rows that a repeat did not validate.
    results : tuple of tuple of Result
        By repeat and fold.
    fold_jobs : tuple of Job
        What the first repeat's folds were fitted by; their models lie where ``save_to`` says, if anywhere.
    """

    name: str
    config: TrialConfig
    logits: NDArray[np.float32]
    results: tuple[tuple[Result, ...], ...]
    fold_jobs: tuple[Job, ...] = ()

    @property
    def predictions(self) -> NDArray[np.int64]:
        """Predicted classes, shape (n_repeats, n); `fdsearch.metrics.UNPREDICTED` in rows that were not validated."""
        return predict(self.logits)

    @property
    def epochs(self) -> tuple[tuple[int, ...], ...]:
        """Epochs that made each fold's weights, by repeat and fold."""
        return tuple(tuple(result.epochs for result in repeat) for repeat in self.results)

    @property
    def effective_shares(self) -> NDArray[np.float64]:
        """Class shares as the loss weighed them, averaged over all fits; shape (n_classes,)."""
        return np.asarray(np.mean([result.effective_shares for result in self._fits], axis=0))

    @property
    def seconds(self) -> float:
        """Training time of all fits together."""
        return sum(result.seconds for result in self._fits)

    def refit(self) -> Refit:
        """How the final fit on all development pictures repeats the folds.

        Each phase stops where it did in the middle fold by epochs; a plateau schedule, which watched that fold, is
        replayed from it.
        """
        middle = sorted(self._fits, key=lambda result: result.epochs)[(len(self._fits) - 1) // 2]
        return Refit(
            epochs=middle.epochs,
            learning_rates=middle.learning_rates if self.config.schedule == "plateau" else None,
            phase_epochs=middle.phase_epochs or None,
        )

    @property
    def _fits(self) -> list[Result]:
        return [result for repeat in self.results for result in repeat]


def out_of_fold(
    results: Sequence[Sequence[Result]], repeats: Sequence[Sequence[Fold]], n: int, n_classes: int
) -> NDArray[np.float32]:
    """Lay the folds' logits out by repeat and dataset row.

    Parameters
    ----------
    results : sequence of sequence of Result
        Finished fits by repeat and fold.
    repeats : sequence of sequence of Fold
        The folds they were fitted on.
    n, n_classes : int
        Size of the dataset.

    Returns
    -------
    ndarray of float32, shape (n_repeats, n, n_classes)
        NaN in rows that a repeat did not validate.
    """
    logits = np.full((len(results), n, n_classes), np.nan, np.float32)
    for index, (fits, folds) in enumerate(zip(results, repeats, strict=True)):
        for result, fold in zip(fits, folds, strict=True):
            if result.logits is not None:
                logits[index, fold.validation] = result.logits
    return logits
