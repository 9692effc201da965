"""Where a study says the parts are told: one function per source, from rows of a manifest to names of groups.

`data.groups` numbers them and joins what identical pictures connect. Times are a source, or with ``group: auto`` one of
several clues (`moments`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from fdsearch.config import DataSpec
from fdsearch.data.corrections import names_in_cells, plain_cell
from fdsearch.data.guess import time_column
from fdsearch.data.manifest import Manifest, ManifestRow
from fdsearch.data.tables import read_table
from fdsearch.errors import Fault, did_you_mean

Named = tuple[list[str], list[Fault]]
"""A group's name for every row, empty where the source names none, and the faults that explain the empty ones."""


def declared_groups(data: DataSpec, manifest: Manifest) -> Named:
    """Ask the source that `data.group` names: a column, a CSV, the filename, a folder or the time; or none.

    Returns
    -------
    list of str, list of Fault
        A name for every row, empty where there is none; rows that the corrections give a group have no fault.
    """
    spec = data.group
    if spec.csv is not None and spec.column is not None:
        return _from_csv(spec.csv, spec.column, data.filename, manifest)
    if spec.column is not None:
        return _from_column(spec.column, manifest)
    if spec.filename is not None:
        return _from_filename(spec.filename, manifest)
    if spec.folder is not None:
        return _from_folder(spec.folder, manifest)
    if spec.time is not None and spec.gap is not None:
        return _from_time(spec.time, spec.gap, manifest)
    if spec.time is not None and spec.time not in manifest.columns:  # beside `auto`
        return _no_column(spec.time, manifest)
    return [""] * len(manifest.rows), []


def moments(data: DataSpec, manifest: Manifest) -> NDArray[np.float64] | None:
    """When each row's picture was taken, as a clue for finding parts.

    The column is `data.group.time`, else one whose every cell is a time. A file's own time is never asked: copying
    changes it.

    Returns
    -------
    ndarray of float64, shape (n,), or None
        Seconds since 1970, NaN where a cell holds no time; None without such a column.
    """
    cells = {name: [row.cells[name] for row in manifest.rows] for name in manifest.columns}
    column = data.group.time or time_column(cells)
    if column is None or column not in cells:
        return None
    times = [_moment(cell) for cell in cells[column]]
    return np.array([np.nan if moment is None else moment for moment in times], np.float64)


def _row_by_row(manifest: Manifest, name: Callable[[ManifestRow], str], got: str, expected: str, fix: str) -> Named:
    """Ask each row that the corrections give no group; one fault per row that answers nothing."""
    names = [row.group or name(row) for row in manifest.rows]
    faults = [
        Fault(row.where, f"{got} ({row.filename})", expected, fix)
        for row, found in zip(manifest.rows, names, strict=True)
        if not found
    ]
    return names, faults


def _from_column(column: str, manifest: Manifest) -> Named:
    if column not in manifest.columns:
        return _no_column(column, manifest)
    fix = "write its part, or give it one in `data.corrections`"
    return _row_by_row(manifest, lambda row: row.cells[column], f"nothing in {column}", "the picture's group", fix)


def _from_csv(path: Path, column: str, filename: str, manifest: Manifest) -> Named:
    """A table beside the manifest; its filename column is called as in the manifest, or ``filename``."""
    table = read_table(path, [column])
    key = filename if filename in table.columns else "filename"
    faults = list(table.faults)
    if not faults and key not in table.columns:
        got = f"the columns {', '.join(table.columns)}"
        faults.append(Fault(f"{path}, row 1", got, f"a column {filename} or filename", "rename the column"))
    if faults:
        return [""] * len(manifest.rows), faults
    groups: dict[str, str] = {}
    known = names_in_cells([row.filename for row in manifest.rows])
    for row in table.rows:
        name, group = known.get(row.cells[key], row.cells[key]), plain_cell(row.cells[column])
        if groups.setdefault(name, group) != group:
            got = f"{name} in {group} and in {groups[name]}"
            faults.append(Fault(table.where(row.number), got, "one group per picture", "remove one of the rows"))
    fix = f"add a row with its {column} to {path}"
    names, missing = _row_by_row(
        manifest, lambda row: groups.get(row.filename, ""), "no group", f"a row in {path}", fix
    )
    return names, faults + missing


def _from_filename(pattern: str, manifest: Manifest) -> Named:
    compiled = re.compile(pattern)

    def name(row: ManifestRow) -> str:
        match = compiled.search(row.filename)
        return (match.group(1) or "") if match else ""

    fix = "widen `data.group.filename`"
    return _row_by_row(manifest, name, "a filename that does not match", f"one that matches {pattern}", fix)


def _from_folder(level: int, manifest: Manifest) -> Named:
    """The folder at one level; the same name below different parents is the same group."""

    def name(row: ManifestRow) -> str:
        folders = PurePosixPath(row.filename).parts[:-1]
        return folders[level - 1] if len(folders) >= level else ""

    fix = "correct `data.group.folder`; 1 is the first folder below `data.images`"
    return _row_by_row(manifest, name, "a path that is not deep enough", f"at least {level} folders", fix)


def _from_time(column: str, gap: float, manifest: Manifest) -> Named:
    """A new group begins where nothing was photographed for longer than `gap` seconds."""
    if column not in manifest.columns:
        return _no_column(column, manifest)
    times = [_moment(row.cells[column]) for row in manifest.rows]
    names = [""] * len(manifest.rows)
    current, before = "", 0.0
    for moment, row in sorted((moment, row) for row, moment in enumerate(times) if moment is not None):
        if not current or moment - before > gap:
            current = manifest.rows[row].cells[column]
        names[row], before = current, moment
    fix = "write it as 2026-09-01T12:00:00, or as seconds"
    _, faults = _row_by_row(manifest, lambda row: row.cells[column], f"nothing in {column}", "a time", fix)
    faults += [
        Fault(row.where, f"{row.cells[column]} in {column} ({row.filename})", "a time", fix)
        for row, moment in zip(manifest.rows, times, strict=True)
        if moment is None and row.cells[column] and not row.group
    ]
    return names, faults


def _moment(text: str) -> float | None:
    """Seconds since 1970 of an ISO 8601 time (UTC unless it says otherwise) or a number of seconds."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            seconds = float(text)
        except ValueError:
            return None
        return seconds if math.isfinite(seconds) else None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _no_column(column: str, manifest: Manifest) -> Named:
    got = f"the columns {', '.join(manifest.columns)}" if manifest.columns else "no columns"
    # A manifest without rows has said already why it cannot be read.
    fault = Fault(
        f"{manifest.source}, row 1", got, f"a column {column} (data.group)", did_you_mean(column, manifest.columns)
    )
    return [""] * len(manifest.rows), [fault] if manifest.rows else []
