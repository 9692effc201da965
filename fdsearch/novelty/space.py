"""The space in which pictures are compared: embeddings, standardised and turned to the known pictures' main directions.

Made of all known classes: among regular pictures alone a known defect would look as novel as an unknown one. `measure`
uses it, `methods` measure distances in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

KEPT = 0.95
"""Share of the known pictures' variance that the main directions hold."""

MAX_DIRECTIONS = 192
_SMALLEST = 1e-6


@dataclass(frozen=True, eq=False)
class Space:
    """Standardised embeddings in main directions.

    Parameters
    ----------
    mean, scale : ndarray of float64, shape (d,)
    basis : ndarray of float64, shape (d, r)
        Orthonormal columns.
    """

    mean: Floats
    scale: Floats
    basis: Floats

    @classmethod
    def of(cls, known: ArrayLike) -> Space:
        """Fit to the embeddings of known pictures, shape (n, d), n at least 2.

        Examples
        --------
        >>> points = np.random.default_rng(0).normal(size=(50, 4)) * [9, 3, 1, 0]
        >>> space = Space.of(points)
        >>> coordinates, residual = space.reduce(points)
        >>> coordinates.shape, bool(residual.max() < 1e-6)
        ((50, 3), True)
        """
        points = np.asarray(known, np.float64)
        mean, deviation = points.mean(axis=0), points.std(axis=0)
        # A feature that hardly ever moves would turn its first move into the largest of all.
        scale = np.maximum(deviation, max(0.1 * float(np.median(deviation)), _SMALLEST))
        standard = (points - mean) / scale
        n, width = standard.shape
        small = standard @ standard.T if n < width else standard.T @ standard
        values, vectors = np.linalg.eigh(small)
        values, vectors = values[::-1], vectors[:, ::-1]
        share = np.cumsum(np.maximum(values, 0)) / max(float(np.maximum(values, 0).sum()), _SMALLEST)
        kept = min(int(np.searchsorted(share, KEPT)) + 1, MAX_DIRECTIONS, int((values > _SMALLEST).sum()) or 1)
        basis = vectors[:, :kept]
        if n < width:
            basis = standard.T @ basis / np.sqrt(np.maximum(values[:kept], _SMALLEST))
        return cls(mean, scale, np.asarray(basis))

    def reduce(self, embedding: ArrayLike) -> tuple[Floats, Floats]:
        """Coordinates (n, r), and the length (n,) of what lies outside the main directions."""
        standard = (np.asarray(embedding, np.float64) - self.mean) / self.scale
        coordinates = standard @ self.basis
        outside = (standard**2).sum(axis=1) - (coordinates**2).sum(axis=1)
        return coordinates, np.sqrt(np.maximum(outside, 0.0))

    def arrays(self) -> dict[str, Floats]:
        """What a version keeps of it."""
        return {"mean": self.mean, "scale": self.scale, "basis": self.basis}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.float64]]) -> Space:
        """The inverse of `arrays`."""
        return cls(arrays["mean"], arrays["scale"], arrays["basis"])
