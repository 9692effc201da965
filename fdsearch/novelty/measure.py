"""A method that was fitted to known pictures, and what it says of any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.novelty.methods import METHODS, Known, Seen
from fdsearch.novelty.space import Space

_LARGEST = 30.0


@dataclass(frozen=True, eq=False)
class Novelty:
    """A fitted method in its space.

    Parameters
    ----------
    method : str
        A key of `methods.METHODS`.
    space : Space
    arrays : mapping of str to ndarray of float64
        What the method's fit returned.
    centre, spread : float
        Middle and spread of regular pictures' raw scores: scores are told in these units.
    """

    method: str
    space: Space
    arrays: Mapping[str, NDArray[np.float64]]
    centre: float = 0.0
    spread: float = 1.0

    @classmethod
    def fit(
        cls,
        method: str,
        space: Space,
        reference: tuple[ArrayLike, ArrayLike],
        labels: ArrayLike,
        regular: ArrayLike,
    ) -> Novelty:
        """Fit a method to known pictures.

        Parameters
        ----------
        method : str
        space : Space
            Fitted to them.
        reference : (array-like of shape (n, d), array-like of shape (n, n_classes))
            Embedding, and logits out of fold.
        labels : array-like of int, shape (n,)
        regular : array-like of bool, shape (n,)
        """
        coordinates, residual = space.reduce(reference[0])
        known = Known(
            Seen(coordinates, residual, np.asarray(reference[1], np.float64)),
            np.asarray(labels, np.int64),
            np.asarray(regular, bool),
        )
        return cls(method, space, METHODS[method].fit(known))

    def raw(self, embedding: ArrayLike, logits: ArrayLike) -> NDArray[np.float64]:
        """The method's own score of each picture, of any sign; larger is more novel, NaN where it cannot be said."""
        coordinates, residual = self.space.reduce(embedding)
        return METHODS[self.method].score(self.arrays, Seen(coordinates, residual, np.asarray(logits, np.float64)))

    def score(self, embedding: ArrayLike, logits: ArrayLike) -> NDArray[np.float64]:
        """How unlike the known pictures each one is.

        Parameters
        ----------
        embedding : array-like of float32, shape (n, d)
        logits : array-like of float32, shape (n, n_classes)

        Returns
        -------
        ndarray of float64, shape (n,)
            Positive: 1 is as the middle regular picture, larger is more novel. To be divided by the contract's
            threshold.
        """
        return self._told(self.raw(embedding, logits))

    def told(self, raw: float) -> float:
        """What `score` makes of a raw score: a threshold on it."""
        return float(self._told(np.array(raw)))

    def _told(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.exp(np.clip((raw - self.centre) / self.spread, -_LARGEST, _LARGEST)))

    def scaled(self, regular: ArrayLike) -> Novelty:
        """The same, told in units of some regular pictures' raw scores."""
        values = np.asarray(regular, np.float64)
        low, middle, high = np.percentile(values, [16, 50, 84])
        return replace(self, centre=float(middle), spread=max(float(high - low) / 2, 1e-6))
