"""Which pictures show the same part: from a declared source, or as `data.parts` tells them, and from copies.

A group never crosses a split, so a group too large costs statistics and a group too small costs the truth of every
score: in doubt these rules join. `data.survey` calls them with the manifest and what examining the pictures has shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fdsearch.config import DataSpec
from fdsearch.data.group_sources import declared_groups
from fdsearch.data.manifest import Manifest
from fdsearch.data.parts.finding import Parts
from fdsearch.errors import Fault

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Groups:
    """A group for every row of a manifest.

    Parameters
    ----------
    ids : ndarray of int64, shape (n,)
        Index into `names`, numbered by first appearance: renaming groups does not change them.
    names : tuple of str
        A picture without a declared group is its own group, named like the file; joined groups have the first's name.
    faults : list of Fault
        Rows for which the source names no group.
    notes : tuple of str
    confidence : ndarray of float64, shape (n,)
        Of each row's group, 0 to 1: 1 from a declared source and from the corrections, else as `data.parts` gives it.
    inferred : bool
        Whether groups were told from the pictures.
    """

    ids: Ints
    names: tuple[str, ...]
    faults: list[Fault] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    confidence: NDArray[np.float64] = field(default_factory=lambda: np.ones(0))
    inferred: bool = False


def assign_groups(
    data: DataSpec, manifest: Manifest, pixels: Sequence[str | None], parts: Parts | None = None
) -> Groups:
    """Give every row its group.

    Parameters
    ----------
    data : DataSpec
        `data.group` is the source; a group in the corrections goes before it.
    manifest : Manifest
    pixels : sequence of str or None, length n
        Digest of each row's decoded pixels; None where there is no readable picture. Rows with the same pixels join
        their groups, whatever the source says: a copy on the other side of a split is a leak.
    parts : Parts, optional
        The source with ``group: auto``, by row; otherwise not asked.

    Returns
    -------
    Groups
    """
    declared, faults = declared_groups(data, manifest)
    proposed = _proposed(manifest, parts) if data.group.auto and parts is not None else None
    own = proposed or [row.filename for row in manifest.rows]
    names = [row.group or name or alone for row, name, alone in zip(manifest.rows, declared, own, strict=True)]
    leaders = _join(names, pixels)
    joined = [leaders[name] for name in names]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(joined))}
    ids = np.array([numbers[name] for name in joined], np.int64)
    notes = _notes(data, leaders, declared=any(declared), inferred=proposed is not None)
    confidence = np.ones(len(names))
    if proposed is not None and parts is not None:
        uncorrected = np.array([not row.group for row in manifest.rows], bool)
        confidence = np.where(uncorrected, parts.confidence, 1.0)
        notes = (_inferred_note(ids, confidence), *parts.notes, *notes)
    return Groups(ids, tuple(numbers), faults, notes, confidence, proposed is not None)


def identical(pixels: Sequence[str | None]) -> list[list[int]]:
    """Rows that share their pixels, each set of two or more once.

    Examples
    --------
    >>> identical(["a", "b", "a", None, None])
    [[0, 2]]
    """
    rows: dict[str, list[int]] = {}
    for row, digest in enumerate(pixels):
        if digest is not None:
            rows.setdefault(digest, []).append(row)
    return [members for members in rows.values() if len(members) > 1]


def _proposed(manifest: Manifest, parts: Parts) -> list[str]:
    """Each row's part, named like its first file that the corrections put nowhere else."""
    names: dict[int, str] = {}
    for row, part in zip(manifest.rows, parts.ids.tolist(), strict=True):
        if not row.group:
            names.setdefault(part, row.filename)
    return [names.get(part, row.filename) for row, part in zip(manifest.rows, parts.ids.tolist(), strict=True)]


def _inferred_note(ids: Ints, confidence: NDArray[np.float64]) -> str:
    sizes = np.bincount(ids) if len(ids) else np.zeros(0, np.int64)
    least = float(confidence.min()) if len(ids) else 1.0
    return (
        f"groups were inferred from pictures, names, order and time: {len(ids)} pictures in {len(sizes)} groups, "
        f"{int((sizes > 1).sum())} of them with several pictures; least confidence {least:.2f}"
    )


def _join(names: Sequence[str], pixels: Sequence[str | None]) -> dict[str, str]:
    """Each group's leader: the first group it is connected with by identical pictures."""
    order = {name: number for number, name in enumerate(dict.fromkeys(names))}
    leader = {name: name for name in order}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for members in identical(pixels):
        leaders = sorted({find(names[row]) for row in members}, key=order.__getitem__)
        for name in leaders:
            leader[name] = leaders[0]
    return {name: find(name) for name in order}


def _notes(data: DataSpec, leaders: dict[str, str], *, declared: bool, inferred: bool) -> tuple[str, ...]:
    notes = (
        ["groups are inferred when the problems are mended: until then only copies of a picture are joined"]
        if data.group.auto and not inferred
        else []
    )
    joined: dict[str, list[str]] = {}
    for name, leader in leaders.items():
        if name != leader:
            joined.setdefault(leader, [leader]).append(name)
    if joined:
        shown = "; ".join(" + ".join(members) for members in list(joined.values())[:5])
        what = "groups" if declared else "pictures"
        more = f" and {len(joined) - 5} more" if len(joined) > 5 else ""
        notes.append(f"{what} joined because they hold the same pixels: {shown}{more}")
    return tuple(notes)
