"""How far two pictures agree once one is laid over the other, window by window, and how much of that is their own.

Normalised correlation in small windows (Lewis 1995, Vision Interface). Parts of one product agree wherever its layout
is; hence a pair counts by what it adds to the usual agreement of each picture with its look-alikes, as Cohen's kappa
(1960, Educ. Psychol. Meas. 20(1)) counts what agreement is left after chance. `comparison` calls both.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np

from fdsearch.data.parts.flatten import UNIT, Flat, Floats32
from fdsearch.data.parts.opencv import opencv

WINDOW = 13
"""Side, pixels, of the windows: small, so that there are many between the lines of a layout."""

LEAST_OVERLAP = 0.5
"""Share of a window that both pictures must show."""

LEAST_DEVIATION = 0.15
"""Of the flat picture in a window, where 1 is usual: below it the surface is empty, or the sensor is saturated."""

LEAST_WINDOWS = 9
"""Windows that must be comparable: fewer say nothing that noise could not."""

LEAST_LEFT = 0.05
"""What look-alikes leave open at least: where they agree perfectly, a little noise must not decide."""

NOT_COMPARED = -np.inf
"""Score of a pair that cannot be laid over one another."""


def window_correlations(first: Flat, second: Flat, matrix: Floats32) -> Floats32:
    """Normalised correlation in each window of the first picture.

    Parameters
    ----------
    first, second : ndarray of int8, shapes (h, w) and (g, v)
    matrix : ndarray of float32, shape (2, 3)
        Maps x, y of the first picture to x, y of the second.

    Returns
    -------
    ndarray of float32, shape (k,)
        NaN where the second picture does not reach, or one of them is empty.
    """
    cv2 = opencv()
    height, width = first.shape
    size, back = (width, height), cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(second.astype(np.float32), matrix, size, flags=cv2.INTER_LINEAR | back)
    inside = cv2.warpAffine(np.ones(second.shape, np.float32), matrix, size, flags=cv2.INTER_NEAREST | back)
    here, there = first * inside, moved * inside
    rows, columns = _membership(height), _membership(width)
    # Sums by window as products of matrices: faster than `np.add.reduceat`, and outside the interpreter's lock.
    sums = rows @ np.stack([inside, here, there, here * here, there * there, here * there]) @ columns.T
    count = sums[0]
    mean_here, mean_there, square_here, square_there, product = sums[1:] / np.maximum(count, 1)
    variance_here, variance_there = square_here - mean_here**2, square_there - mean_there**2
    shared = product - mean_here * mean_there
    area = np.outer(rows.sum(axis=1), columns.sum(axis=1))
    least = (LEAST_DEVIATION * UNIT) ** 2
    usable = (count >= LEAST_OVERLAP * area) & (variance_here >= least) & (variance_there >= least)
    deviations = np.sqrt(np.where(usable, variance_here * variance_there, 1))
    found: Floats32 = np.where(usable, shared / deviations, np.nan).astype(np.float32).ravel()
    return found


def n_windows(flat: Flat) -> int:
    """Number of windows of a picture."""
    return len(_membership(flat.shape[0])) * len(_membership(flat.shape[1]))


def beyond(found: Floats32, usual: Floats32) -> float:
    """Share of what look-alikes leave open that a pair closes: 1 agrees everywhere, 0 no better than look-alikes.

    Parameters
    ----------
    found : ndarray of float32, shape (k,)
        As `window_correlations` gives them, some of them known.
    usual : ndarray of float32, shape (k,)
        Mean correlation with look-alikes in each window, 0 where there are none.

    Examples
    --------
    >>> round(beyond(np.full(20, 0.9, np.float32), np.full(20, 0.8, np.float32)), 2)
    0.5
    """
    seen = ~np.isnan(found)
    closed = (found[seen] - usual[seen]) / np.maximum(1 - usual[seen], LEAST_LEFT)
    return float(np.clip(closed, -1, 1).mean())


@lru_cache(maxsize=4096)
def _membership(length: int) -> Floats32:
    """Which pixels of a side lie in which of its windows, of about `WINDOW` pixels, evenly laid; (k, length)."""
    n = max(1, round(length / WINDOW))
    bounds = [length * number // n for number in range(n + 1)]
    pixels = np.arange(length)
    return np.stack([(pixels >= low) & (pixels < high) for low, high in itertools.pairwise(bounds)]).astype(np.float32)
