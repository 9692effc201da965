"""How often chance alone gives a gain: two models' answers exchanged at random, part by part.

Asked where `comparison` can give no interval because a class has too few parts. `fdsearch.pipeline.promotion` shows the
result to whoever decides; it claims nothing, and decision 41 says why.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.metrics import group_sums, resampled_macro_f1

_ENUMERATED = 13
"""Parts on which the two differ, up to which every exchange is tried; of more, as many exchanges are drawn."""


def exchange_share(
    y_true: ArrayLike, pred_a: ArrayLike, pred_b: ArrayLike, groups: ArrayLike, n_classes: int, random_state: int = 0
) -> float:
    """Share of exchanges of the two models' answers that make a's gain in macro F1 as large as it is.

    If neither model were better on any kind of part, each part's two answers could as well have been given the other
    way round, so that this share is at most p with probability p, however few parts a class has. It is no statement
    about the macro F1 on new parts: a model that is better on the frequent classes and worse on a rare one may show a
    small share as well.

    Parameters
    ----------
    y_true, pred_a, pred_b : array-like of int, shape (n,)
    groups : array-like of int, shape (n,)
        The part of each picture; all its pictures are exchanged together.
    n_classes : int
    random_state : int
        Of the exchanges, where they are too many to try them all.

    Returns
    -------
    float
        In (0, 1]; the answers as they were given are one of the exchanges.

    References
    ----------
    Fisher (1935), The Design of Experiments, section 21 (the test); Phipson and Smyth (2010), Permutation p-values
    should never be zero, Stat. Appl. Genet. Mol. Biol. 9(1).

    Examples
    --------
    >>> y_true, b = [0, 1] * 4, [0] * 8
    >>> exchange_share(y_true, y_true, b, range(8), 2)
    0.0625
    >>> exchange_share(y_true, y_true, y_true, range(8), 2)
    1.0
    """
    sums = group_sums(y_true, np.stack([np.asarray(pred_a), np.asarray(pred_b)]), groups, n_classes)
    middle, halves = sums.mean(axis=2), (sums[:, :, 0] - sums[:, :, 1]) / 2
    halves = halves[(halves != 0).any(axis=(1, 2))]
    # A sum of a's is the middle plus each part's half difference with its sign, of b's the middle minus that.
    terms = np.concatenate([middle.sum(axis=0, keepdims=True), halves])
    opposite = np.concatenate([terms[:1], -halves])
    signs = np.pad(_signs(len(halves), random_state), ((0, 0), (1, 0)), constant_values=1.0)
    a, b = resampled_macro_f1(np.stack([terms, opposite], axis=2), signs)
    return float(np.mean(a - b >= a[0] - b[0] - 1e-9))  # what is equal differs by rounding


def _signs(n: int, random_state: int) -> NDArray[np.float64]:
    """One row per exchange, 1 where a part's answers stay and -1 where they change places; the first changes none."""
    if n <= _ENUMERATED:
        return np.array(list(itertools.product((1.0, -1.0), repeat=n))).reshape(2**n, n)
    drawn = np.random.default_rng(random_state).choice((1.0, -1.0), (2**_ENUMERATED, n))
    drawn[0] = 1.0
    return drawn
