"""Decide by what a wrong decision costs, instead of by a promise about escapes.

`fdsearch.decide` applies the rule: the decision of least expected cost for each picture, the most severe one for the
part. Costs are a matrix, one row for each class and a column for each of `fdsearch.decide.DECISIONS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.config import DecisionSpec
from fdsearch.decide import DECISIONS
from fdsearch.selection.rates import line_shares

_RAREST = 1e-9
"""Stands for a class that never comes on the line, to keep its logarithm finite."""


def cost_rule(spec: DecisionSpec, classes: Sequence[str], y_true: ArrayLike) -> dict[str, Any]:
    """Return the rule of a study with costs, as it stands in ``contract.json``.

    Parameters
    ----------
    spec : DecisionSpec
        With `costs` for every class.
    classes : sequence of str
    y_true : array-like of int, shape (n,)
        Labels that the probabilities were calibrated on.

    Returns
    -------
    dict
        ``unit, costs`` and, where the study gives shares of the line, ``cost_shift``: the log ratios of these shares to
        those of `y_true`, since what is expected to be cheap depends on how often each class comes.

    References
    ----------
    Elkan (2001), The foundations of cost-sensitive learning, IJCAI; Saerens, Latinne and Decaestecker (2002), Neural
    Computation 14(1) (the shift).

    Examples
    --------
    >>> spec = DecisionSpec.model_validate(
    ...     {"costs": {"free": {"pass": 0, "review": 1, "reject": 5}, "bent": {"pass": 90, "review": 1, "reject": 0}}}
    ... )
    >>> cost_rule(spec, ["bent", "free"], [0, 1, 1, 1])
    {'unit': 'group', 'costs': [[90.0, 1.0, 0.0], [0.0, 1.0, 5.0]]}
    """
    costs = spec.costs or {}
    rule: dict[str, Any] = {
        "unit": spec.unit,
        "costs": [[costs[name].pass_, costs[name].review, costs[name].reject] for name in classes],
    }
    shares = line_shares(spec.line_shares, classes)
    if shares is None:
        return rule
    counts = np.bincount(np.asarray(y_true, np.int64), minlength=len(classes))
    # A share of the line is known, so only nought is lifted; one that was counted as nought may be half a picture.
    seen = np.maximum(counts, 0.5) / counts.sum()
    return {**rule, "cost_shift": (np.log(np.maximum(shares, _RAREST)) - np.log(seen)).tolist()}


def expected_cost(
    table: NDArray[np.int64], costs: ArrayLike, shares: NDArray[np.float64] | None = None
) -> dict[str, Any]:
    """Return what a part costs on average, beside what it would cost if all parts were treated alike.

    Parameters
    ----------
    table : ndarray of int64, shape (2 + n_classes, 3)
        From `fdsearch.selection.rates.tally`.
    costs : array-like, shape (n_classes, 3)
    shares : ndarray of float64, shape (n_classes,), optional
        Class shares to weigh by; default: as the parts were counted.

    Returns
    -------
    dict
        ``per_part``: None where a class that is needed has no part; ``if_all``: decision to cost.

    Examples
    --------
    >>> table = np.array([[2, 0, 0], [1, 0, 1], [2, 0, 0], [1, 0, 1]])
    >>> expected_cost(table, [[0, 1, 5], [90, 1, 0]])
    {'per_part': 22.5, 'if_all': {'pass': 45.0, 'review': 1.0, 'reject': 2.5}}
    """
    matrix, counts = np.asarray(costs, np.float64), table[-len(np.asarray(costs)) :]
    n = counts.sum(axis=1)
    weights = n / max(1, int(n.sum())) if shares is None else shares
    needed = weights > 0
    known = bool(needed.any() and (n[needed] > 0).all())
    spent = (counts * matrix).sum(axis=1)[needed]
    return {
        "per_part": float((weights[needed] * spent / n[needed]).sum()) if known else None,
        "if_all": dict(zip(DECISIONS, (weights @ matrix).tolist(), strict=True)),
    }
