"""From logits to calibrated probabilities and to pass, review or reject: the half that a deployed model needs.

The numbers come from ``contract.json``. They are chosen by `fdsearch.selection.calibration`,
`fdsearch.selection.decision` and `fdsearch.selection.costs` and applied, by them and by `fdsearch.serving`, with this
very code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.metrics import softmax

PASS, REVIEW, REJECT = "pass", "review", "reject"

DECISIONS = (PASS, REVIEW, REJECT)
"""In order of severity; a decision's place here is its number, and its column in a matrix of costs."""

UNSEEN = 3
"""Severity of a picture without probabilities: it outranks every decision, and a person decides."""

REJECT_BELOW = 0.5
"""A part whose worst picture is less probably good than this is rejected; no pass threshold is ever below it."""


@dataclass(frozen=True)
class Verdict:
    """What is decided about a part.

    Parameters
    ----------
    decision : {"pass", "review", "reject"}
    reject_as : int or None
        Of a rejected part: the number of the most probable class in its worst picture, among those that let no part
        pass. None for other decisions, and where every class lets a part pass.
    """

    decision: str
    reject_as: int | None = None


def probabilities(logits: ArrayLike, temperature: ArrayLike = 1.0, bias: ArrayLike = 0.0) -> NDArray[np.float64]:
    """Return calibrated probabilities, ``softmax(logits / temperature + bias)``.

    Parameters
    ----------
    logits : array-like, shape (..., n_classes)
    temperature : array-like, shape (n_classes,) or scalar
        Positive; one number for all classes, or one for each.
    bias : array-like, shape (n_classes,) or scalar
        Log ratio of true to trained class shares.

    Returns
    -------
    ndarray of float64, shape (..., n_classes)
        NaN rows stay NaN. The *label* of a picture is the class of the largest logit, not of the largest probability:
        it is the label whose macro F1 was measured.

    Examples
    --------
    >>> probabilities([[2.0, 0.0]], temperature=2.0, bias=[-1.0, 0.0])
    array([[0.5, 0.5]])
    """
    return softmax(np.asarray(logits, np.float64) / np.asarray(temperature, np.float64) + np.asarray(bias, np.float64))


def pass_probability(probabilities: ArrayLike, pass_mask: ArrayLike) -> NDArray[np.float64]:
    """Return how probable it is that a picture's class lets its part pass, shape (...)."""
    mask = np.asarray(pass_mask, dtype=bool)
    return np.asarray(np.asarray(probabilities, np.float64)[..., mask].sum(axis=-1))


def worst_of_part(pass_probabilities: ArrayLike, parts: ArrayLike) -> NDArray[np.float64]:
    """Return the smallest value of each part.

    Parameters
    ----------
    pass_probabilities : array-like, shape (..., n)
    parts : array-like of int, shape (n,)
        0 to n_parts - 1, each at least once.

    Returns
    -------
    ndarray of float64, shape (..., n_parts)
        NaN where one of the part's pictures is NaN: what was not seen cannot pass.
    """
    values, index = np.asarray(pass_probabilities, np.float64), np.asarray(parts, np.int64)
    order = np.argsort(index, kind="stable")
    starts = np.flatnonzero(np.diff(index[order], prepend=-1))
    return np.asarray(np.minimum.reduceat(values[..., order], starts, axis=-1))


def severities(probabilities: ArrayLike, pass_mask: ArrayLike, rule: Mapping[str, Any] | None) -> NDArray[np.int64]:
    """Decide about each picture as if it were alone; arguments as in `decide`, with any leading axes.

    Returns
    -------
    ndarray of int64, shape (...)
        Place of the decision in `DECISIONS`; `UNSEEN` for a picture whose probabilities hold NaN.

    References
    ----------
    Elkan (2001), The foundations of cost-sensitive learning, IJCAI (the decision of least expected cost).

    Examples
    --------
    >>> severities([[0.99, 0.01], [0.7, 0.3]], [True, False], {"pass_threshold": 0.9, "unit": "group"})
    array([0, 1])
    >>> costs = [[0, 1, 5], [100, 1, 0]]  # rows are classes; columns pass, review, reject
    >>> severities([[0.995, 0.005], [0.7, 0.3], [0.1, 0.9]], [True, False], {"costs": costs, "unit": "group"})
    array([0, 1, 2])
    """
    scores = _on_the_line(probabilities, rule)
    found: NDArray[Any]
    if not np.any(pass_mask):
        found = np.full(scores.shape[:-1], DECISIONS.index(REVIEW))
    elif rule is not None and rule.get("costs") is not None:
        expected = scores @ np.asarray(rule["costs"], np.float64)
        # Of decisions that cost the same the most severe: the columns are searched from the last.
        found = len(DECISIONS) - 1 - expected[..., ::-1].argmin(axis=-1)
    else:
        passes, rejects = _thresholds(rule)
        good = pass_probability(scores, pass_mask)
        found = np.where(good >= passes, 0, np.where(good < rejects, 2, 1))
    return np.where(np.isnan(scores).any(axis=-1), UNSEEN, found).astype(np.int64)


