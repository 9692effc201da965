"""How probable it is that two samples of units differ so much by chance: labels shuffled until that is known.

`drift` asks; the statistics stand here too: energy distance between units of pictures, Anderson and Darling's between
numbers. No p-value relies on a limiting distribution, so ten parts are judged as truly as ten thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""Which units are in the second sample, 1 or 0, shape (m, n_units) -> how far the samples are apart, (m,)."""

_ENOUGH = 20
"""Shuffles that reach what was seen, after which it is known well enough that it is nothing."""
_CHUNK = 256

_ROUNDING = 1e-5
"""What differs from what was seen by this alone has reached it; the statistics are of the order of 1 / units."""


def energy(pictures: NDArray[np.floating], units: Sequence[NDArray[np.int64]]) -> Statistic:
    """The energy distance between the pictures of two samples of units.

    Twice the mean distance between the samples less the mean distances within them, of pairs of pictures of different
    units; each unit weighs the same.

    Parameters
    ----------
    pictures : ndarray of float, shape (n, k)
    units : sequence of ndarray of int64
        The rows of each unit, of both samples.

    References
    ----------
    Szekely and Rizzo (2013), Energy statistics: a class of statistics based on distances, J. Stat. Plan. Inference
    143(8); Sejdinovic and others (2013), Annals of Statistics 41(5): it is a maximum mean discrepancy.
    """
    kernel = -_between_units(pictures, units)
    return quadratic(kernel)


def quadratic(kernel: Floats) -> Statistic:
    """The squared maximum mean discrepancy, without bias, of a kernel (n_units, n_units) between units.

    References
    ----------
    Gretton, Borgwardt, Rasch, Scholkopf and Smola (2012), A kernel two-sample test, JMLR 13, lemma 6.
    """
    matrix = kernel / max(float(np.abs(kernel).mean()), 1e-30)
    matrix = matrix.astype(np.float32)
    np.fill_diagonal(matrix, 0)
    n, total, rows = len(matrix), float(matrix.sum(dtype=np.float64)), matrix.sum(axis=1, dtype=np.float64)

    def statistic(second: Floats) -> Floats:
        b = float(second[0].sum())
        a = n - b
        taken = second.astype(np.float32)
        within = np.einsum("mn,mn->m", taken @ matrix, taken).astype(np.float64)
        to_all = second @ rows
        others = total - 2 * to_all + within
        # One unit has no pair within its sample.
        inside = within / max(1.0, b * (b - 1)) + others / max(1.0, a * (a - 1))
        return np.asarray(inside - 2 * (to_all - within) / (a * b))

    return statistic


def anderson_darling(values: ArrayLike) -> Statistic:
    """The rank statistic of Anderson and Darling between two samples of numbers, one for each unit; ties are allowed.

    The squared difference of the two distributions at every value, weighted so that the tails count too.

    References
    ----------
    Scholz and Stephens (1987), K-sample Anderson-Darling tests, J. Am. Stat. Assoc. 82(399), equation 7.
    """
    numbers = np.asarray(values, np.float64)
    order = np.argsort(numbers, kind="stable")
    last = np.flatnonzero(np.append(np.diff(numbers[order]) > 0, True))[:-1]  # of each run of equal values
    n = len(numbers)
    below = (last + 1) / n
    weights = np.diff(np.append(0, last + 1)) / n / (below * (1 - below)) if len(last) else np.empty(0)

    def statistic(second: Floats) -> Floats:
        b = float(second[0].sum())
        counts = np.cumsum(second[:, order], axis=1)[:, last]
        difference = counts / b - (n * below - counts) / (n - b)
        return np.asarray(np.square(difference) @ weights)

    return statistic


def p_values(
    statistics: Mapping[str, Statistic], sizes: tuple[int, int], level: float, generator: np.random.Generator
) -> dict[str, float]:
    """The p-value of each statistic for units of which the last ones are the second sample.

    Whole units are shuffled; a statistic that shuffles have reached often is settled early, so that only what may be
    significant is shuffled until the level can be told.

    Parameters
    ----------
    statistics : mapping of str to Statistic
    sizes : (int, int)
        Units of the first and of the second sample; at least 1 each.
    level : float
        The finest level at which any of them will be judged.
    generator : numpy.random.Generator

    Returns
    -------
    dict of str to float
        Each at most t with a probability of at most t where the units are exchangeable; the least is below `level`.

    References
    ----------
    Besag and Clifford (1991), Sequential Monte Carlo p-values, Biometrika 78(2).
    """
    n = sum(sizes)
    truth = np.zeros((1, n))
    truth[:, sizes[0] :] = 1
    seen = {name: float(statistic(truth)[0]) for name, statistic in statistics.items()}
    reached, found = dict.fromkeys(statistics, 0), dict[str, float]()
    done, most = 0, int(np.ceil(1 / level))
    while len(found) < len(statistics) and done < most:
        shuffled = generator.permuted(np.repeat(truth, min(_CHUNK, most - done), axis=0), axis=1)
        for name in statistics.keys() - found.keys():
            hits = statistics[name](shuffled) >= seen[name] - _ROUNDING
            before, reached[name] = reached[name], reached[name] + int(hits.sum())
            if reached[name] >= _ENOUGH:
                at = int(np.flatnonzero(hits)[_ENOUGH - before - 1])
                found[name] = _ENOUGH / (done + at + 1)
        done += len(shuffled)
    return {name: found.get(name, (reached[name] + 1) / (done + 1)) for name in statistics}


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Adjust p-values so that all of them together are wrong as rarely as each promised.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6(2).

    Examples
    --------
    >>> holm({"focus": 0.02, "width": 0.5, "gray": 0.01})
    {'gray': 0.03, 'focus': 0.04, 'width': 0.5}
    """
    largest, adjusted = 0.0, {}
    for place, name in enumerate(sorted(p, key=lambda name: p[name])):
        largest = max(largest, min(1.0, (len(p) - place) * p[name]))
        adjusted[name] = largest
    return adjusted


def finest(sizes: tuple[int, int]) -> float:
    """The least p-value that shuffling so many units can give."""
    from math import comb

    return 1 / comb(sum(sizes), sizes[1])


def _between_units(pictures: NDArray[np.floating], units: Sequence[NDArray[np.int64]]) -> Floats:
    """Mean distance between the pictures of each pair of units, shape (n_units, n_units)."""
    rows = np.concatenate(list(units))
    points = pictures[rows].astype(np.float64)
    squares = np.square(points).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0))
    sizes = np.array([len(unit) for unit in units])
    starts = np.append(0, np.cumsum(sizes)[:-1])
    sums = np.add.reduceat(np.add.reduceat(distances, starts, axis=0), starts, axis=1)
    return np.asarray(sums / np.outer(sizes, sizes))
