"""What a person should know about a data set before believing a score on it: all findings in one table.

Plain values, and no exception for bad data: a finding is a result. What the pictures show (`data.parts`) and what a
model says of them out of fold comes in as arrays from the pipeline, which writes groups, worklist and contact sheets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.data.duplicates import duplicate_groups, joined, leaks, proposals
from fdsearch.data.parts.finding import Parts
from fdsearch.data.parts.glance import Traits
from fdsearch.data.roles import DEVELOPMENT, HOLDOUT
from fdsearch.data.shortcuts import shortcuts
from fdsearch.data.support import Wanted, missing_parts
from fdsearch.data.survey import Survey
from fdsearch.data.suspects import suspects
from fdsearch.data.traits import features
from fdsearch.errors import Fault
from fdsearch.metrics import groups_per_class

AUDIT_VERSION = "1"
"""To be raised with any change that finds something else in the same data."""

SPLIT_COLUMNS = frozenset({"split", "set", "subset", "fold", "partition"})
"""Columns by which others have split the pictures already, in small letters."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of the n rows of a survey beside the table.

    Parameters
    ----------
    parts : Parts
        Of all n rows; one without a picture is a part of its own.
    traits : tuple of Traits or None, length n
    development : ndarray of int64
        The rows whose labels may be looked at.
    given : mapping of str to sequence of str, length n
        Splits that are there already: side of each row by the split's name; ``role`` among them where roles are dealt.
    probabilities : ndarray of float64, shape (n, n_classes), or None
        Calibrated and out of fold; NaN in rows that were not predicted.
    faults : tuple of Fault
        What stands in the way of a run beside the survey's own faults.
    why, suspects_why : str
        Why labels are not checked at all, or not by a model; empty where they are.
    """

    parts: Parts
    traits: tuple[Traits | None, ...]
    development: Ints
    given: Mapping[str, Sequence[str]]
    probabilities: NDArray[np.float64] | None = None
    faults: tuple[Fault, ...] = ()
    why: str = ""
    suspects_why: str = ""


def audit(
    found: Survey,
    evidence: Evidence,
    *,
    wanted: Sequence[Wanted] = (),
    share: float | None = None,
    source: str = "none",
    random_state: int = 0,
) -> dict[str, Any]:
    """Put together what is known about a data set.

    Labels are compared with pictures, with each other and with traits in the development rows only; rows and groups
    are counted in all, as the dealing of roles does. Whatever groups are in use, no part that was found is on both
    sides when traits are held against labels: they would only tell the part.

    Parameters
    ----------
    found : Survey
    evidence : Evidence
    wanted : sequence of Wanted
        Numbers of groups that a class needs.
    share : float or None
        Of a class's groups that the holdout gets, where it is a share.
    source : {"given", "inferred", "none"}
        Where the groups in use come from.
    random_state : int
        Seed of the folds of the shortcut checks.

    Returns
    -------
    dict
        ``n`` rows and ``classes`` {label: rows}, after corrections; ``problems``: list of {where, got, expected, fix};
        ``notes``: list of str; ``unreadable``: filenames; ``groups``: {source, n, min_confidence, proposals};
        ``duplicate_groups``, ``conflicts`` (those whose labels differ), ``leaks`` and ``proposals`` as `duplicates`
        lists them, the labels of sealed pictures None; ``group_counts``: {role: {label: groups}}; ``missing_parts`` as
        `support` does; ``shortcuts`` (alarms) and
        ``shortcut_checks`` (every feature) as `shortcuts` does; ``label_suspects``: list of {filename, label, proposed,
        probability, given, group, mixed_part}; ``shortcuts_why`` and ``label_suspects_why``: why a list is not
        complete; ``parts``: list of {filename, group, confidence, label}, one per row, found by comparing the pictures,
        whatever ``data.group`` says.
    """
    rows = found.manifest.rows
    names = [row.filename for row in rows]
    in_use = [found.groups.names[group] for group in found.groups.ids]
    counts = Counter(row.label for row in rows)
    labels = _open_labels(found, evidence.development)
    whole = joined(found.groups.ids, evidence.parts)
    group_counts = _group_counts(found, evidence, whole if source == "none" else found.groups.ids)
    pixels = [picture.facts.pixels if picture else None for picture in found.pictures]
    duplicates = duplicate_groups(names, labels, pixels, evidence.parts)
    proposed = proposals(names, evidence.parts, in_use)
    checks, shortcuts_why = _shortcuts(found, evidence, whole, random_state)
    suspected, suspects_why = _suspects(found, evidence)
    return {
        "n": len(rows),
        "classes": {name: counts[name] for name in found.classes},
        "problems": [asdict(fault) for fault in (*found.faults, *evidence.faults)],
        "notes": [*found.notes, *(note for note in evidence.parts.notes if note not in found.notes)],
        "unreadable": [name for name, picture in zip(names, found.pictures, strict=True) if picture is None],
        "groups": {
            "source": source,
            "n": len(found.groups.names),
            "min_confidence": float(found.groups.confidence.min()) if found.groups.inferred else None,
            "proposals": sum(not entry["in_use"] for entry in proposed),
        },
        "duplicate_groups": duplicates,
        "conflicts": [entry for entry in duplicates if entry["conflict"]],
        "leaks": leaks(names, evidence.parts, {**_split_columns(found), **evidence.given}),
        "proposals": proposed,
        "group_counts": group_counts,
        "missing_parts": missing_parts(group_counts, wanted, share),
        "shortcuts": [entry for entry in checks if entry["alarm"]],
        "shortcut_checks": checks,
        "shortcuts_why": shortcuts_why,
        "label_suspects": suspected,
        "label_suspects_why": suspects_why,
        "parts": _parts(names, labels, evidence.parts),
    }


def _open_labels(found: Survey, development: Ints) -> list[str | None]:
    """The labels that may be looked at, None for the others."""
    labels: list[str | None] = [None] * len(found.manifest.rows)
    for row in development.tolist():
        labels[row] = found.manifest.rows[row].label
    return labels


def _label_numbers(found: Survey, rows: Ints) -> Ints:
    number = {name: index for index, name in enumerate(found.classes)}
    return np.array([number[found.manifest.rows[row].label] for row in rows.tolist()], np.int64)


def _split_columns(found: Survey) -> dict[str, list[str]]:
    """The sides of every column that is called like a split."""
    columns = [name for name in found.manifest.columns if name.lower() in SPLIT_COLUMNS]
    return {f"column {name}": [row.cells[name] for row in found.manifest.rows] for name in columns}


def _group_counts(found: Survey, evidence: Evidence, groups: Ints) -> dict[str, dict[str, int]]:
    """Groups per role and class; the holdout's only where roles are dealt."""
    roles = evidence.given.get("role", ())
    rows_of = {DEVELOPMENT: evidence.development}
    rows_of[HOLDOUT] = np.array([row for row, role in enumerate(roles) if role == HOLDOUT], np.int64)
    counted = {}
    for role, rows in rows_of.items():
        if len(rows):
            counts = groups_per_class(_label_numbers(found, rows), groups[rows], len(found.classes))
            counted[role] = {name: int(count) for name, count in zip(found.classes, counts, strict=True)}
    return counted


