"""What a person sees of how far a run can be trusted: one line for each thing that is known, none where it is not."""

from __future__ import annotations

from typing import Any

from fdsearch.cli import show, show_write_up
from fdsearch.cli.show import Document, line, table
from fdsearch.report import words

_AUDITED = ("problems", "conflicts", "leaks", "shortcuts", "label_suspects", "missing_parts")


def run(document: Document) -> None:
    """Print a run, and then how far its figures can be trusted."""
    show.run(document)
    if "candidate" in document:
        trust(document)


def trust(document: Document) -> None:
    """Print what stands behind scores and decisions; a document of an earlier version may lack all of it."""
    _data(document)
    _scores(document)
    _comparisons(document)
    show_write_up.write_up(document)
    _left_out(document)
    _decisions(document)


def _data(document: Document) -> None:
    if groups := words.groups(document.get("groups")):
        line("groups", groups)
    audit = document.get("audit") or {}
    found = [f"{words.count(audit[key])} {key.replace('_', ' ')}" for key in _AUDITED if audit.get(key)]
    if audit:
        line("audit", ", ".join(found) or "nothing to look at")
    for key in ("html", "worklist"):
        if audit.get(key):
            line("", str(audit[key]))


def _scores(document: Document) -> None:
    if luck := words.luck(document.get("search") or {}):
        line("chosen", luck)
    holdout = document.get("holdout") or {}
    if holdout.get("words"):
        line("holdout", str(holdout["words"]))
    random_folds = document.get("random_folds") or {}
    if random_folds.get("macro_f1") is not None:
        figures = f"{words.score(random_folds['macro_f1'])} on random folds, parts kept together "
        figures += f"{words.score(random_folds.get('grouped'))}; {random_folds.get('words')}"
        line("probe", figures)
    elif random_folds.get("why"):
        line("probe", f"no score on random folds: {random_folds['why']}")


def _comparisons(document: Document) -> None:
    if choice := document.get("choice"):
        given_up = f"; given up: {choice['given_up']:.4f}, the lead of {choice['best']}" if choice["given_up"] else ""
        line("taken", f"{choice['winner']}, {choice['why']}{given_up}")
    rows = [
        (
            row["name"],
            words.score(row.get("gain"), signed=True),
            words.interval(row.get("ci"), row.get("why"), row.get("level")),
            _verdict(row),
            words.score(p) if (p := (row.get("t") or {}).get("p")) is not None else "omitted",
        )
        for row in document.get("comparisons") or ()
    ]
    if rows:
        table(("against", "gain", "interval, all at once", "verdict", "t-test, p about"), rows)


def _verdict(row: Document) -> str:
    if row.get("claimed"):
        return "better"
    return "a tie" if row.get("tied") else "not claimed"


def _left_out(document: Document) -> None:
    rows = [
        (
            f"{row['column']} {row['value']}",
            words.score(row.get("macro_f1")),
            words.interval(row.get("macro_f1_ci"), row.get("why"), row.get("level")),
            words.score(row.get("same_rows_cv")),
            row.get("n"),
            row.get("n_groups"),
        )
        for row in document.get("left_out") or ()
    ]
    if rows:
        table(("trained without", "macro F1 on it", "interval", "cross-validated", "pictures", "parts"), rows)


def _decisions(document: Document) -> None:
    evidence: dict[str, Any] = document.get("decision_evidence") or {}
    for key, title in (("training", ""), ("line", ", shares of the line")):
        mix = (evidence.get("rates") or {}).get(key) or {}
        for event, name in words.EVENTS.items():
            if mix.get(event):
                line("rate", f"{name}{title}: {words.rate(mix[event])}")
    if evidence.get("needed"):
        line("needed", f"about {evidence['needed']} defective parts; there are {evidence.get('n_defective')}")
    for note in evidence.get("notes") or ():
        line("note", note)
    calibration = document.get("calibration") or {}
    if error := calibration.get("ece"):
        before, after = (words.score(error.get(key)) for key in ("before", "after"))
        line("calibrated", f"expected calibration error {before} before, {after} after")
    repeatability = document.get("repeatability") or {}
    if repeatability.get("share") is not None:
        share, n_parts = words.score(repeatability["share"]), repeatability.get("n_parts")
        line("repeatable", f"{share} of {n_parts} parts with several pictures get one decision from all of them")
    if agreement := document.get("agreement"):
        line("ships", str(agreement.get("why")))
