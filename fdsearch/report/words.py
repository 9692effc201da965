"""Scores, intervals and durations in words, alike on the terminal and in the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def score(value: float | None, *, signed: bool = False) -> str:
    """A score with three digits; a figure that cannot be given is said to be missing.

    Examples
    --------
    >>> score(0.71234), score(0.05, signed=True), score(None)
    ('0.712', '+0.050', 'not given')
    """
    if value is None:
        return "not given"
    return f"{value:+.3f}" if signed else f"{value:.3f}"


def interval(bounds: Sequence[float] | None, why: str | None = None, level: str | None = None) -> str:
    """An interval with its level, or why there is none.

    Examples
    --------
    >>> interval([0.61, 0.79], level="95 %")
    '0.610 to 0.790 (95 %)'
    >>> interval(None, "4 parts in class 1")
    'none (4 parts in class 1)'
    """
    if bounds is None:
        return f"none ({why})" if why else "none"
    text = f"{bounds[0]:.3f} to {bounds[1]:.3f}"
    return f"{text} ({level})" if level else text


SOURCES = {"out_of_fold": "out of fold, optimism removed", "holdout": "holdout"}
"""Where a headline comes from."""

SCORES = (
    ("cv", "cross-validation", "macro_f1_mean"),
    ("baseline", "baseline (frozen probe)", "macro_f1_mean"),
    ("holdout", "holdout", "macro_f1"),
)
"""The scores of a run: key in its document, name, key of the figure."""


def seconds(value: float | None) -> str:
    """A duration.

    Examples
    --------
    >>> seconds(41.26), seconds(754), seconds(7325), seconds(None)
    ('41.3 s', '12 min 34 s', '2 h 02 min', 'unknown')
    """
    if value is None:
        return "unknown"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def plain(value: Any) -> str:
    """Any JSON value on one line: floats with four digits, nothing for None.

    Examples
    --------
    >>> plain(0.123456), plain(None), plain(True), plain([1, 2.5]), plain({"a": None, "b": "x"})
    ('0.1235', '', 'yes', '1, 2.5', 'a , b x')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(item) for item in value)
    return str(value)
