"""Which pictures of an audit are shown together, and in which order: what is surest to be wrong first.

From the audit's document to the rows that `contact_sheets` renders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fdsearch.report import audit_words
from fdsearch.report.contact_sheets import Sheet, Shown

Document = Mapping[str, Any]

SUSPECTS_SHOWN = 100
"""Parts with suspicious labels that are shown; the findings hold all of them."""

EXAMPLES_SHOWN = 6
"""Pictures of each class, of different parts, that suspicious labels can be compared with."""


def sheets(document: Document, parts: Sequence[Mapping[str, Any]], picture: Callable[[str], str]) -> list[Sheet]:
    """Lay out the pictures of an audit.

    Parameters
    ----------
    document : mapping
        As `data.audit` documents it.
    parts : sequence of mapping
        Every row with its ``filename, group, label``; the label is None where it must not be looked at.
    picture : callable
        Data URI of a file's picture; empty where there is none.

    Returns
    -------
    list of Sheet
        Those of a section in a row.
    """
    drawn: dict[str, str] = {}
    labels = {row["filename"]: row["label"] for row in parts}

    def shown(filename: str, remark: str | None = None) -> Shown:
        if filename not in drawn:
            drawn[filename] = picture(filename)
        return Shown(drawn[filename], filename, remark or labels.get(filename) or "")

    return [
        *_conflicts(document, shown),
        *_leaks(document, shown),
        *_examples(document, parts, shown),
        *_suspects(document, shown),
        *_parts(document, shown),
    ]


_Shown = Callable[..., Shown]


def _conflicts(document: Document, shown: _Shown) -> Iterator[Sheet]:
    for entry in document["conflicts"]:
        what = "The same pixels" if entry["kind"] == "exact" else "The same part"
        title = f"{what}, confidence {entry['confidence']:.2f}"
        yield Sheet("Labels that differ within a part", title, tuple(map(shown, entry["filenames"])))


def _leaks(document: Document, shown: _Shown) -> Iterator[Sheet]:
    for entry in document["leaks"]:
        title = f"{entry['split']}, confidence {entry['confidence']:.2f}"
        pictures = [shown(name, side) for name, side in zip(entry["filenames"], entry["sides"], strict=True)]
        yield Sheet("Parts on several sides of a split", title, tuple(pictures))


def _examples(document: Document, parts: Sequence[Mapping[str, Any]], shown: _Shown) -> Iterator[Sheet]:
    """Some pictures of each class whose labels nobody doubts, where there are labels to look at."""
    if not document["label_suspects"]:
        return
    doubted = {entry["filename"] for entry in document["label_suspects"]}
    doubted |= {name for entry in document["conflicts"] for name in entry["filenames"]}
    for label in document["classes"]:
        by_part: dict[str, str] = {}
        for row in parts:
            if row["label"] == label and row["filename"] not in doubted and len(by_part) < EXAMPLES_SHOWN:
                by_part.setdefault(row["group"], row["filename"])
        if by_part:
            yield Sheet("Pictures of each class, to compare with", label, tuple(map(shown, by_part.values())))


def _suspects(document: Document, shown: _Shown) -> Iterator[Sheet]:
    for entries in audit_words.suspects_by_part(document["label_suspects"])[:SUSPECTS_SHOWN]:
        first = entries[0]
        mixed = "; its part carries several labels" if first["mixed_part"] else ""
        title = f"Labelled {first['label']}, looks like {first['proposed']}{mixed}"
        pictures = tuple(shown(entry["filename"], _doubt(entry)) for entry in entries)
        yield Sheet("Labels to look at, the surest first", title, pictures)


def _parts(document: Document, shown: _Shown) -> Iterator[Sheet]:
    for entry in document["proposals"]:
        title = f"{entry['group']}, confidence {entry['confidence']:.2f}"
        if not entry["in_use"]:
            title += f"; now in {', '.join(dict.fromkeys(entry['now']))}"
        yield Sheet("Parts found, the least certain first", title, tuple(map(shown, entry["filenames"])))


def _doubt(entry: Document) -> str:
    return f"{entry['proposed']} {entry['probability']:.2f}, {entry['label']} {entry['given']:.2f}"
