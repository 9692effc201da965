"""What names, order and time say about a pair, beside its pictures.

Record linkage (Fellegi and Sunter 1969, JASA 64, section 2): each clue is a level of nearness, and what a level is
worth is learnt from the set itself, as the ratio of its frequency among pairs that the pictures prove to that among
candidates that they reject. `finding` asks only about pairs that the pictures leave in doubt: clues neither join nor
part alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from fdsearch.data.parts.candidates import Ints
from fdsearch.data.parts.threshold import Floats

Bools = NDArray[np.bool_]

LEAST_PAIRS = 30
"""Proven pairs, and rejected ones, from which a level's worth is learnt; with fewer the clues stay silent."""

MOST_RATIO = 100.0
"""A clue counts no more than this: a level that was never seen among rejected pairs is not impossible there."""

SHARED = (10, 50)
"""Pictures that share a word of their names: up to 10 as shots of a part would, up to 50 perhaps; more say nothing."""

STEPS = (1, 3, 10, 30)
"""Places apart in a running number or in the table; beyond 30 pairs are not near."""

SECONDS = (2.0, 10.0, 60.0, 600.0)
"""Time between two shots: of one trigger, of one look, of one part in the fixture, of one carrier."""

RUNNING = 0.5
"""Share of different values from which a number in the names counts pictures; `exp1` to `exp6` do not."""

SILENT = -1
"""Level of a pair of which a clue knows nothing."""


@dataclass(frozen=True, eq=False)
class Clues:
    """What is known about pictures beside their pixels, in the order of the table.

    Parameters
    ----------
    filenames : tuple of str, length n
        As the manifest names them. Folders are not read: they often are classes, and labels must not make groups.
    moments : ndarray of float64, shape (n,), or None
        Seconds since any moment, NaN where unknown; None without a column of times.
    """

    filenames: tuple[str, ...]
    moments: Floats | None = None

    def of(self, rows: Ints) -> Clues:
        """The clues of some rows."""
        moments = None if self.moments is None else self.moments[rows]
        return Clues(tuple(self.filenames[row] for row in rows), moments)


def log_ratios(clues: Clues, pairs: Ints, proven: Bools, rejected: Bools, places: Ints | None = None) -> Floats:
    """Logarithm of how much more often one part's pairs are as near as each pair is, by the clue that says most.

    Clues of one series of shots repeat each other; hence the most telling one counts, and not their sum.

    Parameters
    ----------
    clues : Clues
    pairs : ndarray of int64, shape (m, 2)
    proven, rejected : ndarray of bool, shape (m,)
        Pairs of which the pictures alone are sure.
    places : ndarray of int64, shape (n,), optional
        Row of each picture in the table; by default they are all of its rows.

    Returns
    -------
    ndarray of float64, shape (m,)
        0 where the clues are silent or there are too few sure pairs to learn from.
    """
    if min(int(proven.sum()), int(rejected.sum())) < LEAST_PAIRS:
        return np.zeros(len(pairs))
    rows = np.arange(len(clues.filenames)) if places is None else places
    stems = [PurePosixPath(name).stem for name in clues.filenames]
    found = [
        _worth(shared_words(stems, pairs), len(SHARED) + 1, proven, rejected),
        _worth(number_steps(stems, pairs), len(STEPS) + 1, proven, rejected),
        _worth(_levels(np.abs(rows[pairs[:, 0]] - rows[pairs[:, 1]]), STEPS), len(STEPS) + 1, proven, rejected),
    ]
    if clues.moments is not None:
        found.append(_worth(_gaps(clues.moments, pairs), len(SECONDS) + 1, proven, rejected))
    return np.asarray(np.max(found, axis=0))


def shared_words(stems: Sequence[str], pairs: Ints) -> Ints:
    """Level of each pair by the rarest word that both names have at the same place.

    Examples
    --------
    >>> shared_words(["p07_1", "p07_2", "p08_1"], np.array([[0, 1], [1, 2]])).tolist()
    [0, 2]
    """
    words = [frozenset(enumerate(re.split(r"[\W_]+", stem.lower()))) for stem in stems]
    counts = Counter(word for each in words for word in each)
    rarest = [min((counts[word] for word in words[a] & words[b]), default=len(stems) + SHARED[-1]) for a, b in pairs]
    return _levels(np.array(rarest, np.int64), SHARED)


def number_steps(stems: Sequence[str], pairs: Ints) -> Ints:
    """Level of each pair by how many pictures lie between their running numbers; names must differ in numbers only.

    Examples
    --------
    >>> stems = ["a_100", "a_117", "b_118", "a_350"]
    >>> number_steps(stems, np.array([[0, 1], [1, 2], [0, 3]])).tolist()
    [0, 4, 1]
    """
    places = _running_places(stems)
    far = STEPS[-1] + 1
    steps = []
    for a, b in pairs:
        both = places[a].keys() & places[b].keys()
        steps.append(min((abs(places[a][key] - places[b][key]) for key in both), default=far))
    return _levels(np.array(steps, np.int64), STEPS)


def _running_places(stems: Sequence[str]) -> list[dict[tuple[str, int], int]]:
    """Of each name, its rank by each of its running numbers; the key is the name without numbers, and which of them."""
    values: dict[tuple[str, int], dict[int, int]] = {}
    for row, stem in enumerate(stems):
        pattern = re.sub(r"[0-9]+", "#", stem)
        for field, digits in enumerate(re.findall(r"[0-9]+", stem)):
            values.setdefault((pattern, field), {})[row] = int(digits[-18:])
    places: list[dict[tuple[str, int], int]] = [{} for _ in stems]
    for key, numbers in values.items():
        if len(set(numbers.values())) < RUNNING * len(numbers):
            continue
        for place, row in enumerate(sorted(numbers, key=numbers.__getitem__)):
            places[row][key] = place
    return places


def _gaps(moments: Floats, pairs: Ints) -> Ints:
    gaps = np.abs(moments[pairs[:, 0]] - moments[pairs[:, 1]])
    return np.where(np.isfinite(gaps), _levels(np.nan_to_num(gaps), SECONDS), SILENT)


def _levels(distances: NDArray[np.int64] | Floats, bounds: Sequence[float]) -> Ints:
    """0 up to the first bound, 1 up to the second, and so on."""
    return np.searchsorted(np.array(bounds, np.float64), distances.astype(np.float64), side="left").astype(np.int64)


def _worth(levels: Ints, n_levels: int, proven: Bools, rejected: Bools) -> Floats:
    """Log ratio of each pair's level, smoothed by one pair per level."""

    def shares(kind: Bools) -> Floats:
        counts = np.bincount(levels[kind & (levels != SILENT)], minlength=n_levels) + 1.0
        return np.asarray(counts / counts.sum())

    ratios = np.clip(np.log(shares(proven) / shares(rejected)), -np.log(MOST_RATIO), np.log(MOST_RATIO))
    return np.where(levels == SILENT, 0.0, ratios[levels])
