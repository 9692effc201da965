"""What a person sees of an audit: what is wrong first, then where the rest is written; `show` prints the lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from fdsearch.cli.show import Document, line, table
from fdsearch.report import audit_words
from fdsearch.report.words import groups, seconds

_SHOWN = 20
"""Entries of a list that are printed; the files hold all of them."""

Finding = TypeVar("Finding")


def audit(document: Document) -> None:
    """Print what an audit found."""
    line("found", audit_words.alarms(document))
    line("pictures", str(document["n"]))
    for name, number in document["classes"].items():
        line("", f"{number:6d}  {name}")
    line("groups", groups(document["groups"]))
    _list("problem", document["problems"], audit_words.problem, shown=None)
    near = [entry for entry in document["duplicate_groups"] if entry["kind"] == "near"]
    exact = [entry for entry in document["duplicate_groups"] if entry["kind"] == "exact"]
    _list("duplicate", exact, audit_words.duplicate)
    if near:
        line("near", f"parts with several pictures: {len(near)}; the contact sheets show them")
    _list("conflict", [entry for entry in document["conflicts"] if entry["kind"] == "near"], _conflict)
    _list("leak", audit_words.leaks(document["leaks"]), str)
    _list("shortcut", document["shortcuts"], audit_words.shortcut)
    _list("label", audit_words.suspects_by_part(document["label_suspects"]), audit_words.suspects)
    _list("note", audit_words.remarks(document), str, shown=None)
    _missing(document["missing_parts"])
    _files(document)


def _list(name: str, entries: Sequence[Finding], words: Callable[[Finding], str], shown: int | None = _SHOWN) -> None:
    for entry in entries[:shown]:
        line(name, words(entry))
    if shown is not None and len(entries) > shown:
        line(name, f"and {len(entries) - shown} more")


def _conflict(entry: Mapping[str, Any]) -> str:
    return f"labels that differ, {audit_words.duplicate(entry)}"


def _missing(entries: Sequence[Mapping[str, Any]]) -> None:
    if entries:
        rows = [
            (entry["class"], entry["role"], entry["groups"], entry["wanted"], entry["collect"], entry["purpose"])
            for entry in entries
        ]
        table(("class", "role", "parts", "wanted", "to collect", "for"), rows)


def _files(document: Document) -> None:
    line("groups in", document["groups_csv"])
    line("shown in", document["html"])
    if document["worklist"]:
        line("worklist", f"{document['worklist']} (edit it, and name it as `corrections` in the study)")
    line("took", seconds(document["seconds"]))
