"""Which pairs are worth registering: the nearest neighbours of each picture, by exact search in blocks.

10,000 pictures have 50 million pairs, of which registration can look at some 100,000. `neighbours` asks here with
whitened thumbnails and `vlad` vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fdsearch.data.in_order import n_processors
from fdsearch.data.parts.flatten import Floats32

Ints = NDArray[np.int64]

BLOCK = 512
"""Queries at a time: a block's similarities with 10,000 pictures take 20 MB for each thread, twice."""

LEAST_SHARE = 1e-3
"""Directions with less than this share of the largest deviation are left out: whitening would turn rounding into
content."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """A linear map after which every direction of a set has the same variance.

    Parameters
    ----------
    mean : ndarray of float32, shape (d,)
    directions : ndarray of float32, shape (d, k)
    """

    mean: Floats32
    directions: Floats32

    def __call__(self, rows: Floats32) -> Floats32:
        """Whitened rows as unit vectors, shape (n, k)."""
        moved = (rows - self.mean) @ self.directions
        unit: Floats32 = moved / (np.linalg.norm(moved, axis=1, keepdims=True) + np.float32(1e-6))
        return unit


def whitening(rows: Floats32, n_directions: int) -> Whitening:
    """Learn the whitening of a set from its principal components, at most `n_directions` of them.

    Common content (the layout, the light) lies in the first directions; whitened, it counts no more than the rest.
    """
    mean = rows.mean(axis=0)
    _, deviations, directions = np.linalg.svd(rows - mean, full_matrices=False)
    kept = deviations > max(LEAST_SHARE * deviations[0], np.finfo(np.float32).tiny)
    kept[n_directions:] = False
    scaled = directions[kept].T / deviations[kept]
    # All to the same length 1 afterwards, hence no factor for the number of rows.
    return Whitening(mean, scaled.astype(np.float32))


def nearest(queries: Sequence[Floats32], targets: Floats32, k: int, own: Ints | None = None) -> Ints:
    """The most similar targets of each query, the most similar first.

    Parameters
    ----------
    queries : sequence of ndarray of float32, each of shape (m, d)
        Versions of the same m pictures, as unit vectors; the best version counts.
    targets : ndarray of float32, shape (n, d)
    k : int
    own : ndarray of int64, shape (m,), optional
        Target that is the query itself, and is left out.

    Returns
    -------
    ndarray of int64, shape (m, at most k)
    """
    n, k = len(queries[0]), max(0, min(k, len(targets) - (own is not None)))
    if not n or not k:
        return np.zeros((n, k), np.int64)

    def in_block(start: int) -> Ints:
        block = slice(start, start + BLOCK)
        similar = queries[0][block] @ targets.T
        for version in queries[1:]:
            np.maximum(similar, version[block] @ targets.T, out=similar)
        if own is not None:
            similar[np.arange(len(similar)), own[block]] = -np.inf
        best = np.argpartition(similar, -k, axis=1)[:, -k:]
        order = np.argsort(-np.take_along_axis(similar, best, axis=1), axis=1, kind="stable")
        return np.take_along_axis(best, order, axis=1).astype(np.int64)

    # A thread for each block, since BLAS is kept to one (`comparison`).
    with ThreadPoolExecutor(n_processors(), thread_name_prefix="search") as pool:
        return np.concatenate(list(pool.map(in_block, range(0, n, BLOCK))))


def all_pairs(n: int) -> Ints:
    """Every pair of n rows, ascending.

    Examples
    --------
    >>> all_pairs(3).tolist()
    [[0, 1], [0, 2], [1, 2]]
    """
    first, second = np.triu_indices(n, 1)
    return np.stack([first, second], axis=1).astype(np.int64)


def directed(rows: Ints, found: Ints) -> Ints:
    """Each row with each of its neighbours, shape (m * k, 2)."""
    return np.stack([np.repeat(rows, found.shape[1]), found.ravel()], axis=1)


def distinct(pairs: Ints) -> Ints:
    """Each pair once, the smaller row first, ascending.

    Examples
    --------
    >>> distinct(np.array([[4, 1], [0, 2], [1, 4]])).tolist()
    [[0, 2], [1, 4]]
    """
    return np.unique(np.sort(pairs.reshape(-1, 2), axis=1), axis=0)
