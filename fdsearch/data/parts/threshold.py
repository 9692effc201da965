"""How high a score must be before it means a part, learnt from the pairs of the set that hardly are one.

Such pairs are the best of neither of their pictures (`Comparison.ordinary`) and stay below `FLOOR`, under which nothing
is believed anyway; the tail of their scores is continued exponentially. In a set of look-alikes they are look-alikes,
which mirrored pictures (the usual decoys of target-decoy search: Elias and Gygi 2007, Nature Methods 4(3)) are not: a
mirrored layout is another layout and fools nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CORNER, END = 0.80, 0.98
"""Quantiles of the scores between which the slope of the tail is measured: beyond the second they are few."""

LEAST_SCORES = 20
"""Scores from which a tail is measured; with fewer, `USUAL` is taken."""

USUAL = (0.3, 0.05)
"""Corner and slope of the tail where it cannot be measured; with look-alikes they were .2 and .05 to .08."""

LEAST_SLOPE = 0.02
"""Of the tail: that twenty scores happen to be equal must not make the next larger one certain."""

FLOOR = 0.50
"""Score below which no pair is believed: it must close half of what look-alikes leave open."""


@dataclass(frozen=True, eq=False)
class Null:
    """The upper tail of the scores of pairs that are not one part.

    Parameters
    ----------
    share : float
        Of all such pairs, those above the corner.
    corner, slope : float
        Where the exponential tail begins, and the score by which it falls to 1 / e.
    """

    share: float
    corner: float
    slope: float

    @classmethod
    def of(cls, ordinary: Floats) -> Null:
        """Learn from scores, -inf where a pair could not be compared.

        Examples
        --------
        >>> null = Null.of(np.r_[np.full(900, -np.inf), np.linspace(0, 0.4, 100), np.full(40, 0.9)])
        >>> round(null.share, 2), round(null.corner, 2)
        (0.02, 0.32)
        """
        # From `FLOOR` on there are pairs that do show one part: a part's third shot is the best of nobody.
        below = ordinary[ordinary < FLOOR]
        real = below[np.isfinite(below)]
        # One more than was seen: pairs that never succeed in a few hundred may still in a hundred thousand.
        share = (len(real) + 1) / (len(below) + 2)
        if len(real) < LEAST_SCORES:
            return cls(share, *USUAL)
        corner, end = (float(value) for value in np.quantile(real, (CORNER, END)))
        slope = max((end - corner) / float(np.log((1 - CORNER) / (1 - END))), LEAST_SLOPE)
        return cls((1 - CORNER) * share, corner, slope)

    def exceeding(self, scores: Floats) -> Floats:
        """Share of pairs that are not one part with at least these scores."""
        return np.asarray(self.share * np.exp(-np.maximum(scores - self.corner, 0) / self.slope))


@dataclass(frozen=True, eq=False)
class FalseShares:
    """What share of the pairs above a score is false, for the scores of one set's candidates.

    Parameters
    ----------
    scores : ndarray of float64, shape (m,)
        Descending.
    shares : ndarray of float64, shape (m,)
        Ascending: the least expected share among all thresholds at or below the score.
    """

    scores: Floats
    shares: Floats

    @classmethod
    def of(cls, scores: Floats, null: Null) -> FalseShares:
        """Hold candidates' scores (-inf where they could not be compared) against what such pairs reach."""
        falling = np.sort(scores)[::-1]
        expected = null.exceeding(falling) * len(falling)
        shares = np.minimum(expected / np.arange(1, len(falling) + 1), 1)
        shares[falling < FLOOR] = 1
        return cls(falling, np.minimum.accumulate(shares[::-1])[::-1])

    def at(self, scores: Floats) -> Floats:
        """The share for any scores, as that of the nearest candidate at or below; 1 below all."""
        place = np.searchsorted(-self.scores, -scores, side="left")
        return np.append(self.shares, 1.0)[place]

    def threshold(self, rate: float) -> float | None:
        """The least score at which no more than this share is false, or None."""
        kept = self.scores[self.shares <= rate]
        return float(kept[-1]) if len(kept) else None

    def between(self, upper: float, lower: float) -> float:
        """Share of false pairs among the candidates below `upper` and not below `lower`; 1 if there are none."""
        above, all_of_them = (int((self.scores >= bound).sum()) for bound in (upper, lower))
        if all_of_them <= above:
            return 1.0
        false = self.shares[all_of_them - 1] * all_of_them - (self.shares[above - 1] * above if above else 0.0)
        return float(np.clip(false / (all_of_them - above), 0, 1))
