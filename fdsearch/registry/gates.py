"""Whether a version may become champion: each gate of the study against the version's figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fdsearch.config import Gates


def evaluate(gates: Gates, metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compare figures with thresholds.

    Parameters
    ----------
    gates : Gates
        The study's gates; one that is None is not asked.
    metrics : mapping
        The version's figures; `min_macro_f1` reads ``headline.ci``, (low, high) or None with a sibling ``why``.

    Returns
    -------
    list of dict
        ``name``, ``figure`` (the *lower* end of the headline's interval, or None), ``threshold``, ``holds``, ``why``. A
        figure that cannot be given does not hold. Empty where the study has no gates.

    Examples
    --------
    >>> [gate] = evaluate(Gates(min_macro_f1=0.4), {"headline": {"value": 0.6, "ci": [0.45, 0.7]}})
    >>> gate["holds"], gate["figure"]
    (True, 0.45)
    >>> [gate] = evaluate(Gates(min_macro_f1=0.4), {"headline": {"value": 0.6, "ci": None, "why": "2 groups"}})
    >>> gate["holds"], gate["why"]
    (False, 'no interval: 2 groups')
    """
    if gates.min_macro_f1 is None:
        return []
    headline = metrics.get("headline") or {}
    interval = headline.get("ci")
    figure = None if interval is None else float(interval[0])
    holds = figure is not None and figure >= gates.min_macro_f1
    if figure is None:
        why = f"no interval: {headline.get('why') or 'it was not computed'}"
    else:
        relation = "reaches" if holds else "is below"
        why = f"lower end {figure:.3f} of the interval {relation} {gates.min_macro_f1:g}"
    return [{"name": "min_macro_f1", "figure": figure, "threshold": gates.min_macro_f1, "holds": holds, "why": why}]
