"""From an embedding of thousands of numbers to at most 64 that can be stored: principal components, whitened.

`reference` fits it to some of the development parts and stores it; `drift` applies it to production pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_NUMBERS = 64

_PICTURES_PER_NUMBER = 4
"""A direction for every four pictures at most: those after them would follow single pictures."""

_LARGEST = 1e4
"""Where whitened numbers are cut off: a float16 overflows at 65,504."""


@dataclass(frozen=True, eq=False)
class Reduction:
    """Subtract `mean`, multiply by `directions`.

    Parameters
    ----------
    mean : ndarray of float32, shape (d,)
    directions : ndarray of float32, shape (d, k)
        1 <= k <= 64.
    """

    mean: NDArray[np.float32]
    directions: NDArray[np.float32]

    def apply(self, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
        """Reduce an embedding (n, d) to (n, k).

        Raises
        ------
        ValueError
            If it has another number of columns.
        """
        if embedding.ndim != 2 or embedding.shape[1] != len(self.mean):
            raise ValueError(f"an embedding of shape {embedding.shape}, not of {len(self.mean)} numbers")
        reduced = (embedding.astype(np.float32) - self.mean) @ self.directions
        return np.asarray(np.clip(reduced, -_LARGEST, _LARGEST), np.float32)


def fit_reduction(embedding: NDArray[np.float32], most: int = MOST_NUMBERS) -> Reduction | None:
    """Fit a reduction to an embedding, or return None where it has too few rows or they are all alike.

    Parameters
    ----------
    embedding : ndarray of float32, shape (m, d)
    most : int
        Numbers that are left, at most.

    Raises
    ------
    ValueError
        If it holds numbers that are not finite.

    References
    ----------
    Jolliffe (2002), Principal component analysis, Springer, chapters 2 and 3.

    Examples
    --------
    >>> line = np.outer(np.arange(8.0), [3.0, 4.0]).astype(np.float32)
    >>> fit_reduction(line).apply(line).std().round(3)
    np.float32(1.0)
    """
    if not np.isfinite(embedding).all():
        raise ValueError("an embedding that is not finite")
    if len(embedding) < 2:
        return None
    mean = embedding.mean(axis=0, dtype=np.float64)
    centred = embedding - mean
    # Rows or columns, whichever are fewer, make the smaller eigenproblem.
    by_rows = len(centred) < centred.shape[1]
    products = centred @ centred.T if by_rows else centred.T @ centred
    values, vectors = np.linalg.eigh(products / len(centred))
    if values[-1] <= 0:
        return None
    rank = int((values > values[-1] * 1e-6).sum())
    k = min(most, rank, max(1, len(centred) // _PICTURES_PER_NUMBER))
    values, vectors = values[::-1][:k], vectors[:, ::-1][:, :k]
    axes = centred.T @ vectors / np.sqrt(values * len(centred)) if by_rows else vectors
    return Reduction(mean.astype(np.float32), (axes / np.sqrt(values)).astype(np.float32))
