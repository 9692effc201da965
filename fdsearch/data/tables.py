"""CSV files as people and spreadsheets write them: to rows of text, with every fault and its row.

Shared by the manifest, the corrections and the table of groups. The standard library's reader rather than pandas:
labels such as ``NA`` or ``01`` must stay what they are, and a fault must name its row.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fdsearch.errors import Fault, did_you_mean

SEPARATORS = (",", ";")


@dataclass(frozen=True)
class TableRow:
    """One row.

    Parameters
    ----------
    number : int
        As a spreadsheet counts: the header is row 1.
    cells : mapping of str to str
        By column, without surrounding blanks.
    """

    number: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Table:
    """What could be read, and what could not.

    Parameters
    ----------
    path : Path
    columns : tuple of str
        Named columns, in order; an unnamed index column is left out.
    rows : tuple of TableRow
    faults : list of Fault
        If any concerns the table as a whole, `rows` is empty.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    faults: list[Fault] = field(default_factory=list)

    def where(self, number: int) -> str:
        """The place of a row, for a fault."""
        return f"{self.path}, row {number}"


def read_table(path: Path, required: Sequence[str]) -> Table:
    """Read a CSV of UTF-8 text with a header, separated by commas or semicolons.

    A byte order mark, CRLF, blank rows and an unnamed index column are accepted.

    Parameters
    ----------
    path : Path
    required : sequence of str
        Columns that must be there.

    Returns
    -------
    Table
        Faults are listed in it: unreadable or empty file, other encodings, missing or repeated columns, rows that are
        too long or too short.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        return _refused(path, Fault(str(path), error.strerror or str(error), "a readable CSV", "check the path"))
    except UnicodeDecodeError as error:
        return _refused(path, _encoding_fault(path, error))
    separator = _separator(text, required)
    lines: list[tuple[int, list[str]]] = []
    try:
        for number, cells in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True), 1):
            if any(cell.strip() for cell in cells):
                lines.append((number, [cell.strip() for cell in cells]))
    except csv.Error as error:
        fix = "close the quotation mark, or double one that belongs to the text"
        return _refused(path, Fault(f"{path}, row {len(lines) + 1} or below", str(error), "a well-formed CSV", fix))
    if not lines:
        return _refused(path, Fault(str(path), "an empty file", "a header and rows", "export the table again"))
    return _table(path, lines[0][1], lines[1:], required)


def _table(path: Path, header: list[str], lines: list[tuple[int, list[str]]], required: Sequence[str]) -> Table:
    columns = tuple(name for name in header if name)
    faults = [
        Fault(f"{path}, row 1", f"the columns {', '.join(columns)}", f"a column {name}", did_you_mean(name, columns))
        for name in required
        if name not in columns
    ]
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    faults += [Fault(f"{path}, row 1", f"the column {name} twice", "it once", "rename one") for name in repeated]
    if not lines:
        faults.append(Fault(str(path), "a header without rows", "one row per picture", "export the table again"))
    if faults:
        return Table(path, columns, (), faults)
    rows = []
    for number, cells in lines:
        if len(cells) == len(header):
            rows.append(TableRow(number, {name: cell for name, cell in zip(header, cells, strict=True) if name}))
        else:
            fix = "quote cells that hold the separator, and fill up short rows"
            faults.append(Fault(f"{path}, row {number}", f"{len(cells)} cells", f"{len(header)}", fix))
    return Table(path, columns, tuple(rows), faults)


def _separator(text: str, required: Sequence[str]) -> str:
    """The separator whose header has most of the required columns, then most columns."""
    header = text.lstrip().partition("\n")[0]

    def columns(separator: str) -> tuple[int, int]:
        names = [name.strip().strip('"') for name in header.split(separator)]
        return len(set(required) & set(names)), len(names)

    return max(SEPARATORS, key=columns)


def _encoding_fault(path: Path, error: UnicodeDecodeError) -> Fault:
    content: bytes = error.object
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        got = "UTF-16 text"
    else:
        row = content.count(b"\n", 0, error.start) + 1
        got = f"the byte {content[error.start]:#04x} in row {row}, as Latin-1 or Windows-1252 text has it"
    return Fault(str(path), got, "UTF-8", "save it as 'CSV UTF-8', or convert it: iconv -f WINDOWS-1252 -t UTF-8")


def _refused(path: Path, fault: Fault) -> Table:
    return Table(path, (), (), [fault])
