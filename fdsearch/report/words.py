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


EVENTS = {
    "escape": "defective parts that pass",
    "false_reject": "good parts that are rejected",
    "review": "parts that go to a person",
}
"""What rates are given of: key in the document, words."""

GROUP_SOURCES = {
    "given": "given by the study",
    "inferred": "inferred from pictures, names, order and time",
    "none": "none were given, each picture counts as a part",
}
"""Where the groups in use come from."""


def groups(entry: Mapping[str, Any] | None) -> str:
    """Where the groups of a run come from; empty where the document does not say.

    Examples
    --------
    >>> groups({"source": "inferred", "n": 217, "min_confidence": 0.61, "proposals": 0})
    'inferred from pictures, names, order and time, 217 parts, the least certain with confidence 0.61'
    >>> groups({"source": "none", "n": 90, "proposals": 12}), groups(None)
    ('none were given, each picture counts as a part, 90 parts, 12 proposals would join some of them', '')
    """
    if not entry:
        return ""
    source = str(entry.get("source"))
    said = [GROUP_SOURCES.get(source, source)]
    if entry.get("n") is not None:
        said.append(f"{entry['n']} parts")
    if source == "inferred" and entry.get("min_confidence") is not None:
        said.append(f"the least certain with confidence {entry['min_confidence']:.2f}")
    if proposals := entry.get("proposals"):
        found = count(proposals)
        said.append(f"{found} proposal{'' if found == '1' else 's'} would join some of them")
    return ", ".join(said)


def luck(search: Mapping[str, Any]) -> str:
    """What having been chosen is worth, in a sentence; empty where it is not known.

    Examples
    --------
    >>> luck({"raw": 0.69, "optimism": 0.03, "corrected": 0.66, "words": "having been chosen among 9 trials flatters"})
    'Cross-validated 0.690; having been chosen among 9 trials flatters, which leaves 0.660.'
    >>> luck({"raw": 0.69, "optimism": 0.03, "corrected": 0.66, "n_trials": 9})  # of an earlier run
    "The search's best value was 0.690; the best of 9 trials, it flatters by at least 0.030, which leaves 0.660."
    """
    if search.get("corrected") is None:
        return ""
    raw, left = score(search.get("raw")), score(search["corrected"])
    if search.get("words"):
        return f"Cross-validated {raw}; {search['words']}, which leaves {left}."
    trials, taken = plain(search.get("n_trials")), score(search.get("optimism"))
    best = f"The search's best value was {raw}; the best of {trials} trials, it"
    return f"{best} flatters by at least {taken}, which leaves {left}."


def rate(figures: Mapping[str, Any] | None) -> str:
    """A rate with its exact bounds.

    Examples
    --------
    >>> rate({"rate": 0.02, "low": 0.001, "high": 0.1}), rate({"rate": None, "low": None, "high": None}), rate(None)
    ('0.020 (0.001 to 0.100)', 'not given', 'not given')
    """
    if not figures or figures.get("rate") is None:
        return "not given"
    bounds = None if figures.get("low") is None else (figures["low"], figures["high"])
    return score(figures["rate"]) + (f" ({interval(bounds)})" if bounds else "")


def count(value: Any) -> str:
    """How many there are, of a list or of what has been counted already.

    Examples
    --------
    >>> count([1, 2]), count(2), count(None)
    ('2', '2', '0')
    """
    return str(value if isinstance(value, int) else len(value or ()))


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


def reported(value: float | None) -> str:
    """A score as its source prints it: with the digits it gives, none of ours.

    Examples
    --------
    >>> reported(0.93), reported(0.4), reported(None)
    ('0.93', '0.40', 'not given')
    """
    return "not given" if value is None else f"{value:.2f}"


def figure(entry: Mapping[str, Any] | None) -> str:
    """An F1 (macro, or that of one class) with its interval; nothing where there is none.

    Examples
    --------
    >>> figure({"f1": 0.81, "f1_ci": [0.7, 0.9], "level": "95 %"}), figure(None)
    ('0.810, 0.700 to 0.900 (95 %)', '')
    """
    if not entry or entry.get("f1") is None:
        return ""
    return f"{score(entry['f1'])}, {interval(entry.get('f1_ci'), entry.get('why'), entry.get('level'))}"


def reproduced(row: Mapping[str, Any]) -> str:
    """What became of a claim: a figure, or why there is none; random initial weights are said.

    Examples
    --------
    >>> reproduced({"why": "no weights", "weights": "ImageNet weights"})
    'not run: no weights'
    >>> reproduced({"f1": 0.5, "weights": "random initial weights", "interval_why": "4 parts of Flat loop"})
    '0.500, none (4 parts of Flat loop), random initial weights'
    """
    if row.get("why"):
        return f"not run: {row['why']}"
    found = figure({**row, "why": row.get("interval_why")})
    return ", ".join(part for part in (found, row.get("weights")) if part)


def gain(row: Mapping[str, Any]) -> str:
    """The champion's paired gain over a claim's recipe, and whether it may be claimed.

    Examples
    --------
    >>> gain({"gain": 0.2, "gain_ci": [0.1, 0.3], "gain_level": "95 %", "gain_claimed": True})
    '+0.200, 0.100 to 0.300 (95 %): better'
    >>> gain({"gain": 0.0, "gain_ci": None, "gain_why": "3 parts", "gain_claimed": False}), gain({"gain": None})
    ('+0.000, none (3 parts): not claimed', '')
    """
    if row.get("gain") is None:
        return ""
    bounds = row.get("gain_ci")
    told = interval(bounds, None if bounds else row.get("gain_why"), row.get("gain_level"))
    return f"{score(row['gain'], signed=True)}, {told}: {'better' if row.get('gain_claimed') else 'not claimed'}"
