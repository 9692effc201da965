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
_EVENTS = {
    "escape": "Defective parts that pass",
    "false_reject": "Good parts that are rejected",
    "review": "Parts that go to a person",
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
        ``headline``, ``cv``, ``baseline``, ``holdout``, ``optimism``, ``groups``, ``random_folds``, ``agreement`` as
        `run --json` prints them; of the first four, what is absent or None is said to be so, with its ``why``.
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
    lines = [
        f"Sorts gray pictures into {classes}.",
        f"**Macro F1 {figure}** {source}{level}{support}.".replace("  ", " "),
        *(f"{_text(words)[:1].upper()}{_text(words)[1:]}." for words in _caveats(metrics)),
    ]
    return "\n\n".join(lines)


def _caveats(metrics: Mapping[str, Any]) -> list[str]:
    """What a reader of the score must not miss."""
    found = []
    if (metrics.get("holdout") or {}).get("independent") is False:
        found.append(str(metrics["holdout"].get("words") or "the holdout is not independent"))
    if (metrics.get("groups") or {}).get("source") == "inferred":
        found.append("groups were inferred from pictures, names, order and time: the score is as right as they are")
    if (metrics.get("agreement") or {}).get("shipped") == "ensemble":
        found.append(f"the model is the mean of its folds' models: {metrics['agreement'].get('why')}")
    return found


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
        ("Optimism of having been chosen, at least", _figure(optimism), "taken off the cross-validated score"),
    ]
    random_folds = metrics.get("random_folds") or {}
    if random_folds.get("macro_f1") is not None:
        beside = f"wrong: with parts kept together {_figure(random_folds.get('grouped'))}"
        rows.append(("Probe on random folds", _figure(random_folds["macro_f1"]), beside))
    if holdout.get("openings") is not None:
        rows.append(("Openings of the holdout", str(holdout["openings"]), "each one makes it less sealed"))
    agreement = metrics.get("agreement") or {}
    if agreement.get("share") is not None:
        which = f"shipped: {'the mean of these' if agreement.get('shipped') == 'ensemble' else 'the final fit'}"
        rows.append(("Sealed parts classed alike by final fit and folds' models", _figure(agreement["share"]), which))
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
        told = f"Classes that let a part pass: {good}. Nothing passes without a person: {why}."
        return "\n\n".join([told, *_evidence(contract.get("evidence") or {})])
    unit = "part" if rule["unit"] == "group" else "picture"
    if rule.get("pass_threshold") is None:
        decides = f"Of each picture the decision with the least expected cost counts, of a {unit} the most severe one."
    else:
        decides = (
            f"A {unit} passes where they have a probability of at least {rule['pass_threshold']:.6g} in its worst "
            "picture."
        )
    lines = [f"Classes that let a part pass: {good}. {decides}"]
    if rule.get("max_escape_rate") is not None:
        lines.append(
            f"Promise: at most {rule['max_escape_rate']:.4g} of defective parts pass, at confidence "
            f"{rule.get('confidence', 0.95):.4g}, on parts like those of the study."
        )
    return "\n\n".join([*lines, _table(("Figure", "Value"), _flat(rule)), *_evidence(contract.get("evidence") or {})])


def _evidence(evidence: Mapping[str, Any]) -> list[str]:
    """How often parts escape, are rejected or go to a person, and how well probabilities and pictures agree."""
    decision, repeatability = evidence.get("decision") or {}, evidence.get("repeatability") or {}
    rows = []
    for shares, name in (("training", "as photographed"), ("line", "with the shares of the line")):
        for event, words in _EVENTS.items():
            figures = ((decision.get("rates") or {}).get(shares) or {}).get(event)
            if figures:
                bounds = None if figures.get("low") is None else (figures["low"], figures["high"])
                rows.append((f"{words}, {name}", _figure(figures.get("rate"), bounds)))
    for label, counts in (decision.get("per_class") or {}).items():
        escaped = f"{counts['escaped']} of {counts['parts']}, at most {counts['bound']:.3g}"
        rows.append((f"{_text(label)}: defective parts that pass", escaped))
    for key, name in (("ece", "Calibration error"), ("log_loss", "Log loss")):
        pair = (evidence.get("calibration") or {}).get(key) or {}
        if pair.get("after") is not None:
            rows.append(
                (f"{name}, before and after calibration", f"{_figure(pair.get('before'))}, {pair['after']:.3f}")
            )
    if repeatability.get("share") is not None:
        of = f"of {repeatability.get('n_parts')} parts with several pictures"
        rows.append(("Parts whose pictures all get one decision", f"{_figure(repeatability['share'])} {of}"))
    notes = [f"{_text(note)[:1].upper()}{_text(note)[1:]}." for note in decision.get("notes") or ()]
    table = "Out of fold, each bound for itself:\n\n" + _table(("What", "Share"), rows) if rows else ""
    return [text for text in (table, *notes) if text]


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
