"""Laying one picture over another: the shift, turn and scale on which their keypoints agree.

Matches by ratio and in both directions (Lowe 2004, IJCV 60(2), section 7.1), a similarity by RANSAC (Fischler and
Bolles 1981, CACM 24(6)), refined by matches near to where it predicts them. That this succeeds proves nothing: parts of
one product have a layout in common. `windows` looks at what agrees then.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fdsearch.data.parts.flatten import Floats32
from fdsearch.data.parts.keypoints import Keypoints
from fdsearch.data.parts.opencv import opencv

RATIO = 0.9
"""A match must be nearer than this times the second nearest; loose, since RANSAC sorts out what is wrong."""

REACH = 3.0
"""Pixels by which a match may miss the similarity: one for the keypoint, the rest for lens and perspective."""

NEAR = 4.0
"""Pixels around the predicted place in which a second round looks for matches that the ratio had refused."""

LEAST_SIMILAR = 0.7
"""Cosine of a match of the second round, which no ratio guards."""

LEAST_INLIERS = 6
"""Matches that must agree on the similarity. Two define it; by accident three or four more agree now and then."""

SCALES, MOST_TURN = (0.8, 1.25), 15.0
"""What a change between two shots may be, turn in degrees: a fixed camera moves less, and a wrong RANSAC more."""

MOST_TRIALS = 500
"""Of RANSAC: enough for a quarter of right matches."""

Matches = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Numbers of the keypoints of the first picture, and of those of the second that they match."""


def register(first: Keypoints, second: Keypoints) -> Floats32 | None:
    """Find the similarity that lays one picture over another.

    Returns
    -------
    ndarray, shape (2, 3), or None
        Maps x, y of the first picture to x, y of the second; None where too few matches agree on a plausible one.
    """
    if min(len(first), len(second)) < LEAST_INLIERS:
        return None
    similar = first.unit @ second.unit.T
    matrix = _consensus(first, second, _ratio_matches(similar))
    if matrix is None:
        return None
    moved = first.points @ matrix[:, :2].T + matrix[:, 2]
    across, down = (np.subtract.outer(moved[:, axis], second.points[:, axis]) for axis in (0, 1))
    near = np.where(across * across + down * down < NEAR**2, similar, np.float32(-1))
    refined = _consensus(first, second, _mutual(near, LEAST_SIMILAR))
    return matrix if refined is None else refined


def _ratio_matches(similar: Floats32) -> Matches:
    """Mutual matches whose squared distance, 2 - 2 * cosine, beats that of the second nearest by the squared ratio."""
    own, other = _mutual(similar, -1)
    best, others = similar[own, other], similar[own]
    others[np.arange(len(own)), other] = -1
    clear = 1 - best < RATIO**2 * (1 - others.max(axis=1, initial=-1))
    return own[clear], other[clear]


def _mutual(similar: Floats32, least: float) -> Matches:
    """Rows and columns that are each other's most similar, above a least similarity."""
    best = similar.argmax(axis=1)
    own = np.arange(len(similar))
    kept = (similar.argmax(axis=0)[best] == own) & (similar[own, best] > least)
    return own[kept], best[kept]


def _consensus(first: Keypoints, second: Keypoints, matches: Matches) -> Floats32 | None:
    """The plausible similarity on which enough matches agree."""
    own, other = matches
    if len(own) < LEAST_INLIERS:
        return None
    cv2 = opencv()
    # OpenCV seeds this RANSAC with a constant: the same matches give the same answer.
    matrix, agreeing = cv2.estimateAffinePartial2D(
        first.points[own], second.points[other], ransacReprojThreshold=REACH, maxIters=MOST_TRIALS
    )
    if matrix is None or int(agreeing.sum()) < LEAST_INLIERS:
        return None
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    turn = abs(float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))))
    plausible = SCALES[0] <= scale <= SCALES[1] and turn <= MOST_TURN
    found: Floats32 = matrix.astype(np.float32)
    return found if plausible else None
