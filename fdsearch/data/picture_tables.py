"""The CSV files of an unknown folder that name pictures in it, and where their filenames start from.

`inspect` chooses among them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fdsearch.data.guess import Columns, filename_columns
from fdsearch.data.tables import read_table
from fdsearch.errors import Fault

MAX_DEPTH = 3
"""Folder levels in which tables, and folders that filenames start from, are looked for."""

_SAMPLE = 20  # filenames of a table that must exist; the audit checks all


@dataclass(frozen=True)
class PictureTable:
    """A table that names existing pictures.

    Parameters
    ----------
    path, images : Path
        The file, and the folder that its filenames start from.
    filename : str
        The column of filenames.
    columns : mapping of str to sequence of str
        All its cells.
    """

    path: Path
    images: Path
    filename: str
    columns: Columns

    @property
    def others(self) -> Columns:
        """The columns beside the filenames."""
        return {name: cells for name, cells in self.columns.items() if name != self.filename}


def picture_tables(root: Path, faults: list[Fault]) -> list[PictureTable]:
    """Read the CSV files of a folder, those of higher levels first; adds to `faults` why others are no use."""
    folders = _folders(root)
    paths = [
        path for folder in folders for path in folder.iterdir() if path.suffix.lower() == ".csv" and path.is_file()
    ]
    visible = [path for path in paths if not path.name.startswith(".")]
    ordered = sorted(visible, key=lambda path: (len(path.parts), path.name))
    return [table for path in ordered if (table := _read(path, root, folders, faults))]


def _read(path: Path, root: Path, folders: list[Path], faults: list[Fault]) -> PictureTable | None:
    """Read a CSV and find where its filenames start from; None, and a fault, if it names no picture that exists."""
    table = read_table(path, [])
    if table.faults:
        faults += table.faults
        return None
    columns = {name: [row.cells[name] for row in table.rows] for name in table.columns}
    for name in filename_columns(columns):
        for images in dict.fromkeys([path.parent, root, *folders]):
            if all((images / cell).is_file() for cell in columns[name][:_SAMPLE]):
                return PictureTable(path, images, name, columns)
    faults.append(Fault(str(path), "no column that names pictures in this folder", "a column of filenames", "add it"))
    return None


def _folders(root: Path) -> list[Path]:
    """The folder and those below it, without hidden ones."""
    found = []
    for folder, folders, _ in os.walk(root):
        level = len(Path(folder).relative_to(root).parts)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if level < MAX_DEPTH else []
        found.append(Path(folder))
    return found
