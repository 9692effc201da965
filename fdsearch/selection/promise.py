"""Everything that is decided about parts and known about it, from calibrated out-of-fold probabilities.

Puts `decision` (the threshold and its claim) or `costs` together with `rates`. `pipeline` writes the rule into
``contract.json`` and the evidence beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.config import DecisionSpec
from fdsearch.decide import pass_probability, severities, worst_of_part
from fdsearch.selection.costs import cost_rule, expected_cost
from fdsearch.selection.decision import Truth, pass_rule, without_question
from fdsearch.selection.rates import curve, line_shares, per_class, rates, tally

BY_COSTS = "costs decide, so nothing is promised about escapes"


def promise(
    probabilities: ArrayLike,
    y_true: ArrayLike,
    groups: ArrayLike,
    classes: Sequence[str],
    pass_mask: ArrayLike,
    spec: DecisionSpec,
    refused: str = "",
) -> dict[str, Any]:
    """Choose the rule for a study's parts and gather what is known about it.

    Parameters
    ----------
    probabilities : array-like, shape (n_repeats, n, n_classes)
        Out of fold, calibrated by fits to other parts (`cross_fitting`); NaN where a repeat predicted nothing.
    y_true, groups, pass_mask, spec
        As in `fdsearch.selection.decision.pass_rule`.
    classes : sequence of str
        `fdsearch.selection.decision.check_classes` has accepted them.
    refused : str
        Why these predictions can carry no promise, whatever they show; empty where they can.

    Returns
    -------
    dict
        ``rule`` and ``why``: as in `fdsearch.selection.decision.pass_rule`, or of `fdsearch.selection.costs.cost_rule`.

        ``repeat``: the repeat that all counts are of.

        ``evidence``: None where no class, or every class, lets a part pass; else ``confidence``, ``n_good`` and
        ``n_defective`` (parts), ``needed`` (defective parts that could carry the claim, None where it is carried or
        none could), ``per_class`` (defect class to ``parts, escaped, bound``), ``rates`` and ``curve`` (``training`` as
        the parts were counted, ``line`` weighted with the shares of the line or None; see
        `fdsearch.selection.rates`), ``costs`` (likewise, or None; see `fdsearch.selection.costs.expected_cost`) and
        ``notes``.
    """
    scores, mask = np.asarray(probabilities, np.float64), np.asarray(pass_mask, dtype=bool)
    found = _rule(scores, y_true, groups, classes, mask, spec, refused)
    answer: dict[str, Any] = {key: found[key] for key in ("rule", "why", "repeat")} | {"evidence": None}
    if without_question(mask):
        return answer
    truth, chosen, level = Truth.of(y_true, groups, mask, spec.unit), scores[found["repeat"]], spec.confidence
    table = tally(_decisions(chosen, truth, found["rule"]), truth)
    worst = worst_of_part(pass_probability(chosen, mask), truth.index)
    shares = line_shares(spec.line_shares, classes)
    costs = (found["rule"] or {}).get("costs")

    def both(measure: Callable[[NDArray[np.float64] | None], Any]) -> dict[str, Any]:
        return {"training": measure(None), "line": None if shares is None else measure(shares)}

    measured = both(lambda weights: rates(table, truth, level, weights))
    answer["evidence"] = {
        "confidence": level,
        "n_good": int(table[0].sum()),
        "n_defective": int(table[1].sum()),
        "needed": found["needed"],
        "per_class": per_class(table, truth, classes, level),
        "rates": measured,
        "curve": both(lambda weights: curve(worst, truth, level, weights)),
        "costs": None if costs is None else both(lambda weights: expected_cost(table, costs, weights)),
        "notes": _notes(found["rule"], measured["line"]),
    }
    return answer


def _rule(
    scores: NDArray[np.float64],
    y_true: ArrayLike,
    groups: ArrayLike,
    classes: Sequence[str],
    mask: NDArray[np.bool_],
    spec: DecisionSpec,
    refused: str,
) -> dict[str, Any]:
    """The rule by costs or by the promise, with the keys of `pass_rule`."""
    nothing = {"rule": None, "needed": None, "repeat": 0}
    if spec.costs is not None:
        if why := without_question(mask):
            return {**nothing, "why": why}
        return {**nothing, "rule": cost_rule(spec, classes, y_true), "why": BY_COSTS}
    if refused:
        return {**nothing, "why": refused}
    return pass_rule(scores, y_true, groups, mask, spec)


def _decisions(scores: NDArray[np.float64], truth: Truth, rule: dict[str, Any] | None) -> NDArray[np.int64]:
    """The most severe decision of each part's pictures, shape (n_parts,)."""
    alone = severities(scores, truth.pass_mask, rule)
    return np.asarray(-worst_of_part(-alone, truth.index)).astype(np.int64)


def _notes(rule: dict[str, Any] | None, line: dict[str, Any] | None) -> list[str]:
    """What a person must not overlook."""
    bound = None if rule is None else rule.get("max_escape_rate")
    if bound is None or line is None or line["escape"]["high"] is None or line["escape"]["high"] <= bound:
        return []
    return [
        f"the promise (at most {bound:.4g} of defective parts pass) is about defects in the shares of the development "
        f"parts; with the shares of the line as many as {line['escape']['high']:.4g} could pass"
    ]
