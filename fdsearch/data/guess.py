"""What the columns of an unknown table may mean: filenames, labels, parts, anything else; for a person to check.

Pure functions of cells; `picture_tables` reads the cells, `inspect` asks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath

from fdsearch.imaging import SUFFIXES

Columns = Mapping[str, Sequence[str]]
"""The cells of a table by column."""

MAX_CLASSES = 50

_LABEL_WORDS = ("label", "class", "target", "defect", "category", "failure", "fault", "result", "y")
_GROUP_WORDS = (
    "group",
    "part",
    "piece",
    "unit",
    "serial",
    "device",
    "sample",
    "item",
    "product",
    "tile",
    "wafer",
    "lot",
)
_PASS_WORDS = ("good", "ok", "okay", "pass", "passed", "normal", "free", "io", "gut", "bon", "conforming", "healthy")


def filename_columns(columns: Columns) -> list[str]:
    """Columns whose cells are names of pictures, the first in the table first.

    Examples
    --------
    >>> filename_columns({"id": ["1", "2"], "image": ["a/1.png", "a/2.JPG"]})
    ['image']
    """
    return [
        name
        for name, cells in columns.items()
        if cells and all(PurePosixPath(cell).suffix.lower() in SUFFIXES for cell in cells)
    ]


def label_column(columns: Columns) -> str | None:
    """The column that is called like a label, else the one with fewest values; each value must come back.

    Examples
    --------
    >>> label_column({"lib": ["A", "A", "A", "B"], "Label": ["x", "y", "y", "x"]})
    'Label'
    """
    possible = [name for name, cells in columns.items() if "" not in cells and 2 <= len(set(cells)) <= MAX_CLASSES]
    # A column whose values hardly repeat is a number or a date of the picture, unless its name says otherwise.
    repeating = [name for name in possible if 2 * len(set(columns[name])) <= len(columns[name])]
    return _named(possible, _LABEL_WORDS) or min(repeating, key=lambda name: len(set(columns[name])), default=None)


def group_column(columns: Columns, n_classes: int) -> str | None:
    """The column that is called like a part and has more values than classes, some of them more than once.

    Examples
    --------
    >>> group_column({"lib": ["A", "A", "B", "B", "B"], "part": ["p1", "p1", "p2", "p3", "p4"]}, n_classes=2)
    'part'
    """
    possible = [name for name, cells in columns.items() if "" not in cells and n_classes < len(set(cells)) < len(cells)]
    return _named(possible, _GROUP_WORDS)


def metadata_columns(columns: Columns) -> list[str]:
    """Columns with few values, each of several pictures: a product, a camera, a shift.

    Examples
    --------
    >>> metadata_columns({"lib": ["A", "B"] * 4, "number": list("12345678"), "always": ["x"] * 8})
    ['lib']
    """
    return [name for name, cells in columns.items() if 2 <= len(set(cells)) <= min(20, len(cells) // 2)]


def time_column(columns: Columns) -> str | None:
    """The first column whose cells are all a day with a time of day, as ISO 8601 writes them.

    A day alone says nothing of the order in which parts were photographed.

    Examples
    --------
    >>> time_column({"number": ["20260901"], "day": ["2026-09-01"], "shot": ["2026-09-01T12:00:00"]})
    'shot'
    """
    return next((name for name, cells in columns.items() if cells and all(map(_is_moment, cells))), None)


def pass_classes(classes: Sequence[str]) -> list[str]:
    """Classes that are called as good parts are.

    Examples
    --------
    >>> pass_classes(["0_GOOD", "1_Flat loop", "not ok", "Scratch-free"])
    ['0_GOOD']
    """
    found = []
    for name in classes:
        words = [word for word in re.split(r"[^a-z]+", name.lower()) if word]
        if len(words) == 1 and words[0] in _PASS_WORDS:
            found.append(name)
    return found


def _is_moment(cell: str) -> bool:
    try:
        datetime.fromisoformat(cell)
    except ValueError:
        return False
    return ":" in cell


def _named(columns: Sequence[str], words: Sequence[str]) -> str | None:
    """The column with the earliest of the words in its name: alone, else among others."""
    for word in words:
        for name in columns:
            if name.lower() == word:
                return name
    for word in words:
        for name in columns:
            if word in re.split(r"[^a-z]+", name.lower()):
                return name
    return None
