"""From logits to calibrated probabilities and to pass, reject or review: the half that a deployed model needs.

The numbers come from ``contract.json``. They are chosen by `fdsearch.selection.calibration` and
`fdsearch.selection.decision` and applied, by them and by `fdsearch.serving`, with this very code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.metrics import softmax

PASS, REJECT, REVIEW = "pass", "reject", "review"

REJECT_BELOW = 0.5
"""A part whose worst picture is less probably good than this is rejected; no pass threshold is ever below it."""


def probabilities(logits: ArrayLike, temperature: float = 1.0, bias: ArrayLike = 0.0) -> NDArray[np.float64]:
    """Return calibrated probabilities, ``softmax(logits / temperature + bias)``.

    Parameters
    ----------
    logits : array-like, shape (..., n_classes)
    temperature : float
        Positive.
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
    return softmax(np.asarray(logits, np.float64) / temperature + np.asarray(bias, np.float64))


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


def decide(
    probabilities: ArrayLike,
    pass_mask: ArrayLike,
    rule: Mapping[str, Any] | None,
    groups: Sequence[Any] | None = None,
) -> list[str]:
    """Decide about each picture's part.

    The worst picture of a part decides. A part passes where its probability of being good reaches the rule's
    threshold, is rejected where a defect is more probable than not, and is reviewed by a person in between.

    Parameters
    ----------
    probabilities : array-like, shape (n, n_classes)
        Calibrated.
    pass_mask : array-like of bool, shape (n_classes,)
        The classes that let a part pass.
    rule : mapping or None
        ``pass_threshold`` (`REJECT_BELOW` to 1) and ``unit`` (``group`` or ``picture``) as in ``contract.json``. None:
        no threshold could be proven, so nothing passes and whatever is not rejected is reviewed.
    groups : sequence of hashable, length n, optional
        The part of each picture; default: each picture is its own part. Not read where the unit is ``picture``.

    Returns
    -------
    list of {"pass", "reject", "review"}
        One per picture, the same for all pictures of a part. All ``review`` where no class lets a part pass.

    Raises
    ------
    ValueError
        If `groups` is not as long as `probabilities`.

    Examples
    --------
    >>> scores = [[0.99, 0.01], [0.7, 0.3], [0.2, 0.8]]
    >>> decide(scores, [True, False], {"pass_threshold": 0.9, "unit": "group"})
    ['pass', 'review', 'reject']
    >>> decide(scores, [True, False], {"pass_threshold": 0.9, "unit": "group"}, ["a", "a", "b"])
    ['review', 'review', 'reject']
    >>> decide(scores, [True, False], None)
    ['review', 'review', 'reject']
    """
    good = pass_probability(probabilities, pass_mask)
    if not np.any(pass_mask):
        return [REVIEW] * len(good)
    if groups is None or (rule is not None and rule["unit"] == "picture"):
        parts = np.arange(len(good))
    else:
        number: dict[Any, int] = {}
        parts = np.array([number.setdefault(group, len(number)) for group in groups], dtype=np.int64)
    if len(parts) != len(good):
        raise ValueError(f"groups must name the part of each of {len(good)} pictures, got {len(parts)}")
    threshold = np.inf if rule is None else max(float(rule["pass_threshold"]), REJECT_BELOW)
    worst = worst_of_part(good, parts)
    verdicts = np.where(worst >= threshold, PASS, np.where(worst < REJECT_BELOW, REJECT, REVIEW))
    return [str(verdict) for verdict in verdicts[parts]]
