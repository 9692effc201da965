"""The model card for people: the values of `card` as Markdown.

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
_GROUPS = {"given": "given", "inferred": "told from the pictures", "none": "each picture its own"}
_EVENTS = {
    "escape": "Defective parts that pass",
    "false_reject": "Good parts that are rejected",
    "review": "Parts that go to a person",
}
_UNITS = {"group": "part", "picture": "picture"}
_MARKDOWN = re.compile(r"([\\`*_\[\]|#~])")


def render(card: Mapping[str, Any]) -> str:
    """Write a model card as Markdown without raw HTML.

    Parameters
    ----------
    card : mapping
        As `card.model_card` returns it.

    Examples
    --------
    >>> from fdsearch.registry.card import model_card
    >>> metrics = {"headline": {"value": 0.8, "ci": [0.7, 0.9]}}
    >>> text = render(model_card("tiles", metrics, {"trial": 7}, {"classes": ["<b>"]}))
    >>> "0.800 (0.700 to 0.900)" in text, "<b>" in text
    (True, False)
    """
    sections = [
        f"# Model card: {_text(card['name'])}",
        _summary(card),
        "## Limits",
        "\n".join(f"- {_text(limit)}" for limit in card["limits"]),
        "## Data",
        *_data(card),
        "## Scores",
        _scores(card),
        _per_class(card["scores"].get("holdout") or {}),
        "## Decision",
        *_decision(card),
        *_novelty(card.get("novelty") or {}),
        "## Gates at registration",
        _gates(card["gates"]),
        *_exports(card.get("exports")),
        "## Weights it started from",
        _weights(card.get("weights")),
        "## Origin",
        _table(("What", "Value"), _flat({"input": card.get("input") or {}, **card["lineage"]})),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _summary(card: Mapping[str, Any]) -> str:
    headline = card["scores"].get("headline") or {}
    classes = ", ".join(_text(label) for label in card["classes"])
    source = _SOURCES.get(str(headline.get("source")), "")
    level = f", interval {_text(headline['level'])}" if headline.get("level") else ""
    groups = headline.get("min_groups")
    support = f"; its smallest class has {groups} parts" if groups is not None else ""
    figure = _figure(headline.get("value"), headline.get("ci"), headline.get("why"))
    score = f"**Macro F1 {figure}** {source}{level}{support}.".replace("  ", " ")
    return f"Sorts gray pictures into {classes}.\n\n{score}"


def _data(card: Mapping[str, Any]) -> list[str]:
    data, partition, groups = (card.get(key) or {} for key in ("data", "partition", "groups"))
    classes = [
        (_text(label), str(row["pictures"]), str(row["parts"])) for label, row in (data.get("classes") or {}).items()
    ]
    facts = [
        ("Pictures", _known(data.get("n"))),
        ("Parts", _known(groups.get("n"))),
        ("Parts are", _text(_GROUPS.get(str(groups.get("source")), "not given"))),
    ]
    if groups.get("min_confidence") is not None:
        facts.append(("Least certain part", _figure(groups["min_confidence"])))
    for role in ("development", "holdout"):
        dealt = partition.get(role) or {}
        if dealt:
            facts.append((role.capitalize(), f"{dealt['n']} pictures of {dealt['n_groups']} parts"))
    if partition.get("name"):
        facts.append(("Partition", _text(partition["name"])))
    table = _table(("Class", "Pictures", "Parts"), classes) if classes else ""
    return [table, _table(("What", "Value"), facts)]


def _scores(card: Mapping[str, Any]) -> str:
    scores = card["scores"]
    cv, baseline, holdout = (scores.get(key) or {} for key in ("cv", "baseline", "holdout"))
    splits = f"{_count(cv, 'n_splits')} folds, {_count(cv, 'n_repeats')} repeats"
    chosen = card.get("optimism_words") or "taken off the cross-validated score"
    rows = [
        ("Cross-validated macro F1", _score(cv, "macro_f1_mean", "macro_f1_ci"), _support(cv) + f"; {splits}"),
        ("Baseline: probe on frozen features", _score(baseline, "macro_f1_mean", "macro_f1_ci"), "same folds"),
        ("Gain over the baseline, paired", _score(baseline, "gain", "gain_ci"), "same folds"),
        ("Holdout macro F1", _score(holdout, "macro_f1", "macro_f1_ci"), _support(holdout)),
        ("Optimism of having been chosen, at least", _figure(card.get("optimism")), _text(chosen)),
    ]
    random_folds = scores.get("random_folds") or {}
    if random_folds.get("macro_f1") is not None:
        beside = f"wrong: with parts kept together {_figure(random_folds.get('grouped'))}"
        rows.append(("Probe on random folds", _figure(random_folds["macro_f1"]), beside))
    openings = card.get("holdout_openings")
    if openings is not None:
        rows.append(("Openings of the holdout", str(openings["openings"]), "each one makes it less sealed"))
    agreement = scores.get("agreement") or {}
    if agreement.get("share") is not None:
        which = f"shipped: {'the mean of these' if agreement.get('shipped') == 'ensemble' else 'the final fit'}"
        rows.append(("Sealed parts classed alike by final fit and folds' models", _figure(agreement["share"]), which))
    return _table(("Figure", "Value", "From"), rows)


def _novelty(novelty: Mapping[str, Any]) -> list[str]:
    """What novelty costs and keeps from passing; nothing for versions that know nothing of it."""
    if novelty.get("threshold") is None:
        return []
    alarms = novelty.get("false_alarms") or {}
    words = (
        f"Told by {_text(novelty['method'])}. At most {100 * novelty['false_alarm_rate']:g} % of regular "
        f"{_UNITS[novelty['unit']]}s are sent to a person for it; of those left out of it, "
        f"{_count(alarms, 'sent')} of {_count(alarms, 'parts')} were."
    )
    rows = [
        (_text(label), *(str(row[key]) for key in ("parts", "passed", "passed_with_novelty")), _figure(row["auroc"]))
        for label, row in (novelty.get("unseen") or {}).items()
    ]
    head = ("Class left out of everything", "Parts", "Would pass", "Still pass", "AUROC")
    return ["## Novelty", words, *([_table(head, rows)] if rows else [])]


def _per_class(holdout: Mapping[str, Any]) -> str:
    rows = [
        (
            _text(label),
            *(_figure(row.get(key)) for key in ("precision", "recall", "f1")),
            _known(row.get("support")),
            _known(row.get("groups")),
        )
        for label, row in (holdout.get("per_class") or {}).items()
    ]
    if not rows:
        return ""
    return "Per class, on the holdout:\n\n" + _table(("Class", "Precision", "Recall", "F1", "Pictures", "Parts"), rows)


def _decision(card: Mapping[str, Any]) -> list[str]:
    good = ", ".join(_text(label) for label in card["pass_classes"]) or "none"
    rule, passing = card["decision"]["rule"], f"Classes that let a part pass: {good}."
    if not rule:
        return [passing, *_evidence(card)]
    unit = _UNITS[rule["unit"]]
    if rule.get("pass_threshold") is None:
        decides = f"Of each picture the decision with the least expected cost counts, of a {unit} the most severe one."
    else:
        decides = f"A {unit} passes where its worst picture is good with a probability of at least "
        decides += f"{rule['pass_threshold']:.6g}."
    lines = [f"{passing} {decides} The unit of decision is the {unit}."]
    if rule.get("max_escape_rate") is not None:
        lines.append(
            f"Promise: at most {rule['max_escape_rate']:.4g} of defective {unit}s pass, at confidence "
            f"{rule.get('confidence', 0.95):.4g}, on parts like those of the study."
        )
    return [*lines, _table(("Figure", "Value"), _flat(rule)), *_evidence(card)]


def _evidence(card: Mapping[str, Any]) -> list[str]:
    """How often parts escape, are rejected or go to a person, and how well probabilities and pictures agree."""
    decision, rows = card["decision"], []
    for shares, name in (("training", "as photographed"), ("line", "with the shares of the line")):
        for event, words in _EVENTS.items():
            figures = ((decision.get("rates") or {}).get(shares) or {}).get(event)
            if figures:
                bounds = None if figures.get("low") is None else (figures["low"], figures["high"])
                rows.append((f"{words}, {name}", _figure(figures.get("rate"), bounds)))
    for label, counts in (decision.get("per_class") or {}).items():
        escaped = f"{counts['escaped']} of {counts['parts']}, at most {counts['bound']:.3g}"
        rows.append((f"{_text(label)}: defective parts that pass", escaped))
    rows += _calibration(card["calibration"])
    repeatability = decision.get("repeatability") or {}
    if repeatability.get("share") is not None:
        of = f"of {repeatability.get('n_parts')} parts with several pictures"
        rows.append(("Parts whose pictures all get one decision", f"{_figure(repeatability['share'])} {of}"))
    notes = [f"{_text(note)[:1].upper()}{_text(note)[1:]}." for note in decision.get("notes") or ()]
    table = "Out of fold, each bound for itself:\n\n" + _table(("What", "Share"), rows) if rows else ""
    return [text for text in (table, *notes) if text]


def _calibration(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [("Calibrated by", _text(figures["method"]))] if figures.get("method") else []
    for key, name in (("ece", "Calibration error"), ("log_loss", "Log loss")):
        pair = figures.get(key) or {}
        if pair.get("after") is not None:
            before = _figure(pair.get("before"))
            rows.append((f"{name}, before and after calibration", f"{before}, {pair['after']:.3f}"))
    return rows


def _gates(gates: Sequence[Mapping[str, Any]]) -> str:
    if not gates:
        return "None were asked; `fdsearch registry log` tells those of each promotion."
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


def _exports(exports: Mapping[str, Mapping[str, Any]] | None) -> list[str]:
    if not exports:
        return []
    rows = [
        (
            _text(name),
            "yes" if row.get("passes") else f"no ({_text(row.get('why') or 'not made')})",
            "not given" if row.get("max_difference") is None else f"{row['max_difference']:.2g}",
            _known(row.get("decision_changes")),
            "not given" if row.get("batch_1_ms") is None else f"{row['batch_1_ms']:.1f} ms",
        )
        for name, row in exports.items()
    ]
    head = ("Format", "Answers as judged", "Largest difference", "Changed decisions", "One picture")
    return ["## Exports", _table(head, rows)]


def _weights(weights: Sequence[Mapping[str, Any]] | None) -> str:
    if weights is None:
        return "Not given."
    if not weights:
        return "None: it was trained from random numbers."
    keys = ("backbone", "file", "digest", "trained_on", "licence")
    head = ("Backbone", "File", "Digest", "Trained on", "Licence")
    return _table(head, ([_text(row.get(key) or "not given") for key in keys] for row in weights))


def _score(figures: Mapping[str, Any], value: str, interval: str) -> str:
    known, bounds, why = figures.get(value), figures.get(interval), figures.get("why")
    reason = f" (no interval: {_text(why)})" if known is not None and bounds is None and why else ""
    return _figure(known, bounds, why) + reason


def _figure(value: Any, interval: Sequence[float] | None = None, why: Any = None) -> str:
    if value is None:
        return f"not given ({_text(why)})" if why else "not given"
    return f"{value:.3f}" if interval is None else f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"


def _known(value: Any) -> str:
    return "not given" if value is None else str(value)


def _support(figures: Mapping[str, Any]) -> str:
    return f"{_count(figures, 'n')} pictures, {_count(figures, 'n_groups')} parts"


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
