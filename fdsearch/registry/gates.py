"""Whether a version may become champion: each gate of the study against the version's own figures.

`fdsearch.pipeline.promotion` adds the comparison with the champion, which takes two versions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fdsearch.config import Gates

PARITY = "export_parity"


def evaluate(
    gates: Gates,
    metrics: Mapping[str, Any],
    contract: Mapping[str, Any] | None = None,
    exports: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[dict[str, Any]]:
    """Compare figures with thresholds.

    Parameters
    ----------
    gates : Gates
        The study's gates; one that is None is not asked.
    metrics : mapping
        ``metrics.json``; `min_macro_f1` reads ``headline.ci``, (low, high) or None with a sibling ``why``.
    contract : mapping, optional
        ``contract.json``; `max_escape_rate` reads the promise, or what was measured under costs.
    exports : mapping, optional
        ``exports`` of ``exports.json``; `max_latency_ms` reads the fastest that passes. Whatever the study asks, an
        export that tells something else than the model keeps the version from becoming champion.

    Returns
    -------
    list of dict
        ``name``, ``figure`` (the bad end of what is known, or None), ``threshold``, ``holds``, ``why``. A figure that
        cannot be given does not hold.

    Examples
    --------
    >>> [gate] = evaluate(Gates(min_macro_f1=0.4), {"headline": {"value": 0.6, "ci": [0.45, 0.7]}})
    >>> gate["holds"], gate["figure"]
    (True, 0.45)
    >>> [gate] = evaluate(Gates(min_macro_f1=0.4), {"headline": {"value": 0.6, "ci": None, "why": "2 groups"}})
    >>> gate["holds"], gate["why"]
    (False, 'no interval: 2 groups')
    """
    found = []
    if gates.min_macro_f1 is not None:
        found.append(_macro_f1(metrics.get("headline") or {}, gates.min_macro_f1))
    if gates.max_escape_rate is not None:
        found.append(_escape_rate(contract or {}, gates.max_escape_rate))
    if gates.max_latency_ms is not None:
        found.append(_latency(exports, gates.max_latency_ms))
    return [*found, *_parity(exports or {})]


def fastest(exports: Mapping[str, Mapping[str, Any]] | None) -> tuple[str, float] | None:
    """The export that answers one picture soonest, of those that pass, and its milliseconds.

    Examples
    --------
    >>> slow, fast = {"passes": True, "batch_1_ms": 9.0}, {"passes": True, "batch_1_ms": 2.5}
    >>> fastest({"keras": slow, "litert": fast, "onnx": {"passes": False, "batch_1_ms": 1.0}})
    ('litert', 2.5)
    """
    known = [
        (float(row["batch_1_ms"]), name)
        for name, row in (exports or {}).items()
        if row["passes"] and row.get("batch_1_ms") is not None
    ]
    return (min(known)[1], min(known)[0]) if known else None


def row(name: str, figure: float | None, threshold: float, holds: bool, why: str) -> dict[str, Any]:
    """One gate as everybody prints it."""
    return {"name": name, "figure": figure, "threshold": threshold, "holds": holds, "why": why}


def _macro_f1(headline: Mapping[str, Any], threshold: float) -> dict[str, Any]:
    interval = headline.get("ci")
    if interval is None:
        why = f"no interval: {headline.get('why') or 'it was not computed'}"
        return row("min_macro_f1", None, threshold, False, why)
    figure = float(interval[0])
    holds = figure >= threshold
    why = f"lower end {figure:.3f} of the interval {'reaches' if holds else 'is below'} {threshold:g}"
    return row("min_macro_f1", figure, threshold, holds, why)


def _escape_rate(contract: Mapping[str, Any], threshold: float) -> dict[str, Any]:
    """The upper bound of the share of defective parts that pass; the larger one where the shares of the line differ."""
    rule = contract.get("decision") or {}
    rates = ((contract.get("evidence") or {}).get("decision") or {}).get("rates") or {}
    high = {shares: ((rates.get(shares) or {}).get("escape") or {}).get("high") for shares in ("training", "line")}
    # A bound read at a threshold that the same parts chose is none: there the promise counts. Costs choose beforehand.
    claimed = high["training"] if rule.get("costs") else rule.get("max_escape_rate")
    if claimed is None:
        why = f"nothing is proven about escapes: {contract.get('decision_why') or 'no promise was made'}"
        return row("max_escape_rate", None, threshold, False, why)
    figure = max(float(claimed), float(high["line"] or 0.0))
    where = ", with the shares of the line" if figure > claimed else ""
    holds = figure <= threshold
    why = f"at most {figure:.4g} of defective parts pass{where}: {'within' if holds else 'above'} {threshold:g}"
    return row("max_escape_rate", figure, threshold, holds, why)


def _latency(exports: Mapping[str, Mapping[str, Any]] | None, threshold: float) -> dict[str, Any]:
    found = fastest(exports)
    if found is None:
        why = "no export was measured" if exports else "the version has no exports"
        return row("max_latency_ms", None, threshold, False, why)
    name, figure = found
    holds = figure <= threshold
    why = f"{name} takes {figure:.1f} ms for a picture, {'within' if holds else 'above'} {threshold:g}"
    return row("max_latency_ms", figure, threshold, holds, why)


def _parity(exports: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """One row for all exports that were made; what this machine could not export cannot differ from the model."""
    made = {name: each for name, each in exports.items() if each.get("file") and each.get("tolerance")}
    if not made:
        return
    shares = {name: _share(each) for name, each in made.items()}
    failing = {name: each for name, each in made.items() if not each["passes"]}
    unknown = any(share is None for share in shares.values())
    figure = None if unknown else max(share for share in shares.values() if share is not None)
    if failing:
        why = "; ".join(f"{name}: {each.get('why') or 'differs from the model'}" for name, each in failing.items())
    else:
        why = f"{', '.join(made)} tell what the model tells"
    yield row(PARITY, figure, 1.0, not failing and not unknown, why)


def _share(export: Mapping[str, Any]) -> float | None:
    """How much of the allowed difference an export takes."""
    difference = export.get("max_difference")
    return None if difference is None else float(difference) / float(export["tolerance"])
