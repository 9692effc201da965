"""A threshold that regular parts exceed no more often than stated, whatever the score and however it is distributed.

`novelty` asks for one; the scores come from references that did not hold the part.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def part_scores(scores: ArrayLike, parts: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The largest score of each part's pictures.

    Returns
    -------
    ndarray of int64, shape (n_parts,)
        The parts, ascending.
    ndarray of float64, shape (n_parts,)

    Examples
    --------
    >>> names, worst = part_scores([0.5, 2.0, 1.0], [7, 7, 8])
    >>> names.tolist(), worst.tolist()
    ([7, 8], [2.0, 1.0])
    """
    names, index = np.unique(np.asarray(parts, np.int64), return_inverse=True)
    worst = np.full(len(names), -np.inf)
    np.maximum.at(worst, index, np.asarray(scores, np.float64))
    return names, worst


def conformal_threshold(scores: ArrayLike, false_alarm_rate: float) -> tuple[float | None, str | None]:
    """The score that a new regular part exceeds with a probability of at most `false_alarm_rate`.

    The probability is over the parts the threshold was made of as well, and exact where these and the new one are
    exchangeable and the reference holds none of them. Left-out folds are that but for their reference, which lacks
    other parts for each (cross-conformal: Vovk 2015); the guarantee then is twice the rate, what is seen is the rate.

    Parameters
    ----------
    scores : array-like, shape (n,)
        One for each regular part.
    false_alarm_rate : float
        Between 0 and 1.

    Returns
    -------
    float or None
        None where even the largest of so few scores is exceeded more often.
    str or None
        Why there is none.

    References
    ----------
    Vovk, Gammerman and Shafer (2005), Algorithmic learning in a random world, section 2.2.

    Examples
    --------
    >>> conformal_threshold(range(1, 20), 0.05)
    (19.0, None)
    >>> conformal_threshold(range(18), 0.05)[0] is None
    True
    """
    values = np.sort(np.asarray(scores, np.float64))
    # 1e-9: (1 - 0.05) * 20 is 19.000000000000004, and the rank 20 would be one too many.
    rank = math.ceil((1 - false_alarm_rate) * (len(values) + 1) - 1e-9)
    if rank <= len(values):
        return float(values[rank - 1]), None
    needed = math.ceil(1 / false_alarm_rate - 1e-9) - 1
    return None, (
        f"{needed} regular parts could show that at most {false_alarm_rate:.4g} of them are sent to a person for "
        f"their novelty; there are {len(values)}"
    )
