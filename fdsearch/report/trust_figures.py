"""Figures about how far scores and decisions can be trusted: probabilities, thresholds, shortcuts.

Like those of `figures` they hold numbers and our own words only; whatever a user named is numbered, and the page sets
the names beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fdsearch.report.figures import BEST, TRAIN, VALIDATION, blank, data_uri, svg, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]

SHARES = (("training", "shares of the development parts"), ("line", "shares of the line"))
"""The two mixes of classes that rates are given for: key in the document, title."""

_RATES = (
    ("escape", VALIDATION, "-", "defective parts that pass"),
    ("escape_high", VALIDATION, ":", "their upper bound"),
    ("false_reject", BEST, "-", "good parts rejected"),
    ("review", TRAIN, "-", "parts for a person"),
)
_STRICTNESS = (0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999)


def reliability(bins: Mapping[str, Any]) -> str | None:
    """Draw accuracy over confidence, before and after calibration.

    Parameters
    ----------
    bins : mapping
        ``before`` and ``after``: sequences of ``confidence, accuracy, n``, or None.

    Returns
    -------
    str or None
        A data URI; None where there is no bin.
    """
    drawn = [(name, color, bins.get(name) or ()) for name, color in (("before", TRAIN), ("after", VALIDATION))]
    if not any(rows for _, _, rows in drawn):
        return None
    figure = blank(width=4.6, height=4.2)
    axes = figure.add_subplot(1, 1, 1)
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle="--", label="as often right as said")
    most = max(row["n"] for _, _, rows in drawn for row in rows)
    for name, color, rows in drawn:
        if rows:
            x, y = ([row[key] for row in rows] for key in ("confidence", "accuracy"))
            sizes = [12 + 90 * row["n"] / most for row in rows]
            axes.plot(x, y, color=color, linewidth=1)
            axes.scatter(x, y, s=sizes, c=color, label=f"{name} calibration")
    tidy(axes, "", "probability of the class that is named")
    axes.set_ylabel("share of these pictures that are right", fontsize=9)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    _mark_fifths(axes)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    return data_uri(svg(figure))


def trade_off(curve: Mapping[str, Any], threshold: float | None = None) -> str | None:
    """Draw what every pass threshold would do, for one mix of classes or two.

    Parameters
    ----------
    curve : mapping
        ``training`` and ``line``: sequences of ``threshold`` (strictest first)``, escape, escape_high, false_reject,
        review``, or None. Values that are None leave a gap.
    threshold : float, optional
        The one that was chosen.

    Returns
    -------
    str or None
        A data URI; None where there is no row.
    """
    panels = [(title, curve.get(key)) for key, title in SHARES if curve.get(key)]
    if not panels:
        return None
    figure = blank(width=5.2 * len(panels), height=3.2)
    for place, (title, rows) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), place)
        # A row holds down to the next one: ascending, each value reaches back to the threshold before.
        ascending = list(reversed(rows or ()))
        for key, color, style, name in _RATES:
            y = [math.nan if row.get(key) is None else row[key] for row in ascending]
            x = [_strictness(row["threshold"]) for row in ascending]
            axes.step(x, y, where="pre", color=color, linestyle=style, linewidth=1.2, label=name)
        if threshold is not None:
            axes.axvline(_strictness(threshold), color="black", linewidth=0.8, linestyle="--", label="chosen")
        tidy(axes, title, "pass threshold")
        axes.set_xticks([_strictness(value) for value in _STRICTNESS], [f"{value:g}" for value in _STRICTNESS])
        axes.tick_params(axis="x", labelrotation=45)
        axes.set_ylim(-0.02, 1.02)
        axes.legend(frameon=False, fontsize=8)
    return data_uri(svg(figure))


def shortcuts(checks: Sequence[Row]) -> str | None:
    """Draw what each feature alone predicts, numbered from 1, beside what would be chance.

    Parameters
    ----------
    checks : sequence of mapping
        ``score, chance, ci, alarm``.

    Returns
    -------
    str or None
        A data URI; None where nothing was checked.
    """
    if not checks:
        return None
    figure = blank(width=7.5, height=1.1 + 0.28 * len(checks))
    axes = figure.add_subplot(1, 1, 1)
    for number, row in enumerate(checks, start=1):
        color = BEST if row.get("alarm") else VALIDATION
        if row.get("ci"):
            axes.plot(row["ci"], [number, number], color=color, linewidth=1.6)
        axes.plot([row["score"]], [number], color=color, marker="o", markersize=5, linestyle="none")
        axes.plot([row["chance"]], [number], color="black", marker="|", markersize=11, linestyle="none")
    tidy(axes, "", "macro F1, or F1 or AUC of a class, from this feature alone (bar: chance)")
    axes.set_yticks(range(1, len(checks) + 1), [str(number) for number in range(1, len(checks) + 1)])
    axes.set_ylim(len(checks) + 0.6, 0.4)
    axes.set_xlim(0, 1.02)
    _mark_fifths(axes)
    return data_uri(svg(figure))


def _strictness(threshold: float) -> float:
    """Where a threshold stands on the axis: each step to the right lets a tenth of the doubt through."""
    return -math.log10(max(1 - threshold, 1e-9))


def _mark_fifths(axes: Axes) -> None:
    ticks = [fifth / 5 for fifth in range(6)]
    axes.set_xticks(ticks, [f"{tick:.1f}" for tick in ticks])
