"""What a person should judge, as a file of corrections to be edited and named as `data.corrections`.

The columns that change something are left empty, so that an unedited worklist changes nothing, and the corrections in
force are carried over, so that it can take their file's place. `data.audit` finds, `data.corrections` reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fdsearch.data.corrections import COLUMNS, Correction
from fdsearch.files import csv_bytes, csv_cell

_SHOWN = 3
"""Other pictures of a set that a sentence names."""

_SURE = 0.95
"""Inferred groups of this confidence are not asked about."""


def worklist(findings: Mapping[str, Sequence[str]], earlier: Mapping[str, Correction]) -> bytes:
    """Write a file of corrections with one row per picture.

    Parameters
    ----------
    findings : mapping of str to sequence of str
        Sentences by filename.
    earlier : mapping of str to Correction
        The corrections in force, by filename; they stay as they are, with the findings added to their reason.

    Returns
    -------
    bytes
        UTF-8 CSV ``filename,label,exclude,group,by,reason``; cells as `csv_cell` writes them.

    Examples
    --------
    >>> print(worklist({"=a.png": ["says Free"]}, {"b.png": Correction(exclude=True, by="Eva")}).decode(), end="")
    filename,label,exclude,group,by,reason
    '=a.png,,,,,says Free
    b.png,,1,,Eva,
    """
    rows = []
    for name in dict.fromkeys([*findings, *earlier]):
        known = earlier.get(name, Correction())
        new = [finding for finding in findings.get(name, ()) if finding not in known.reason]
        reason = "; ".join([known.reason, *new] if known.reason else new)
        cells = (name, known.label, "1" if known.exclude else "", known.group, known.by, reason)
        rows.append([csv_cell(cell) for cell in cells])
    return csv_bytes(list(COLUMNS), rows)


def findings(report: Mapping[str, Any]) -> dict[str, list[str]]:
    """What an audit found about single pictures, and what could be written for it.

    Parameters
    ----------
    report : mapping
        The document of `data.audit`: its ``unreadable``, ``conflicts``, ``label_suspects``, ``proposals`` and
        ``groups``. A proposal that is in use is asked about where groups are inferred and it is not sure.

    Returns
    -------
    dict of str to list of str
        Sentences by filename; what is surest to be wrong first.
    """
    found: dict[str, list[str]] = {}

    def note(name: str, text: str) -> None:
        found.setdefault(name, []).append(text)

    for name in report["unreadable"]:
        note(name, "no readable picture: exclude 1, or copy the picture again")
    for entry in report["conflicts"]:
        for name, label in zip(entry["filenames"], entry["labels"], strict=True):
            if label is not None:
                _note_conflict(note, entry, name, label)
    for entry in report["label_suspects"]:
        margin = f"{entry['probability']:.2f} against {entry['given']:.2f}"
        mixed = ", of a part with several labels" if entry["mixed_part"] else ""
        note(entry["filename"], f"labelled {entry['label']}{mixed}, looks like {entry['proposed']} ({margin})")
    inferred = report["groups"]["source"] == "inferred"
    for entry in report["proposals"]:
        first, sure = entry["filenames"][0], f"confidence {entry['confidence']:.2f}"
        for name, now in zip(entry["filenames"], entry["now"], strict=True):
            if now != entry["group"]:
                note(name, f"seems to show the same part as {first} ({sure}): group {entry['group']}")
            elif inferred and entry["confidence"] < _SURE and name != first:
                note(name, f"taken for the same part as {first} ({sure}): if it is not, write another group")
    return found


def _note_conflict(note: Any, entry: Mapping[str, Any], name: str, label: str) -> None:
    others = [
        f"{other} {theirs}"
        for other, theirs in zip(entry["filenames"], entry["labels"], strict=True)
        if theirs not in (None, label)
    ]
    if others:
        what = "the same pixels" if entry["kind"] == "exact" else "the same part"
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        note(name, f"labelled {label}, but {what} elsewhere: {', '.join(others[:_SHOWN])}{more}")
