"""Choose the pass threshold that keeps the promise about escapes, or say why none can be given.

An escape is a defective part that would pass. The threshold is chosen here on out-of-fold probabilities, written to
``contract.json``, and applied by `fdsearch.decide.decide`. What else is known about the decisions is in `rates`, and
`promise` puts both together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.config import DecisionSpec
from fdsearch.decide import REJECT_BELOW, pass_probability, worst_of_part
from fdsearch.errors import ConfigError, Fault, did_you_mean

THRESHOLDS = 1 / (1 + np.exp(-np.linspace(math.log(1e6), math.log(REJECT_BELOW / (1 - REJECT_BELOW)), 278)))
"""The sequence that is tested, strictest first; fixed in advance, as the test demands, and even in log odds."""

_GROWTH = 1.02
"""Step of the sizes that are tried for "about so many parts"; nobody collects parts more exactly than that."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What the labels say about the parts.

    Parameters
    ----------
    index : ndarray of int64, shape (n,)
        Part of each picture, 0 to n_parts - 1.
    holds : ndarray of bool, shape (n_parts, n_classes)
        Classes of a part's pictures; of a defective part those alone that let no part pass.
    defective : ndarray of bool, shape (n_parts,)
        Whether any picture of the part shows a defect.
    pass_mask : ndarray of bool, shape (n_classes,)
        The classes that let a part pass.
    """

    index: NDArray[np.int64]
    holds: NDArray[np.bool_]
    defective: NDArray[np.bool_]
    pass_mask: NDArray[np.bool_]

    @classmethod
    def of(cls, y_true: ArrayLike, groups: ArrayLike, pass_mask: ArrayLike, unit: str) -> Truth:
        """Gather the parts of pictures; for the unit ``picture`` each picture is a part of its own.

        Examples
        --------
        >>> truth = Truth.of([1, 0, 1], ["a", "a", "b"], [True, False], "group")
        >>> truth.defective.tolist(), truth.holds.tolist()
        ([True, True], [[False, True], [False, True]])
        """
        labels, mask = np.asarray(y_true, np.int64), np.asarray(pass_mask, dtype=bool)
        index = np.arange(len(labels)) if unit == "picture" else np.unique(groups, return_inverse=True)[1]
        holds = np.zeros((int(index.max(initial=-1)) + 1, len(mask)), dtype=bool)
        holds[index, labels] = True
        defective = (holds & ~mask).any(axis=1)
        holds[defective] &= ~mask
        return cls(index.astype(np.int64), holds, defective, mask)


def check_classes(spec: DecisionSpec, classes: Sequence[str]) -> None:
    """Refuse shares of the line, or costs, that do not name exactly the classes.

    Raises
    ------
    ConfigError
        With every class that is missing or unknown.
    """
    named: dict[str, list[str]] = {}
    if spec.line_shares is not None:
        named["line_shares"] = list(spec.line_shares)
    if spec.costs is not None:
        named["costs"] = list(spec.costs)
    faults: list[Fault] = []
    for key, names in named.items():
        where = f"study: $.decision.{key}"
        faults += [
            Fault(f"{where}.{name}", name, "a class of the study", did_you_mean(name, classes))
            for name in names
            if name not in classes
        ]
        missing = [name for name in classes if name not in names]
        faults += [Fault(where, f"nothing for {name}", "an entry for every class", f"add {name}") for name in missing]
    if faults:
        raise ConfigError("the decision does not name the classes of the study", faults)


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
        Out of fold, calibrated by fits to other parts (`fdsearch.selection.cross_fitting`), since an own fit flatters;
        NaN where a repeat did not predict the picture. The promise has to hold in each repeat.
    y_true : array-like of int, shape (n,)
    groups : array-like, shape (n,)
        A part with any defective picture is defective, and its worst picture decides. For the unit ``picture`` each
        picture stands for itself, as if pictures of one part were independent.
    pass_mask : array-like of bool, shape (n_classes,)
        The classes that let a part pass.
    spec : DecisionSpec
        The promise: `max_escape_rate` at `confidence`, per `unit`.

    Returns
    -------
    dict
        ``rule``: None, or ``pass_threshold, reject_below, unit, max_escape_rate, confidence, n_defective, n_escaped,
        n_good, n_good_passed``. Its claim is `max_escape_rate`; the counts stand beside it.
        ``why``: why there is no rule; else empty. `fdsearch.decide.decide` then passes nothing.
        ``needed``: where support was missing, how many defective parts could carry the claim; else None.
        ``repeat``: the repeat that the counts are of, in which most escape.

    References
    ----------
    Angelopoulos, Bates, Candes, Jordan and Lei (2021), Learn then test, arXiv:2110.01052 (fixed-sequence testing);
    Bauer (1991), Multiple testing in clinical trials, Statistics in Medicine 10 (hypotheses in an order fixed before).

    Examples
    --------
    >>> scores, y_true = [[0.02, 0.98]] * 29 + [[0.97, 0.03]] * 10, [1] * 29 + [0] * 10
    >>> found = pass_rule(scores, y_true, range(39), [True, False], DecisionSpec(max_escape_rate=0.1))
    >>> rule = found["rule"]
    >>> rule["pass_threshold"], rule["n_escaped"], rule["n_good_passed"]
    (0.5, 0, 10)
    """
    truth = Truth.of(y_true, groups, pass_mask, spec.unit)
    why = _cannot_start(truth.pass_mask, spec)
    if why or spec.max_escape_rate is None:
        return {"rule": None, "why": why, "needed": None, "repeat": 0}
    good = np.atleast_2d(pass_probability(probabilities, truth.pass_mask))
    return _fixed_sequence(worst_of_part(good, truth.index), truth.defective, spec.max_escape_rate, spec)


