"""The report of a run: plain tables to one self-contained page that runs no code and loads nothing.

The page forbids scripts and the network by its own content security policy, and every text is escaped by the template,
so a label or a file name stays text. `figures` and `trust_figures` draw; the confusion matrix is an HTML table, because
labels of any script and length stay readable and selectable there. Each part of the page is a file in ``sections`` that
is silent where the document, which may be an older one, has nothing for it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdsearch.report import trust_figures, words
from fdsearch.report.figures import latency_front, learning_curves, trial_history

if TYPE_CHECKING:
    import jinja2

TEMPLATE = "page.html.j2"


def render(tables: Mapping[str, Any]) -> str:
    """Render the page.

    Parameters
    ----------
    tables : mapping
        The JSON document of a run, and of these what there is: ``curves`` (fold name to a list of epochs with
        ``epoch``, ``loss``, ``accuracy``, ``val_loss``, ``val_accuracy``, ``val_macro_f1``), ``confusion`` (counts,
        true class by predicted class), ``per_class``, ``classes`` (their names in order), ``trials`` (``number``,
        ``state``, ``value``, ``params``, ``latency_ms``, ``feasible``), ``pareto`` (``trial``, ``value``,
        ``latency_ms``, ``feasible``). Any key may be absent or None.

    Returns
    -------
    str
        HTML. Equal tables give equal bytes.
    """
    trials = sorted(tables.get("trials") or (), key=lambda trial: trial["number"])
    return _page().render(
        run=tables,
        champion=champion_sentence(tables),
        scores=score_rows(tables),
        bounds=recall_bounds(tables),
        sources=class_tables(tables),
        curves=learning_curves(tables.get("curves") or {}),
        history=trial_history(trials),
        front=latency_front(trials, tables.get("pareto") or ()),
        trials=trials,
        parameters=list(dict.fromkeys(name for trial in trials for name in trial["params"])),
        **trust_tables(tables),
    )


def trust_tables(run: Mapping[str, Any]) -> dict[str, Any]:
    """What the sections about trust need beside the document itself."""
    evidence, calibration = run.get("decision_evidence") or {}, run.get("calibration") or {}
    checks = (run.get("audit") or {}).get("shortcut_checks") or ()
    tests = [row.get("t") or {} for row in run.get("comparisons") or ()]
    return {
        "luck": words.luck(run.get("search") or {}),
        "groups": words.groups(run.get("groups")),
        "omitted": list(dict.fromkeys(test["why"] for test in tests if test.get("why"))),
        "shortcut_checks": checks,
        "shortcut_figure": trust_figures.shortcuts(checks),
        "reliability": trust_figures.reliability(calibration.get("bins") or {}),
        "trade_off": trust_figures.trade_off(
            evidence.get("curve") or {}, (run.get("decision") or {}).get("pass_threshold")
        ),
        "rates": rate_rows(evidence.get("rates") or {}),
        "share_titles": [title for key, title in trust_figures.SHARES if (evidence.get("rates") or {}).get(key)],
    }


def rate_rows(rates: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of the table of rates: what is counted, and a cell for each mix of classes.

    Examples
    --------
    >>> training = {"escape": {"rate": 0.02, "low": 0.001, "high": 0.1}}
    >>> rate_rows({"training": training, "line": None})
    [{'name': 'defective parts that pass', 'cells': ['0.020 (0.001 to 0.100)']}]
    """
    mixes = [rates[key] for key, _ in trust_figures.SHARES if rates.get(key)]
    return [
        {"name": name, "cells": [words.rate(mix.get(event)) for mix in mixes]}
        for event, name in words.EVENTS.items()
        if any(mix.get(event) for mix in mixes)
    ]


@functools.cache
def _page() -> jinja2.Template:
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(score=words.score, interval=words.interval, plain=words.plain, duration=words.seconds)
    environment.filters["how_many"] = words.count
    environment.filters.update({name: getattr(words, name) for name in ("reported", "figure", "reproduced", "gain")})
    return environment.get_template(TEMPLATE)


def champion_sentence(run: Mapping[str, Any]) -> str:
    """What became of the candidate, in one sentence.

    Examples
    --------
    >>> candidate = {"name": "tile", "version": 2, "alias": "challenger"}
    >>> champion_sentence({"candidate": candidate, "champion": {"name": "tile", "version": 1}})
    'The candidate tile:2 is challenger; the champion stays tile:1.'
    """
    candidate, champion = run.get("candidate"), run.get("champion")
    if not candidate:
        return f"The champion is {_reference(champion)}." if champion else "No model has been registered yet."
    name = _reference(candidate)
    if champion and _reference(champion) == name:
        return f"The champion is {name}."
    alias = f"is {candidate['alias']}" if candidate.get("alias") else "was registered"
    stays = (
        f"the champion stays {_reference(champion)}"
        if champion
        else "there is no champion, because a gate does not hold"
    )
    return f"The candidate {name} {alias}; {stays}."


def score_rows(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of the score table, the headline first: name, value, interval or why there is none, support."""
    rows = []
    for key, name, figure in (("headline", "headline", "value"), *words.SCORES):
        part = run.get(key)
        if part:
            source = f" ({words.SOURCES.get(part['source'], part['source'])})" if part.get("source") else ""
            interval = words.interval(part.get("ci", part.get("macro_f1_ci")), part.get("why"), part.get("level"))
            support = {name: part.get(name) for name in ("n", "n_groups", "min_groups")}
            rows.append({"name": name + source, "value": part.get(figure), "interval": interval, **support})
    return rows


def recall_bounds(run: Mapping[str, Any]) -> list[tuple[str, str, Sequence[float]]]:
    """Score, class and exact bounds of its recall, where a class has too few parts for an interval of the score."""
    return [
        (name, label, bounds)
        for key, name, _ in words.SCORES
        for label, bounds in ((run.get(key) or {}).get("recall_bounds") or {}).items()
    ]


def class_tables(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Per-class scores and confusion matrix: out of fold (first repeat), then on the holdout."""
    classes = run.get("classes") or ()
    found = []
    for name, part in (("cross-validation", run), ("holdout", run.get("holdout") or {})):
        per_class, confusion = part.get("per_class") or {}, part.get("confusion") or ()
        if per_class or confusion:
            matrix = confusion_rows(confusion, classes)
            found.append({"name": name, "classes": classes, "per_class": per_class, "matrix": matrix})
    return found


def confusion_rows(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> list[dict[str, Any]]:
    """The confusion matrix with the share of each true class, for shading.

    Examples
    --------
    >>> confusion_rows([[3, 1], [0, 0]], ["good", "bad"])[0]["cells"]
    [{'count': 3, 'share': 0.75}, {'count': 1, 'share': 0.25}]
    """
    rows = []
    for name, counts in zip(classes, confusion, strict=False):
        total = sum(counts)
        cells = [{"count": count, "share": count / total if total else 0.0} for count in counts]
        rows.append({"name": name, "total": total, "cells": cells})
    return rows


def _reference(version: Mapping[str, Any]) -> str:
    return f"{version['name']}:{version['version']}"
