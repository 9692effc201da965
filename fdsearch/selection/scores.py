"""Scores as they are printed: a macro F1 with its interval and support, and which of two is the headline.

The rules about intervals are in `intervals`; what having been chosen is worth comes from `replay`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.metrics import UNPREDICTED, group_bootstrap, macro_f1
from fdsearch.selection.intervals import Interval, interval

HEADLINE_FROM = 15
"""Groups that every class needs in the holdout for its score to be the headline."""

SEEN_BY_NOBODY = "the sealed parts, which nothing had seen"


@dataclass(frozen=True)
class Score:
    """A macro F1 with all that has to be printed beside it.

    Parameters
    ----------
    value : float
        Macro F1 of the pooled predictions, averaged over repeats; 0 to 1.
    interval : Interval
    n, n_groups : int
        Pictures and groups that were predicted.
    """

    value: float
    interval: Interval
    n: int
    n_groups: int

    def to_json(self, name: str = "macro_f1") -> dict[str, Any]:
        """Plain values; `name` is the key of the score itself.

        Examples
        --------
        >>> Score(0.8, Interval(0.7, 0.9, "95 %", 40), 300, 80).to_json("macro_f1_mean")["macro_f1_ci"]
        [0.7, 0.9]
        """
        return {
            name: self.value,
            "macro_f1_ci": self.interval.ci,
            "level": self.interval.level,
            "why": self.interval.why,
            "n": self.n,
            "n_groups": self.n_groups,
            "min_groups": self.interval.min_groups,
            "recall_bounds": {name: list(bounds) for name, bounds in self.interval.recall_bounds.items()},
        }


def score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    groups: ArrayLike,
    classes: Sequence[str],
    *,
    n_boot: int = 2000,
    random_state: int = 0,
) -> Score:
    """Score pooled predictions and bound the score.

    Parameters
    ----------
    y_true : array-like of int, shape (n,)
    y_pred : array-like of int, shape (n,) or (n_repeats, n)
        `fdsearch.metrics.UNPREDICTED` where a repeat did not predict the picture. A group's repeats are resampled
        together: repeating the folds does not make more parts.
    groups : array-like of int, shape (n,)
    classes : sequence of str
    n_boot, random_state : int
        As in `fdsearch.metrics.group_bootstrap`.

    Returns
    -------
    Score
    """
    predictions = np.atleast_2d(np.asarray(y_pred))
    samples = mean_over_repeats(group_bootstrap(y_true, predictions, groups, len(classes), n_boot, random_state))
    known = (predictions != UNPREDICTED).any(axis=0)
    return Score(
        value=mean_macro_f1(y_true, predictions, len(classes)),
        interval=interval(samples, y_true, predictions, groups, classes),
        n=int(known.sum()),
        n_groups=len(np.unique(np.asarray(groups)[known])),
    )


def mean_macro_f1(y_true: ArrayLike, y_pred: ArrayLike, n_classes: int) -> float:
    """Return the macro F1 of each repeat's pooled predictions, averaged over repeats; arguments as in `score`."""
    return float(np.mean([macro_f1(y_true, repeat, n_classes) for repeat in np.atleast_2d(np.asarray(y_pred))]))


def mean_over_repeats(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average bootstrap samples (n_repeats, n_boot) over repeats; resamples that left a repeat empty are dropped."""
    mean = samples.mean(axis=0)
    return np.asarray(mean[np.isfinite(mean)])


def headline(
    out_of_fold: Score, luck: Mapping[str, Any], holdout: Score | None, sealed_words: str = SEEN_BY_NOBODY
) -> dict[str, Any]:
    """Choose the one score to be believed.

    Parameters
    ----------
    out_of_fold : Score
        The candidate's, over repeats.
    luck : mapping
        What `fdsearch.selection.replay.optimism` found: ``corrected``, ``ci``, ``level``, ``why``, ``words``. Where
        `corrected` is None, the out-of-fold score stands as it is and its words say so.
    holdout : Score or None
        The candidate's on the sealed pictures.
    sealed_words : str
        What is said of the sealed pictures; another candidate may have been scored on them before.

    Returns
    -------
    dict
        ``value, ci, source, min_groups, level, why, words``, and the other score under ``beside``. `source` is
        ``holdout`` where every class has `HEADLINE_FROM` groups there, else ``out_of_fold``, corrected.
    """
    corrected = _corrected(out_of_fold, luck)
    if holdout is None:
        return {**corrected, "beside": None}
    sealed = _headline(holdout.value, holdout.interval, "holdout", sealed_words)
    if holdout.interval.min_groups >= HEADLINE_FROM:
        return {**sealed, "beside": corrected}
    return {**corrected, "beside": sealed}


def _corrected(score: Score, luck: Mapping[str, Any]) -> dict[str, Any]:
    if luck.get("corrected") is None:
        words = f"not corrected for having been chosen: {luck.get('why', 'nothing is known of the search')}"
        return _headline(score.value, score.interval, "out_of_fold", words)
    as_it_is = _headline(float(luck["corrected"]), score.interval, "out_of_fold", str(luck["words"]))
    return {**as_it_is, **{key: luck[key] for key in ("ci", "level", "why")}}


def _headline(value: float, bounds: Interval, source: str, words: str) -> dict[str, Any]:
    return {
        "value": value,
        "ci": bounds.ci,
        "source": source,
        "min_groups": bounds.min_groups,
        "level": bounds.level,
        "why": bounds.why,
        "words": words,
    }
