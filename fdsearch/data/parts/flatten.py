"""Pictures freed from light: high-passed, contrast 1 everywhere; and the thumbnails that the search compares.

Exposure, gamma, shading and focus differ between two shots of a part, and what is left after this does not.
`comparison` makes flat pictures, `windows` lays them over one another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fdsearch.data.parts.opencv import opencv
from fdsearch.imaging import Gray

Flat = NDArray[np.int8]
"""A picture of shape (h, w) whose values are standard deviations of the local contrast, times `UNIT`."""

Floats32 = NDArray[np.float32]

FOCUS = 1.0
"""Deviation, pixels, of the blur that comes first: it hides noise, and makes a sharp and a soft shot alike."""

DETAIL = 19
"""Width, pixels, of the mean that is taken away: broad enough to keep a scratch's edges, narrow against shading."""

CONTRAST = 37
"""Width, pixels, of the window whose contrast becomes 1: twice `DETAIL`, so that one edge does not divide by itself."""

LEAST_VARIANCE = 1.0
"""Added to the local variance, in squared gray levels: an empty surface must not become loud noise."""

UNIT, CLIP = 40, 3
"""One deviation is 40 steps of int8, and values end at 3 deviations: glare counts no more than an edge."""

THUMB, MARGIN = 24, 2
"""Sides, pixels, of the thumbnails that are compared, and of the margin in which they may be shifted: 2 of 28 pixels
are 7 % of the picture, more than a part moves under a fixed camera."""

SHIFTS = tuple((down, right) for down in range(2 * MARGIN + 1) for right in range(2 * MARGIN + 1))
"""Every place of a thumbnail in its margin; (MARGIN, MARGIN) is the middle."""


def flatten(gray: Gray) -> Flat:
    """Free a picture from its light.

    Parameters
    ----------
    gray : ndarray of uint8, shape (h, w)

    Returns
    -------
    ndarray of int8, shape (h, w)
    """
    cv2 = opencv()
    tones = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), FOCUS, borderType=cv2.BORDER_REFLECT)
    detail = tones - _local_mean(tones, DETAIL)
    variance = np.maximum(_local_mean(detail * detail, CONTRAST), 0)  # running sums may end just below 0
    return quantised(detail / np.sqrt(variance + LEAST_VARIANCE))


def quantised(deviations: Floats32) -> Flat:
    """Local deviations as a `Flat`."""
    flat: Flat = np.clip(np.round(deviations * UNIT), -CLIP * UNIT, CLIP * UNIT).astype(np.int8)
    return flat


def thumbnails(flats: Sequence[Flat]) -> Floats32:
    """Small copies of flat pictures with their margin, shape (n, 28, 28); the aspect is not kept."""
    cv2, side = opencv(), THUMB + 2 * MARGIN
    small = np.zeros((len(flats), side, side), np.float32)
    for row, flat in enumerate(flats):
        small[row] = cv2.resize(flat.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    return small


def cropped(thumbs: Floats32, down: int = MARGIN, right: int = MARGIN) -> Floats32:
    """Thumbnails at one place of their margin as unit vectors, shape (n, 576); their product is a correlation.

    The means of rows and columns are taken out: streaks of rolling and grinding are alike on all parts.
    """
    square = thumbs[:, down : down + THUMB, right : right + THUMB]
    square = square - square.mean(axis=2, keepdims=True)
    square = square - square.mean(axis=1, keepdims=True)
    rows = square.reshape(len(thumbs), THUMB * THUMB)
    unit: Floats32 = rows / (np.linalg.norm(rows, axis=1, keepdims=True) + np.float32(1e-6))
    return unit


def _local_mean(values: Floats32, width: int) -> Floats32:
    """A box filter: it takes the same time at any width, where a Gaussian of this width takes 10 ms."""
    cv2 = opencv()
    size = (min(width, values.shape[1]), min(width, values.shape[0]))
    mean: Floats32 = cv2.blur(values, size, borderType=cv2.BORDER_REFLECT)
    return mean
