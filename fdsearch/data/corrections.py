"""Corrections laid over a manifest: what a person found wrong, kept beside the table instead of in it.

A CSV ``filename,label,exclude,group,by,reason``; all but the filename may be left out. `data.manifest` applies it
before it judges rows, so that a correction can mend a conflict or take out an unreadable picture. `data.worklist`
writes such files for a person to edit, and cells that our own tables mark against formulas are read as what they mean.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from fdsearch.data.tables import read_table
from fdsearch.errors import Fault, did_you_mean
from fdsearch.files import csv_cell

COLUMNS = ("filename", "label", "exclude", "group", "by", "reason")
_YES, _NO = frozenset({"1", "true", "yes", "x"}), frozenset({"", "0", "false", "no"})


@dataclass(frozen=True)
class Correction:
    """What is changed about one picture; an empty `label` or `group` leaves it as it is.

    `by` and `reason` say who decided and why; they change nothing.
    """

    label: str = ""
    exclude: bool = False
    group: str = ""
    by: str = ""
    reason: str = ""


def read_corrections(path: Path, filenames: Collection[str]) -> tuple[Mapping[str, Correction], list[Fault]]:
    """Read a corrections file.

    Parameters
    ----------
    path : Path
    filenames : collection of str
        Those of the manifest; a correction of any other is a fault. In the file a name may stand as `csv_cell` writes
        it.

    Returns
    -------
    dict of str to Correction, list of Fault
        By the manifest's filename.
    """
    table = read_table(path, ["filename"])
    faults = list(table.faults)
    faults += [
        Fault(f"{path}, row 1", f"the column {name}", "a known column", did_you_mean(name, COLUMNS))
        for name in table.columns
        if name not in COLUMNS
    ]
    known = names_in_cells(filenames)
    corrections: dict[str, Correction] = {}
    for row in table.rows:
        cell, exclude = row.cells["filename"], row.cells.get("exclude", "").lower()
        name = known.get(cell)
        if name is None:
            faults.append(Fault(table.where(row.number), cell, "a filename of the manifest", "mend or remove the row"))
        elif name in corrections:
            faults.append(Fault(table.where(row.number), f"{cell} again", "one row per picture", "join the rows"))
        elif exclude not in _YES | _NO:
            faults.append(Fault(table.where(row.number), f"exclude {exclude}", "1, 0 or nothing", "write 1 to exclude"))
        else:
            corrections[name] = _correction(row.cells)
    return corrections, faults


def corrections_in_force(path: Path | None, filenames: Collection[str]) -> dict[str, Correction]:
    """The corrections of a file for a worklist that goes on from them.

    Parameters
    ----------
    path : Path or None
        None, or a file that cannot be read: there are none.
    filenames : collection of str
        Of the rows in use. Corrections of other pictures, which they may have taken out, are among the answer too.

    Returns
    -------
    dict of str to Correction
    """
    if path is None:
        return {}
    known = names_in_cells(filenames)
    rows = [row.cells for row in read_table(path, ["filename"]).rows]
    return {known.get(cells["filename"], plain_cell(cells["filename"])): _correction(cells) for cells in rows}


def names_in_cells(filenames: Collection[str]) -> dict[str, str]:
    """What a cell of a table may hold, to the filename it means: the name itself, or as `csv_cell` writes it.

    Examples
    --------
    >>> names_in_cells(["=a.png", "b.png"])
    {'=a.png': '=a.png', 'b.png': 'b.png', "'=a.png": '=a.png'}
    """
    names = {name.strip(): name for name in filenames}
    for name in filenames:
        names.setdefault(csv_cell(name).strip(), name)
    return names


def plain_cell(cell: str) -> str:
    """Undo `csv_cell`.

    Examples
    --------
    >>> plain_cell("'=a.png"), plain_cell("'t was dark.png"), plain_cell("tile 7")
    ('=a.png', "'t was dark.png", 'tile 7')
    """
    return cell[1:] if cell[:1] == "'" and csv_cell(cell[1:]) == cell else cell


def _correction(cells: Mapping[str, str]) -> Correction:
    label, group, by, reason = (plain_cell(cells.get(name, "")) for name in ("label", "group", "by", "reason"))
    return Correction(label, cells.get("exclude", "").lower() in _YES, group, by, reason)
