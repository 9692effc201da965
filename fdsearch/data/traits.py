"""What a picture and its row are apart from content, as plain numbers that should not know the label.

`data.parts.glance` measures the pictures; `data.shortcuts` asks whether these numbers tell the label.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from fdsearch.data.parts.glance import Traits

MAX_CATEGORIES = 50
"""A column of text with more values than this names pictures or parts, not circumstances."""

BLOCKS = ("format", "size", "brightness", "border", "order")
"""Names that a column of the manifest cannot have as a feature."""

_FORMAT_SEEN = "a network does not see it, only what saving in it did to the pixels"
_BRIGHTNESS = ("mean gray", "deviation of gray", "5 % quantile of gray", "median gray", "95 % quantile of gray")
_EDGES = ("first row", "last row", "first column", "last column")
_BORDER = (
    *(
        f"{what} of the {edge}"
        for edge in _EDGES
        for what in ("mean gray", "deviation of gray", "darkest gray", "brightest gray")
    ),
    *(f"gray of the {corner} corner" for corner in ("top left", "top right", "bottom left", "bottom right")),
)


@dataclass(frozen=True, eq=False)
class Feature:
    """Some numbers of every picture that belong together.

    Parameters
    ----------
    name : str
        ``format``, ``size``, ``brightness``, ``border``, ``order``, or a column of the manifest.
    columns : tuple of str
        What each number is, in words.
    values : ndarray of float64, shape (n, len(columns))
        Finite; no column is constant.
    share : bool
        Whether the numbers are 1 or 0, for a picture that is of a kind or is not.
    visible : bool
        Whether a network that is given the picture can see it.
    sees : str
        What a network has of it, in words.
    """

    name: str
    columns: tuple[str, ...]
    values: NDArray[np.float64]
    share: bool
    visible: bool
    sees: str


def features(
    traits: Sequence[Traits], filenames: Sequence[str], metadata: Mapping[str, Sequence[str]]
) -> list[Feature]:
    """Collect the features of some pictures; those that are the same for all of them are left out.

    Parameters
    ----------
    traits : sequence of Traits, length n
    filenames : sequence of str, length n
        In the order of the table.
    metadata : mapping of str to sequence of str, length n
        The table's columns beside filename and label.

    Returns
    -------
    list of Feature
    """
    found = [
        _of_kinds("format", [trait.format for trait in traits], False, _FORMAT_SEEN),
        _numbers(
            "size",
            ("height", "width", "width / height"),
            np.array([(t.height, t.width, t.width / t.height) for t in traits], np.float64),
            True,
            "a network sees it, after resizing, as scale and shape",
        ),
        _numbers(
            "brightness", _BRIGHTNESS, np.array([t.brightness for t in traits], np.float64), True, "a network sees it"
        ),
        _numbers("border", _BORDER, np.array([t.border for t in traits], np.float64), True, "a network sees it"),
        _order(filenames),
        *(_column(name, cells) for name, cells in metadata.items()),
    ]
    return [feature for feature in found if feature is not None]


def _numbers(
    name: str, columns: Sequence[str], values: NDArray[np.float64], visible: bool, sees: str, *, share: bool = False
) -> Feature | None:
    """A feature of the columns that vary, or None."""
    if not values.size:
        return None
    varies = np.flatnonzero(np.ptp(values, axis=0) > 0).tolist()
    if not varies:
        return None
    return Feature(name, tuple(columns[column] for column in varies), values[:, varies], share, visible, sees)


def _of_kinds(name: str, cells: Sequence[str], visible: bool, sees: str) -> Feature | None:
    kinds = sorted(set(cells))
    values = np.array([[cell == kind for kind in kinds] for cell in cells], np.float64)
    return _numbers(name, [f"{name} {kind or 'empty'}" for kind in kinds], values, visible, sees, share=True)


def _order(filenames: Sequence[str]) -> Feature | None:
    """The number in the names that differs most from picture to picture, else the place in the table."""
    numbers = _numbers_in_names(filenames)
    sees = "a network does not see it, but what changed meanwhile (light, focus, day) it does"
    if numbers is not None:
        return _numbers("order", ["number in the file name"], np.array(numbers)[:, None], False, sees)
    return _numbers("order", ["row of the table"], np.arange(len(filenames), dtype=np.float64)[:, None], False, sees)


def _numbers_in_names(filenames: Sequence[str]) -> list[float] | None:
    """The run of digits, counted from the end of the names, that has most values; None where a name has no digit.

    Examples
    --------
    >>> _numbers_in_names(["exp1_num_108719.jpg", "exp2_num_7.jpg", "exp1_num_8.jpg"])
    [108719.0, 7.0, 8.0]
    >>> _numbers_in_names(["a1.png", "b.png"])
    """
    runs = [re.findall(r"[0-9]+", PurePosixPath(name).stem) for name in filenames]
    places = [[float(run[-1 - place][-15:]) for run in runs] for place in range(min(map(len, runs), default=0))]
    best = max(places, key=lambda numbers: len(set(numbers)), default=[])
    return best if len(set(best)) > 1 else None


def _column(column: str, cells: Sequence[str]) -> Feature | None:
    """A column as numbers, as times, or as kinds; None where it names single pictures or parts, or nothing."""
    name = f"column {column}" if column in BLOCKS else column
    sees = "a network does not see it, but what goes with it (a camera, a product) it may"
    for read in (_number, _moment):
        numbers = [read(cell) for cell in cells]
        if all(number is not None for number in numbers):
            return _numbers(name, [column], np.array(numbers, np.float64)[:, None], False, sees)
    if len(set(cells)) > min(MAX_CATEGORIES, len(cells) // 2):
        return None
    return _of_kinds(name, cells, False, sees)


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _moment(cell: str) -> float | None:
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
