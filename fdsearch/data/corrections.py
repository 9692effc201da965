"""Corrections laid over a manifest: what a person found wrong, kept beside the table instead of in it.

A CSV ``filename,label,exclude,group,by,reason``; all but the filename may be left out. `data.manifest` applies it
before it judges rows, so that a correction can mend a conflict or take out an unreadable picture.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from fdsearch.data.tables import read_table
from fdsearch.errors import Fault, did_you_mean

COLUMNS = ("filename", "label", "exclude", "group", "by", "reason")
_YES, _NO = frozenset({"1", "true", "yes", "x"}), frozenset({"", "0", "false", "no"})


@dataclass(frozen=True)
class Correction:
    """What is changed about one picture; an empty `label` or `group` leaves it as it is."""

    label: str
    exclude: bool
    group: str


def read_corrections(path: Path, filenames: Collection[str]) -> tuple[Mapping[str, Correction], list[Fault]]:
    """Read a corrections file.

    Parameters
    ----------
    path : Path
    filenames : collection of str
        Those of the manifest; a correction of any other is a fault.

    Returns
    -------
    dict of str to Correction, list of Fault
    """
    table = read_table(path, ["filename"])
    faults = list(table.faults)
    faults += [
        Fault(f"{path}, row 1", f"the column {name}", "a known column", did_you_mean(name, COLUMNS))
        for name in table.columns
        if name not in COLUMNS
    ]
    known = frozenset(filenames)
    corrections: dict[str, Correction] = {}
    for row in table.rows:
        name, exclude = row.cells["filename"], row.cells.get("exclude", "").lower()
        if name not in known:
            faults.append(Fault(table.where(row.number), name, "a filename of the manifest", "mend or remove the row"))
        elif name in corrections:
            faults.append(Fault(table.where(row.number), f"{name} again", "one row per picture", "join the rows"))
        elif exclude not in _YES | _NO:
            faults.append(Fault(table.where(row.number), f"exclude {exclude}", "1, 0 or nothing", "write 1 to exclude"))
        else:
            cells = row.cells
            corrections[name] = Correction(cells.get("label", ""), exclude in _YES, cells.get("group", ""))
    return corrections, faults
