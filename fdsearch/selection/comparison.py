"""Whether one recipe beats another: the paired gain over resampled groups.

Both recipes are scored in the same resamples, so what is hard for both cancels. The words around the interval are those
of `fdsearch.selection.intervals`; `choice` asks for the standard error, and `corrected_t` puts another test beside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fdsearch.metrics import UNPREDICTED, group_bootstrap
from fdsearch.selection.intervals import interval
from fdsearch.selection.scores import mean_macro_f1, mean_over_repeats

_TAIL_SAMPLES = 20
"""Resamples beyond each end of an interval, at least: fewer would leave the end to chance."""


def paired_gain(
    y_true: ArrayLike,
    pred_a: ArrayLike,
    pred_b: ArrayLike,
    groups: ArrayLike,
    classes: Sequence[str],
    *,
    n_comparisons: int = 1,
    n_boot: int = 2000,
    random_state: int = 0,
) -> dict[str, Any]:
    """Compare two recipes that predicted the same pictures in the same repeats.

    Parameters
    ----------
    y_true : array-like of int, shape (n,)
    pred_a, pred_b : array-like of int, shape (n,) or (n_repeats, n)
        Predicted classes; `fdsearch.metrics.UNPREDICTED` in the same places of both.
    groups : array-like of int, shape (n,)
        All repeats of a group are resampled together.
    classes : sequence of str
    n_comparisons : int
        How many such gains shall hold all together: each interval is widened so that all of them are right at once as
        often as its words say.
    n_boot, random_state : int
        As in `fdsearch.metrics.group_bootstrap`; more resamples are drawn where many comparisons need them.

    Returns
    -------
    dict
        ``gain`` (macro F1 of a minus that of b), ``ci`` (two floats, or None), ``level`` (the interval's words),
        ``se`` (standard error of the gain), ``claimed`` (whether the interval lies above zero), ``why`` (why the gain
        is not claimed; else empty) and ``n_comparisons``.

    Raises
    ------
    ValueError
        If the two did not predict the same pictures.

    Examples
    --------
    >>> y_true, groups = [0, 1] * 30, range(60)
    >>> gain = paired_gain(y_true, y_true, [0] * 60, groups, ["good", "bent"])
    >>> round(gain["gain"], 3), gain["claimed"], gain["level"]
    (0.667, True, '95 %')
    """
    a, b = (np.atleast_2d(np.asarray(predictions)) for predictions in (pred_a, pred_b))
    if a.shape != b.shape or ((a == UNPREDICTED) != (b == UNPREDICTED)).any():
        raise ValueError("pred_a and pred_b must hold predictions of the same pictures in the same repeats")
    n_boot = max(n_boot, 40 * _TAIL_SAMPLES * n_comparisons)  # a tail is a fortieth of them, shared by the comparisons
    samples = group_bootstrap(y_true, np.concatenate([a, b]), groups, len(classes), n_boot, random_state)
    differences = mean_over_repeats(samples[: len(a)] - samples[len(a) :])
    bounds = interval(differences, y_true, a, groups, classes, n_comparisons)
    gain = mean_macro_f1(y_true, a, len(classes)) - mean_macro_f1(y_true, b, len(classes))
    claimed = bounds.low is not None and bounds.low > 0
    return {
        "gain": gain,
        "ci": bounds.ci,
        "level": bounds.level,
        "se": float(differences.std()),
        "claimed": claimed,
        "why": _why(bounds.why, bounds.ci),
        "n_comparisons": n_comparisons,
    }


def comparisons(
    y_true: ArrayLike, candidates: Mapping[str, ArrayLike], winner: str, groups: ArrayLike, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Compare the winner with each other candidate; the intervals hold all together.

    Parameters
    ----------
    y_true : array-like of int, shape (n,)
    candidates : mapping of str to array-like of int, shape (n_repeats, n)
        Predicted classes of each, the winner among them.
    winner : str
    groups : array-like of int, shape (n,)
    classes : sequence of str

    Returns
    -------
    list of dict
        One per other candidate, in their order: ``name`` and what `paired_gain` returns.

    Raises
    ------
    ValueError
        If they did not predict the same pictures.

    Examples
    --------
    >>> y_true = [0, 1] * 30
    >>> rivals = {"good": y_true, "blind": [0] * 60, "same": y_true}
    >>> found = comparisons(y_true, rivals, "good", range(60), ["fine", "bent"])
    >>> [(row["name"], row["claimed"], row["n_comparisons"]) for row in found]
    [('blind', True, 2), ('same', False, 2)]
    """
    others = [name for name in candidates if name != winner]
    return [
        {
            "name": name,
            **paired_gain(y_true, candidates[winner], candidates[name], groups, classes, n_comparisons=len(others)),
        }
        for name in others
    ]


def _why(why: str, ci: list[float] | None) -> str:
    if ci is None:
        return why
    if ci[0] > 0:
        return ""
    if ci[1] < 0:
        return "the paired interval lies below zero: it is a loss"
    return "the paired interval holds zero"
