"""Parts, not pictures, are what two samples are made of: pictures of one part are not independent.

`drift` compares units; `permutation` shuffles them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]

MOST_PICTURES = 4
"""Of one unit: more of the same part would add little but distances to compute."""


def numbered(groups: ArrayLike) -> Ints:
    """Number parts 0, 1, ... in the order of their names."""
    return np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)


def alike(samples: Sequence[ArrayLike], most: int, generator: np.random.Generator) -> list[list[Ints]]:
    """Draw units from several samples so that a unit is the same thing in each of them.

    A part that is shown by five pictures has a steadier mean than one that is shown by one. So that nothing but the
    pictures can differ, parts of every sample are thinned to as many pictures as the median part has in the sample
    where it has fewest, and to `MOST_PICTURES`.

    Parameters
    ----------
    samples : sequence of array-like, shape (n_i,)
        The part of each picture.
    most : int
        Units of all the samples together, at most; of larger ones some are drawn, the largest sample giving first.
    generator : numpy.random.Generator

    Returns
    -------
    list of list of ndarray of int64
        For each sample its units: the rows of their pictures.

    Examples
    --------
    >>> first, second = alike([[7, 7, 8, 8], [1, 2, 3]], 100, np.random.default_rng(0))
    >>> [len(unit) for unit in first], [unit.tolist() for unit in second]
    ([1, 1], [[0], [1], [2]])
    """
    parts = [_rows_of_parts(numbered(groups)) for groups in samples]
    pictures = min((int(np.median([len(rows) for rows in each])) for each in parts if each), default=1)
    pictures = min(pictures, MOST_PICTURES)
    rooms = _rooms([len(each) for each in parts], most)
    drawn = []
    for each, room in zip(parts, rooms, strict=True):
        chosen = np.sort(generator.permutation(len(each))[:room])
        drawn.append([np.sort(generator.permutation(each[part])[:pictures]) for part in chosen])
    return drawn


def _rows_of_parts(groups: Ints) -> list[Ints]:
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1) if len(groups) else []


def _rooms(sizes: Sequence[int], most: int) -> list[int]:
    """How many units of each sample there is room for: small samples are taken whole."""
    rooms, left = [0] * len(sizes), most
    for place, index in enumerate(np.argsort(sizes, kind="stable").tolist()):
        rooms[index] = min(sizes[index], left // (len(sizes) - place))
        left -= rooms[index]
    return rooms


def means(values: NDArray[np.floating], units: Sequence[Ints]) -> NDArray[np.float64]:
    """The mean of each unit's rows, shape (n_units, ...)."""
    return np.array([values[rows].mean(axis=0, dtype=np.float64) for rows in units])