def _shortcuts(found: Survey, evidence: Evidence, groups: Ints, random_state: int) -> tuple[list[dict[str, Any]], str]:
    if evidence.why:
        return [], evidence.why
    rows = [row for row in evidence.development.tolist() if evidence.traits[row] is not None]
    manifest = found.manifest
    known = features(
        [trait for row in rows if (trait := evidence.traits[row]) is not None],
        [manifest.rows[row].filename for row in rows],
        {column: [manifest.rows[row].cells[column] for row in rows] for column in manifest.columns},
    )
    looked_at = np.array(rows, np.int64)
    return shortcuts(known, _label_numbers(found, looked_at), groups[looked_at], found.classes, random_state)


def _suspects(found: Survey, evidence: Evidence) -> tuple[list[dict[str, Any]], str]:
    if evidence.probabilities is None:
        return [], evidence.why or evidence.suspects_why
    rows, groups = evidence.development, found.groups
    listed = suspects(evidence.probabilities[rows], _label_numbers(found, rows), groups.ids[rows])
    named = []
    for entry in listed:
        row = int(rows[entry["row"]])
        named.append(
            {
                "filename": found.manifest.rows[row].filename,
                "label": found.classes[entry["label"]],
                "proposed": found.classes[entry["proposed"]],
                "probability": entry["probability"],
                "given": entry["given"],
                "group": groups.names[groups.ids[row]],
                "mixed_part": entry["mixed_part"],
            }
        )
    return named, evidence.suspects_why


def _parts(names: Sequence[str], labels: Sequence[str | None], parts: Parts) -> list[dict[str, Any]]:
    """Every row with its part, which has the name of its first picture."""
    first: dict[int, str] = {}
    return [
        {"filename": name, "group": first.setdefault(part, name), "confidence": float(sure), "label": label}
        for name, label, part, sure in zip(names, labels, parts.ids.tolist(), parts.confidence, strict=True)
    ]
