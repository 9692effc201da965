"""From small copies of pictures to scored pairs: flatten, search, register, and compare with look-alikes.

`finding` draws conclusions. Labels, names and order are unknown here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fdsearch.data.in_order import in_order
from fdsearch.data.parts.agreement import Windows, agreements, one_blas_thread
from fdsearch.data.parts.candidates import Ints
from fdsearch.data.parts.flatten import Floats32
from fdsearch.data.parts.neighbours import neighbours
from fdsearch.data.parts.threshold import Floats
from fdsearch.data.parts.views import View, Views, view_of
from fdsearch.data.parts.windows import NOT_COMPARED, beyond, n_windows
from fdsearch.imaging import Gray
from fdsearch.progress import Progress

LEAST_ASKED = 8
"""Neighbours of which half are taken for look-alikes; where a small set has fewer, the missing ones agree nowhere."""

OWN = 0.75
"""Score of the first round from which a neighbour is taken for a shot of the same part, and no longer for a look-alike.
Of generated look-alikes 3 in 1,000 reached it, and 98 % of the shots of one part; nothing is joined for it."""

LEAST_ALIKE = 3
"""Look-alikes of which a mean is trusted; where there are fewer, it is lowered."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """What comparing a set's pictures has shown.

    Parameters
    ----------
    views : Views
        Of n pictures.
    usual : sequence of ndarray of float32, length n
        Each picture's mean correlation with its look-alikes, by window.
    pairs : ndarray of int64, shape (m, 2)
        Candidates, each once and ascending.
    scores : ndarray of float64, shape (m,)
        As `windows.beyond` gives them, the mean over both pictures; -inf where they could not be compared.
    """

    views: Views
    usual: Sequence[Floats32]
    pairs: Ints
    scores: Floats

    @property
    def ordinary(self) -> Floats:
        """Scores of the pairs that are the best of neither picture: few of them are one part."""
        best = np.full(len(self.views), NOT_COMPARED)
        for side in (0, 1):
            np.maximum.at(best, self.pairs[:, side], self.scores)
        second = (self.scores < best[self.pairs].T).all(axis=0) | (self.scores == NOT_COMPARED)
        ordinary: Floats = self.scores[second]
        return ordinary

    def more(self, pairs: Ints, progress: Progress) -> Floats:
        """Score pairs that were no candidates, shape (k,)."""
        return _scores(pairs, agreements(self.views, pairs, "checking groups", progress), self.usual)


def compare(pictures: Sequence[Gray], progress: Progress) -> Comparison:
    """Score the pairs of pictures that could show one part.

    Parameters
    ----------
    pictures : sequence of ndarray of uint8, shape (h, w)
        Small copies as `glance` makes them, no two alike.
    progress : Progress
    """
    with one_blas_thread():
        views = Views.of(list(in_order(view_of, pictures, "finding details", progress)))
        pairs = neighbours([view.flat for view in views], [view.keypoints for view in views])
    found = agreements(views, pairs, "comparing pictures", progress)
    usual = _usual(views, pairs, found)
    return Comparison(views, usual, pairs, _scores(pairs, found, usual))


def _usual(views: Sequence[View], pairs: Ints, found: Sequence[Windows | None]) -> list[Floats32]:
    """Mean agreement of each picture with its look-alikes, by window.

    Which neighbours are look-alikes, and not shots of its own part? In a first round the less similar half of all that
    were asked; in the second all but those that agree far beyond that half.
    """
    asked = np.bincount(pairs.ravel(), minlength=len(views)) if len(pairs) else np.zeros(len(views), np.int64)
    first = [
        _mean_of_lower_half(own, max(int(n), LEAST_ASKED), n_windows(view.flat))
        for own, n, view in zip(_by_picture(len(views), pairs, found), asked, views, strict=True)
    ]
    own = _scores(pairs, found, first) >= OWN
    others = [None if is_own else windows for is_own, windows in zip(own, found, strict=True)]
    return [
        _mean(agreements, max(len(agreements), LEAST_ALIKE), n_windows(view.flat))
        for agreements, view in zip(_by_picture(len(views), pairs, others), views, strict=True)
    ]


def _by_picture(n: int, pairs: Ints, found: Sequence[Windows | None]) -> list[list[NDArray[np.float16]]]:
    """Agreements of each picture with its neighbours, in its own windows."""
    seen: list[list[NDArray[np.float16]]] = [[] for _ in range(n)]
    for pair, windows in zip(pairs.tolist(), found, strict=True):
        if windows is not None:
            for row, side in zip(pair, windows, strict=True):
                seen[row].append(side)
    return seen


def _mean_of_lower_half(seen: Sequence[NDArray[np.float16]], asked: int, length: int) -> Floats32:
    """Mean over the less similar half of all that were asked; those that could not be compared agree nowhere."""
    half = asked // 2
    levels = [float(windows[~np.isnan(windows)].mean(dtype=np.float32)) for windows in seen]
    n_lower = max(half - (asked - len(seen)), 0)
    return _mean([seen[place] for place in np.argsort(levels, kind="stable")[:n_lower]], half, length)


def _mean(seen: Sequence[NDArray[np.float16]], count: int, length: int) -> Floats32:
    """Mean by window, as if there were `count` pictures of which the missing ones agree nowhere; never negative."""
    if not len(seen):
        return np.zeros(length, np.float32)
    values = np.array(seen, np.float32)
    unknown = np.isnan(values)
    total, known = np.where(unknown, 0, values).sum(axis=0), count - unknown.sum(axis=0)
    mean: Floats32 = np.maximum(total / np.maximum(known, 1), 0)
    return mean.astype(np.float32)


def _scores(pairs: Ints, found: Sequence[Windows | None], usual: Sequence[Floats32]) -> Floats:
    def score(pair: Sequence[int], windows: Windows | None) -> float:
        if windows is None:
            return NOT_COMPARED
        both = [beyond(side.astype(np.float32), usual[row]) for row, side in zip(pair, windows, strict=True)]
        return float(np.mean(both))

    return np.array([score(pair, windows) for pair, windows in zip(pairs.tolist(), found, strict=True)], np.float64)
