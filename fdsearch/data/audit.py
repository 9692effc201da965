"""What a person should know about a data set before believing a score on it.

Plain values, and no exception for bad data: a finding is a result. `pipeline.audit` writes the groups to a CSV and
prints the rest.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from fdsearch.config import DataSpec
from fdsearch.data.groups import identical
from fdsearch.data.images import PixelStore
from fdsearch.data.survey import Survey, survey
from fdsearch.progress import Progress, Silent

_NOT_SEARCHED = "not searched: this version compares pictures pixel by pixel only"


def audit(data: DataSpec, store: PixelStore, progress: Progress | None = None) -> dict[str, Any]:
    """Count, check and compare the pictures of a manifest.

    Parameters
    ----------
    data : DataSpec
    store : PixelStore
    progress : Progress, optional

    Returns
    -------
    dict
        ``n`` rows and ``classes`` {label: rows}, after corrections; ``problems``: list of {where, got, expected, fix};
        ``notes``: list of str; ``duplicate_groups``: list of {kind, filenames, labels}, the two lists parallel;
        ``groups``: list of {filename, group, confidence}, one per row, found by comparing the pictures whatever
        ``data.group`` says; ``shortcuts`` and ``label_suspects``: empty, with ``shortcuts_why`` and
        ``label_suspects_why``.

    Raises
    ------
    ResourceError, StorageError
        If the store's disk is full, or its folder cannot be written. Never for bad data.
    """
    found = survey(data, store, progress or Silent())
    copies = identical([picture.facts.pixels if picture else None for picture in found.pictures])
    counts = Counter(row.label for row in found.manifest.rows)
    return {
        "n": len(found.manifest.rows),
        "classes": {name: counts[name] for name in found.classes},
        "problems": [asdict(fault) for fault in found.faults],
        "notes": list(found.notes),
        "duplicate_groups": [_duplicates(found, rows) for rows in copies],
        "groups": _groups(found, copies),
        "shortcuts": [],
        "shortcuts_why": _NOT_SEARCHED,
        "label_suspects": [],
        "label_suspects_why": _NOT_SEARCHED,
    }


def _duplicates(found: Survey, rows: list[int]) -> dict[str, Any]:
    members = [found.manifest.rows[row] for row in rows]
    return {
        "kind": "exact",
        "filenames": [member.filename for member in members],
        "labels": [member.label for member in members],
    }


def _groups(found: Survey, copies: list[list[int]]) -> list[dict[str, Any]]:
    """Each picture its own group, copies with the first of them; confidence 1 where pixels prove it, else 0."""
    rows = found.manifest.rows
    groups = [{"filename": row.filename, "group": row.filename, "confidence": 0.0} for row in rows]
    for members in copies:
        for row in members:
            groups[row].update(group=rows[members[0]].filename, confidence=1.0)
    return groups
