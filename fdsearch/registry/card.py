"""The model card: what a version is, how good, what it promises and where it comes from, as Markdown for people.

Labels and names come from data: they are escaped, so that a card shows them and never obeys them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_SOURCES = {
    "holdout": "on the sealed holdout",
    "out_of_fold": "out of fold, corrected for having been chosen among many trials",
}
_MARKDOWN = re.compile(r"([\\`*_\[\]|#~])")


def render(
    name: str,
    metrics: Mapping[str, Any],
    lineage: Mapping[str, Any],
    contract: Mapping[str, Any],
    gates: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Write a model card.

    Parameters
    ----------
    name : str
        The model's name; its version is not known before it is registered.
    metrics : mapping
        ``headline``, ``cv``, ``baseline``, ``holdout``, ``optimism`` as `run --json` prints them; what is absent or
        None is said to be so, with its ``why``.
    lineage : mapping
        Digests, seeds, study, trial, parameters; nested mappings are flattened.
    contract : mapping
        ``contract.json`` as plain values.
    gates : sequence of mapping
        As `gates.evaluate` returns them.

    Returns
    -------
    str
        Markdown without raw HTML.

    Examples
    --------
    >>> text = render("tiles", {"headline": {"value": 0.8, "ci": [0.7, 0.9]}}, {"trial": 7}, {"classes": ["<b>"]})
    >>> "0.800 (0.700 to 0.900)" in text, "<b>" in text
    (True, False)
    """
    sections = [
        f"# Model card: {_text(name)}",
        _summary(metrics, contract),
        "## Scores",
        _scores(metrics),
        _per_class(metrics.get("holdout") or {}),
        "## Decision",
        _decision(contract),
        "## Limits",
        _limits(metrics),
        "## Gates",
        _gates(gates),
        "## Origin",
        _table(("What", "Value"), _flat({"input": contract.get("input", {}), **lineage})),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _summary(metrics: Mapping[str, Any], contract: Mapping[str, Any]) -> str:
    headline = metrics.get("headline") or {}
    classes = ", ".join(_text(label) for label in contract.get("classes", ()))
    source = _SOURCES.get(str(headline.get("source")), "")
    level = f", interval {_text(headline['level'])}" if headline.get("level") else ""
    groups = headline.get("min_groups")
    support = f"; its smallest class has {groups} groups" if groups is not None else ""
    figure = _figure(headline.get("value"), headline.get("ci"), headline.get("why"))
    return f"Sorts gray pictures into {classes}.\n\n**Macro F1 {figure}** {source}{level}{support}.".replace("  ", " ")


def _scores(metrics: Mapping[str, Any]) -> str:
    cv, baseline = metrics.get("cv") or {}, metrics.get("baseline") or {}
    holdout, optimism = metrics.get("holdout") or {}, metrics.get("optimism")
    if isinstance(optimism, Mapping):
        optimism = optimism.get("optimism")
    splits = f"{_count(cv, 'n_splits')} folds, {_count(cv, 'n_repeats')} repeats"
    rows = [
        ("Cross-validated macro F1", _score(cv, "macro_f1_mean", "macro_f1_ci"), _support(cv) + f"; {splits}"),
        ("Baseline: probe on frozen features", _score(baseline, "macro_f1_mean", "macro_f1_ci"), "same folds"),
        ("Gain over the baseline, paired", _score(baseline, "gain", "gain_ci"), "same folds"),
        ("Holdout macro F1", _score(holdout, "macro_f1", "macro_f1_ci"), _support(holdout)),
        ("Optimism of the search", _figure(optimism), "taken off what the search itself reports"),
    ]
    if holdout.get("openings") is not None:
        rows.append(("Openings of the holdout", str(holdout["openings"]), "each one makes it less sealed"))
    return _table(("Figure", "Value", "From"), rows)


def _per_class(holdout: Mapping[str, Any]) -> str:
    rows = [
        (
            _text(label),
            *(_figure(row.get(key)) for key in ("precision", "recall", "f1")),
            str(row.get("support", "not given")),
            str(row.get("groups", "not given")),
        )
        for label, row in (holdout.get("per_class") or {}).items()
    ]
    if not rows:
        return ""
    return "Per class, on the holdout:\n\n" + _table(("Class", "Precision", "Recall", "F1", "Pictures", "Groups"), rows)


def _decision(contract: Mapping[str, Any]) -> str:
    good = ", ".join(_text(label) for label in contract.get("pass_classes", ())) or "none"
    rule = contract.get("decision")
    if not rule:
        why = _text(contract.get("decision_why") or "no promise was asked for")
        return f"Classes that let a part pass: {good}. Nothing passes without a person: {why}."
    lines = [
        f"Classes that let a part pass: {good}. A {'part' if rule['unit'] == 'group' else 'picture'} passes where they "
        f"have a probability of at least {rule['pass_threshold']:.6g} in its worst picture."
    ]
    if "max_escape_rate" in rule:
        lines.append(
            f"Promise: at most {rule['max_escape_rate']:.4g} of defective parts pass, at confidence "
            f"{rule.get('confidence', 0.95):.4g}, on parts like those of the study."
        )
    return "\n\n".join([*lines, _table(("Figure", "Value"), _flat(rule))])


def _limits(metrics: Mapping[str, Any]) -> str:
    lines = [
        "- The scores estimate what this procedure does on new parts of the same source. Another product, camera, lens "
        "or lighting is a new source: measure again before use.",
        "- A picture unlike all known ones still gets a label: this version does not recognise novelty.",
    ]
    headline = metrics.get("headline") or {}
    if headline.get("ci") is None:
        lines.append(f"- No interval can be given: {_text(headline.get('why') or 'it was not computed')}.")
    return "\n".join(lines)


def _gates(gates: Sequence[Mapping[str, Any]]) -> str:
    if not gates:
        return "The study sets none."
    rows = [
        (
            _text(gate["name"]),
            _figure(gate["figure"]),
            _figure(gate["threshold"]),
            "yes" if gate["holds"] else "no",
            _text(gate["why"]),
        )
        for gate in gates
    ]
    return _table(("Gate", "Figure", "Threshold", "Holds", "Why"), rows)


def _score(figures: Mapping[str, Any], value: str, interval: str) -> str:
    return _figure(figures.get(value), figures.get(interval), figures.get("why"))


def _figure(value: Any, interval: Sequence[float] | None = None, why: Any = None) -> str:
    if value is None:
        return f"not given ({_text(why)})" if why else "not given"
    return f"{value:.3f}" if interval is None else f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"


def _support(figures: Mapping[str, Any]) -> str:
    return f"{_count(figures, 'n')} pictures, {_count(figures, 'n_groups')} groups"


def _count(figures: Mapping[str, Any], key: str) -> str:
    return str(figures.get(key, "?"))


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((_text(f"{prefix}{key}"), _text(value)))
    return rows


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(value: Any) -> str:
    """One line of text that neither Markdown nor a browser takes for more."""
    return html.escape(_MARKDOWN.sub(r"\\\1", " ".join(str(value).split())), quote=False)