def decide(
    probabilities: ArrayLike,
    pass_mask: ArrayLike,
    rule: Mapping[str, Any] | None,
    groups: Sequence[Any] | None = None,
) -> list[Verdict]:
    """Decide about each picture's part.

    The worst picture of a part decides. By a threshold, a part passes where its probability of being good reaches it,
    is rejected where a defect is more probable than not, and is reviewed by a person in between. By costs, each picture
    gets the decision of least expected cost, and the most severe one is the part's.

    Parameters
    ----------
    probabilities : array-like, shape (n, n_classes)
        Calibrated.
    pass_mask : array-like of bool, shape (n_classes,)
        The classes that let a part pass.
    rule : mapping or None
        As ``decision`` in ``contract.json``: ``unit`` (``group`` or ``picture``) and one of two. Either
        ``pass_threshold``, with ``reject_below`` (default `REJECT_BELOW`), which the threshold is never below. Or
        ``costs``, shape (n_classes, 3) in the order of `DECISIONS`, with ``cost_shift`` (n_classes,), which is first
        added to the log probabilities. None: no threshold could be proven, so nothing passes and whatever is not
        rejected is reviewed.
    groups : sequence of hashable, length n, optional
        The part of each picture; default: each picture is its own part. Not read where the unit is ``picture``.

    Returns
    -------
    list of Verdict
        One per picture, the same for all pictures of a part. All ``review`` where no class lets a part pass.

    Raises
    ------
    ValueError
        If `groups` is not as long as `probabilities`.

    Examples
    --------
    >>> scores = [[0.99, 0.01], [0.7, 0.3], [0.2, 0.8]]
    >>> rule = {"pass_threshold": 0.9, "unit": "group"}
    >>> [verdict.decision for verdict in decide(scores, [True, False], rule)]
    ['pass', 'review', 'reject']
    >>> decide(scores, [True, False], rule, ["a", "b", "a"])[0]
    Verdict(decision='reject', reject_as=1)
    >>> [verdict.decision for verdict in decide(scores, [True, False], None)]
    ['review', 'review', 'reject']
    """
    severity = severities(probabilities, pass_mask, rule)
    if groups is None or (rule is not None and rule["unit"] == "picture"):
        parts = np.arange(len(severity), dtype=np.int64)
    else:
        number: dict[Any, int] = {}
        parts = np.array([number.setdefault(group, len(number)) for group in groups], dtype=np.int64)
    if len(parts) != len(severity):
        raise ValueError(f"groups must name the part of each of {len(severity)} pictures, got {len(parts)}")
    mask, scores = np.asarray(pass_mask, dtype=bool), _on_the_line(probabilities, rule)
    worst = _worst_pictures(severity, pass_probability(scores, mask), parts)
    defects = np.where(mask, -np.inf, scores[worst]).argmax(axis=-1)
    verdicts = [
        Verdict((*DECISIONS, REVIEW)[level], defect if level == DECISIONS.index(REJECT) and not mask.all() else None)
        for level, defect in zip(severity[worst].tolist(), defects.tolist(), strict=True)
    ]
    return [verdicts[part] for part in parts]


def _worst_pictures(
    severity: NDArray[np.int64], good: NDArray[np.float64], parts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The row of each part's worst picture: the most severe decision, then the least probably good."""
    order = np.lexsort((good, -severity, parts))
    return np.asarray(order[np.flatnonzero(np.diff(parts[order], prepend=-1))])


def _thresholds(rule: Mapping[str, Any] | None) -> tuple[float, float]:
    """From which probability of being good a part passes, and below which it is rejected."""
    if rule is None:
        return np.inf, REJECT_BELOW
    rejects = float(rule.get("reject_below", REJECT_BELOW))
    return max(float(rule["pass_threshold"]), rejects), rejects


def _on_the_line(probabilities: ArrayLike, rule: Mapping[str, Any] | None) -> NDArray[np.float64]:
    """Probabilities under the class shares of the line, where a rule of costs knows them."""
    scores = np.asarray(probabilities, np.float64)
    shift = None if rule is None else rule.get("cost_shift")
    if shift is None:
        return scores
    weighted = scores * np.exp(np.asarray(shift, np.float64))
    return np.asarray(weighted / weighted.sum(axis=-1, keepdims=True))