def _cannot_start(mask: NDArray[np.bool_], spec: DecisionSpec) -> str:
    if spec.max_escape_rate is None:
        return "the study states no decision.max_escape_rate"
    return without_question(mask)


def without_question(pass_mask: NDArray[np.bool_]) -> str:
    """Why there is nothing to decide between; else empty."""
    if not pass_mask.any():
        return "the study names no data.pass_classes"
    return "every class lets a part pass, so nothing can escape" if pass_mask.all() else ""


def _fixed_sequence(
    worst: NDArray[np.float64], defective: NDArray[np.bool_], max_escape_rate: float, spec: DecisionSpec
) -> dict[str, Any]:
    """Test the thresholds on the parts' worst pass probabilities, shape (n_repeats, n_parts)."""
    from scipy.stats import binom

    escapes = np.array([_count_reaching(repeat[defective]) for repeat in worst])
    n_defective = np.isfinite(worst[:, defective]).sum(axis=1)
    p_values = binom.cdf(escapes, n_defective[:, None], max_escape_rate)
    rejected = (p_values <= 1 - spec.confidence).all(axis=0)
    if not rejected[0]:
        least = int(p_values[:, 0].argmax())
        why, needed = _unproven(int(n_defective[least]), int(escapes[least, 0]), max_escape_rate, spec)
        return {"rule": None, "why": why, "needed": needed, "repeat": least}
    taken = len(rejected) - 1 if rejected.all() else int(rejected.argmin()) - 1
    least = int(p_values[:, taken].argmax())
    sound = worst[least][~defective]
    rule = {
        "pass_threshold": float(THRESHOLDS[taken]),
        "reject_below": REJECT_BELOW,
        "unit": spec.unit,
        "max_escape_rate": max_escape_rate,
        "confidence": spec.confidence,
        "n_defective": int(n_defective[least]),
        "n_escaped": int(escapes[least, taken]),
        "n_good": int(np.isfinite(sound).sum()),
        "n_good_passed": int(_count_reaching(sound)[taken]),
    }
    return {"rule": rule, "why": "", "needed": None, "repeat": least}


def _count_reaching(worst: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count the parts that reach each threshold; NaN reaches none."""
    seen = np.sort(worst[np.isfinite(worst)])
    return np.asarray(len(seen) - np.searchsorted(seen, THRESHOLDS, side="left"))


def _unproven(n: int, n_escaped: int, max_escape_rate: float, spec: DecisionSpec) -> tuple[str, int | None]:
    """Why the strictest threshold is not proven, and how many defective parts could prove it."""
    unit = "parts" if spec.unit == "group" else "pictures"
    promise = f"at most {max_escape_rate:.4g} of defective {unit} pass, with confidence {spec.confidence:.4g}"
    without_escape = math.ceil(math.log(1 - spec.confidence) / math.log1p(-max_escape_rate))
    if n < without_escape:
        why = f"{without_escape} defective {unit} without an escape could show that {promise}; there are {n}"
        return why, without_escape
    needed = _at_the_same_share(n_escaped, n, max_escape_rate, spec.confidence)
    way_on = (
        f"about {needed} with the same share could show it"
        if needed
        else "no number of parts with the same share could show it"
    )
    why = f"even at the strictest threshold {n_escaped} of {n} defective {unit} pass, too many to show that {promise}"
    return f"{why}; {way_on}", needed


def _at_the_same_share(n_escaped: int, n: int, max_escape_rate: float, confidence: float) -> int | None:
    """About how many parts, of which the same share escapes, pass the test; None where the share is too large."""
    from scipy.stats import binom

    if n_escaped >= max_escape_rate * n:
        return None
    sizes = np.ceil(n * _GROWTH ** np.arange(1, math.ceil(math.log(1e7 / n, _GROWTH))))
    enough = binom.cdf(np.round(n_escaped / n * sizes), sizes, max_escape_rate) <= 1 - confidence
    return int(sizes[enough.argmax()]) if enough.any() else None
