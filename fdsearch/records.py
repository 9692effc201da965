"""Plain records that pass between stages which do not know each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fdsearch.space import Value


@dataclass(frozen=True)
class TrialRecord:
    """A finished trial as selection and report see it.

    Parameters
    ----------
    number : int
        Trial number in its study.
    state : {"COMPLETE", "PRUNED", "FAIL"}
    value : float or None
        Pooled out-of-fold macro F1, of COMPLETE trials.
    params : mapping
        Flat parameters.
    logits : ndarray of float32, shape (n, n_classes), or None
        Out-of-fold logits by dataset row; rows of folds that were not finished are NaN.
    epochs : tuple of int
        Epochs each finished fold took.
    seconds : float
    latency_ms : float or None
        Of its exported model for one picture, where it was measured.
    feasible : bool
        Whether it holds the study's bounds; one that does not is no answer.
    """

    number: int
    state: str
    value: float | None
    params: Mapping[str, Value]
    logits: NDArray[np.float32] | None
    epochs: tuple[int, ...]
    seconds: float
    latency_ms: float | None = None
    feasible: bool = True
