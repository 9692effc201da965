"""Keypoints of a flat picture: where something is, and what it looks like there.

SIFT (Lowe 2004, IJCV 60(2)) with the square root of its histograms (RootSIFT: Arandjelović and Zisserman 2012, CVPR).
`registration` matches them, `vlad` makes one vector of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fdsearch.data.parts.flatten import Flat, Floats32
from fdsearch.data.parts.opencv import opencv

MOST = 200
"""Keypoints per picture: twice as many cost four times the matching and find hardly another part."""

LEAST_CONTRAST = 0.02
"""SIFT's threshold, half of its default: flat pictures have no strong edges left."""

LEAST_SIDE = 16
"""Pixels below which a picture has no octave to search."""

SCALE = 512
"""Of the square roots in uint8: a typical one is .09, hence 45 steps, and those above .5 are cut."""


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Of one picture.

    Parameters
    ----------
    points : ndarray of float32, shape (m, 2)
        x and y in pixels, 0 in the middle of the first pixel.
    descriptors : ndarray of uint8, shape (m, 128)
    """

    points: Floats32
    descriptors: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def unit(self) -> Floats32:
        """Descriptors as unit vectors, shape (m, 128)."""
        values = self.descriptors.astype(np.float32)
        length = np.sqrt((values * values).sum(axis=1, keepdims=True))
        unit: Floats32 = values / np.maximum(length, 1)
        return unit


def keypoints(flat: Flat) -> Keypoints:
    """Find the strongest keypoints of a flat picture; none in an empty one."""
    nothing = Keypoints(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8))
    if min(flat.shape) < LEAST_SIDE:
        return nothing
    cv2 = opencv()
    picture = (flat.astype(np.int16) + 128).astype(np.uint8)
    found, histograms = cv2.SIFT_create(nfeatures=MOST, contrastThreshold=LEAST_CONTRAST).detectAndCompute(
        picture, None
    )
    if histograms is None or not len(found):
        return nothing
    points = np.array([each.pt for each in found[:MOST]], np.float32)
    values = histograms[:MOST]
    roots = np.sqrt(values / np.maximum(values.sum(axis=1, keepdims=True), 1))
    return Keypoints(points, np.minimum(np.round(roots * SCALE), 255).astype(np.uint8))
