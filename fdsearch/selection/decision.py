"""Choose the pass threshold that keeps the promise about escapes, or say why none can be given.

An escape is a defective part that would pass. The threshold is chosen here on out-of-fold probabilities, written to
``contract.json``, and applied by `fdsearch.decide.decide`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.config import DecisionSpec
from fdsearch.decide import REJECT_BELOW, pass_probability, worst_of_part

_THRESHOLDS = 1 / (1 + np.exp(-np.linspace(math.log(1e6), math.log(REJECT_BELOW / (1 - REJECT_BELOW)), 278)))
"""The sequence that is tested, strictest first; fixed in advance, as the test demands, and even in log odds."""


def pass_rule(
    probabilities: ArrayLike, y_true: ArrayLike, groups: ArrayLike, pass_mask: ArrayLike, spec: DecisionSpec
) -> dict[str, Any]:
    """Find the lowest pass threshold whose escape rate is proven to be small enough.

    Thresholds are tested from the strictest down, each with the exact binomial test of "more than `max_escape_rate` of
    defective parts pass"; the last one before the first that cannot be rejected is taken. As the order is fixed
    beforehand, every test may use the whole error probability and the promise still holds for the threshold taken.

    Parameters
    ----------
    probabilities : array-like, shape (n, n_classes) or (n_repeats, n, n_classes)
        Calibrated, out of fold; NaN where a repeat did not predict the picture. The promise has to hold in each repeat.
    y_true : array-like of int, shape (n,)
    groups : array-like of int, shape (n,)
        A part with any defective picture is defective, and its worst picture decides. For the unit ``picture`` each
        picture stands for itself, as if pictures of one part were independent.
    pass_mask : array-like of bool, shape (n_classes,)
        The classes that let a part pass.
    spec : DecisionSpec
        The promise: `max_escape_rate` at `confidence`, per `unit`.

    Returns
    -------
    dict
        ``rule``: None, or ``pass_threshold, unit, max_escape_rate, confidence, n_defective, n_escaped,
        escape_rate_bound`` (exact upper bound), ``n_good, n_good_passed``, of the repeat in which most escape.
        ``why``: why there is no rule; else empty. `fdsearch.decide.decide` then passes nothing.

    References
    ----------
    Angelopoulos, Bates, Candes, Jordan and Lei (2021), Learn then test, arXiv:2110.01052 (fixed-sequence testing);
    Clopper and Pearson (1934), Biometrika 26(4).

    Examples
    --------
    >>> scores, y_true = [[0.02, 0.98]] * 29 + [[0.97, 0.03]] * 10, [1] * 29 + [0] * 10
    >>> found = pass_rule(scores, y_true, range(39), [True, False], DecisionSpec(max_escape_rate=0.1))
    >>> rule = found["rule"]
    >>> rule["pass_threshold"], rule["n_escaped"], round(rule["escape_rate_bound"], 3)
    (0.5, 0, 0.098)
    """
    mask = np.asarray(pass_mask, dtype=bool)
    why = _cannot_start(mask, spec)
    if why or spec.max_escape_rate is None:
        return {"rule": None, "why": why}
    good = np.atleast_2d(pass_probability(probabilities, mask))
    parts = np.arange(good.shape[-1]) if spec.unit == "picture" else np.unique(groups, return_inverse=True)[1]
    defective = worst_of_part(mask[np.asarray(y_true, np.int64)].astype(np.float64), parts) == 0
    worst = worst_of_part(good, parts)
    return _fixed_sequence(worst, defective, spec.max_escape_rate, spec)


def _cannot_start(mask: NDArray[np.bool_], spec: DecisionSpec) -> str:
    if spec.max_escape_rate is None:
        return "the study states no decision.max_escape_rate"
    if not mask.any():
        return "the study names no data.pass_classes"
    return "every class lets a part pass, so nothing can escape" if mask.all() else ""


def _fixed_sequence(
    worst: NDArray[np.float64], defective: NDArray[np.bool_], max_escape_rate: float, spec: DecisionSpec
) -> dict[str, Any]:
    """Test the thresholds on the parts' worst pass probabilities, shape (n_repeats, n_parts)."""
    from scipy.stats import binom, binomtest

    escapes = np.array([_count_reaching(repeat[defective]) for repeat in worst])
    n_defective = np.isfinite(worst[:, defective]).sum(axis=1)
    p_values = binom.cdf(escapes, n_defective[:, None], max_escape_rate)
    rejected = (p_values <= 1 - spec.confidence).all(axis=0)
    if not rejected[0]:
        return {"rule": None, "why": _unproven(int(n_defective.min()), int(escapes[:, 0].max()), max_escape_rate, spec)}
    taken = len(rejected) - 1 if rejected.all() else int(rejected.argmin()) - 1
    least = int(p_values[:, taken].argmax())
    k, n = int(escapes[least, taken]), int(n_defective[least])
    bound = binomtest(k, n, alternative="less").proportion_ci(spec.confidence, method="exact").high
    sound = worst[least][~defective]
    rule = {
        "pass_threshold": float(_THRESHOLDS[taken]),
        "unit": spec.unit,
        "max_escape_rate": max_escape_rate,
        "confidence": spec.confidence,
        "n_defective": n,
        "n_escaped": k,
        "escape_rate_bound": float(bound),
        "n_good": int(np.isfinite(sound).sum()),
        "n_good_passed": int(_count_reaching(sound)[taken]),
    }
    return {"rule": rule, "why": ""}


def _count_reaching(worst: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count the parts that reach each threshold; NaN reaches none."""
    return np.asarray((worst[:, None] >= _THRESHOLDS).sum(axis=0))


def _unproven(n: int, n_escaped: int, max_escape_rate: float, spec: DecisionSpec) -> str:
    unit = "parts" if spec.unit == "group" else "pictures"
    needed = math.ceil(math.log(1 - spec.confidence) / math.log(1 - max_escape_rate))
    promise = f"at most {max_escape_rate:.4g} of defective {unit} pass, with confidence {spec.confidence:.4g}"
    if n < needed:
        return f"{needed} defective {unit} without an escape could show that {promise}; there are {n}"
    return f"even at the strictest threshold {n_escaped} of {n} defective {unit} pass, too many to show that {promise}"
