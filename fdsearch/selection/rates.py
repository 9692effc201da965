"""How often parts escape, are wrongly rejected or go to a person: with exact bounds, now and at any other threshold.

Counted over parts in the out-of-fold predictions of one repeat. Every bound here is *pointwise*: it would hold at the
confidence stated had the threshold not been chosen on the same parts. The one claim that survives the choice is
``max_escape_rate`` of `fdsearch.selection.decision`; `promise` puts both together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.decide import DECISIONS, REJECT_BELOW
from fdsearch.selection.decision import THRESHOLDS, Truth
from fdsearch.selection.intervals import exact_bounds

_EVENTS = {"escape": ("pass", "defective"), "false_reject": ("reject", "good"), "review": ("review", "all")}
"""What is counted: its decision, and among which parts."""

_GOOD, _DEFECTIVE, _CLASSES = 0, 1, 2
"""Rows of a tally: good parts, defective parts, then one row for each class."""


def tally(decisions: ArrayLike, truth: Truth) -> NDArray[np.int64]:
    """Count parts by what they are and what is decided about them.

    Parameters
    ----------
    decisions : array-like of int, shape (n_parts,)
        Places in `fdsearch.decide.DECISIONS`; `fdsearch.decide.UNSEEN` counts nowhere.
    truth : Truth

    Returns
    -------
    ndarray of int64, shape (2 + n_classes, 3)
        Rows: good parts, defective parts, then each class; columns: pass, review, reject. A defective part that shows
        several defects counts in each of their rows.

    Examples
    --------
    >>> truth = Truth.of([0, 0, 1], [0, 1, 2], [True, False], "group")
    >>> tally([0, 1, 2], truth).tolist()
    [[1, 1, 0], [0, 0, 1], [1, 1, 0], [0, 0, 1]]
    """
    chosen = np.asarray(decisions)[:, None] == np.arange(len(DECISIONS))
    return np.asarray(_strata(truth).T.astype(np.int64) @ chosen.astype(np.int64))


def rates(
    table: NDArray[np.int64], truth: Truth, confidence: float, shares: NDArray[np.float64] | None = None
) -> dict[str, dict[str, float | None]]:
    """Return how often each thing happens, with exact bounds.

    Parameters
    ----------
    table : ndarray of int64, shape (2 + n_classes, 3)
        From `tally`.
    truth : Truth
    confidence : float
        Of the two-sided bounds.
    shares : ndarray of float64, shape (n_classes,), optional
        Class shares to weigh by; default: as the parts were counted.

    Returns
    -------
    dict
        ``escape`` (of the defective parts, those that pass), ``false_reject`` (of the good parts, those rejected) and
        ``review`` (of all parts, those sent to a person), each with ``rate``, ``low``, ``high``. The rate is None where
        a class that is needed has no part, all three where the shares hold no such class.

    Notes
    -----
    With shares, bounds of the classes' own rates are weighed like the rates; each is taken at the error probability
    divided by the number of classes (Bonferroni), so that all hold together. That is safe and wider than it had to be.

    References
    ----------
    Clopper and Pearson (1934), The use of confidence or fiducial limits, Biometrika 26(4).

    Examples
    --------
    >>> truth = Truth.of([0] * 10 + [1] * 40, range(50), [True, False], "group")
    >>> found = rates(tally([0] * 10 + [2] * 39 + [0], truth), truth, 0.95)
    >>> found["escape"]["rate"], round(found["escape"]["high"], 3), found["false_reject"]["rate"]
    (0.025, 0.132, 0.0)
    """
    return {
        name: {"rate": _plain(rate), "low": _plain(low), "high": _plain(high)}
        for name, (rate, low, high) in _measured(table, truth.pass_mask, confidence, shares).items()
    }


def per_class(
    table: NDArray[np.int64], truth: Truth, classes: Sequence[str], confidence: float
) -> dict[str, dict[str, Any]]:
    """Return, for each class that lets no part pass, its ``parts``, ``escaped`` and their exact upper ``bound``.

    The bound is one-sided at `confidence`, and 1 where the class has no part.
    """
    counts = table[_CLASSES:]
    escaped, parts = counts[:, DECISIONS.index("pass")], counts.sum(axis=1)
    # A two-sided interval leaves half of its error on each side.
    bounds = exact_bounds(escaped, parts, 2 * confidence - 1)[1]
    return {
        name: {"parts": int(parts[label]), "escaped": int(escaped[label]), "bound": float(bounds[label])}
        for label, name in enumerate(classes)
        if not truth.pass_mask[label]
    }


def curve(
    worst: NDArray[np.float64], truth: Truth, confidence: float, shares: NDArray[np.float64] | None = None
) -> list[dict[str, float | None]]:
    """Return what every other pass threshold would have done.

    Parameters
    ----------
    worst : ndarray of float64, shape (n_parts,)
        Pass probability of each part's worst picture, from `fdsearch.decide.worst_of_part`; NaN where it was not seen.
    truth, confidence, shares
        As in `rates`.

    Returns
    -------
    list of dict
        ``threshold, escape, escape_high, false_reject, review``, from the strictest threshold down; those at which
        nothing changes are left out, so that between two rows the upper one holds.
    """
    tables = _tallies(worst, truth)
    changes = np.ones(len(tables), dtype=bool)
    changes[1:] = (tables[1:] != tables[:-1]).any(axis=(1, 2))
    found = _measured(tables[changes], truth.pass_mask, confidence, shares)
    columns = {"threshold": THRESHOLDS[changes], "escape": found["escape"][0], "escape_high": found["escape"][2]}
    columns |= {name: found[name][0] for name in ("false_reject", "review")}
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, map(_plain, row), strict=True)) for row in rows]


def line_shares(shares: Mapping[str, float] | None, classes: Sequence[str]) -> NDArray[np.float64] | None:
    """The shares of the classes on the line, in the order of `classes` and adding up to 1; None where none are given.

    Examples
    --------
    >>> line_shares({"bent": 0.1, "free": 0.9}, ["free", "bent"])
    array([0.9, 0.1])
    """
    if shares is None:
        return None
    values = np.array([shares[name] for name in classes], dtype=np.float64)
    return np.asarray(values / values.sum())


def _strata(truth: Truth) -> NDArray[np.bool_]:
    """Which part belongs to which row of a tally, shape (n_parts, 2 + n_classes)."""
    return np.column_stack([~truth.defective, truth.defective, truth.holds])


def _tallies(worst: NDArray[np.float64], truth: Truth) -> NDArray[np.int64]:
    """The tally at every one of the `THRESHOLDS`, shape (n_thresholds, 2 + n_classes, 3)."""
    tables = []
    for stratum in _strata(truth).T:
        values = np.sort(worst[stratum & np.isfinite(worst)])
        passing = len(values) - np.searchsorted(values, THRESHOLDS, side="left")
        kept = len(values) - np.searchsorted(values, REJECT_BELOW, side="left")
        tables.append(np.column_stack([passing, kept - passing, np.full_like(passing, len(values) - kept)]))
    return np.stack(tables, axis=1).astype(np.int64)


def _measured(
    tables: NDArray[np.int64], mask: NDArray[np.bool_], confidence: float, shares: NDArray[np.float64] | None
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]:
    """Rate, low and high of each event over the leading axes of tallies; NaN where there is none."""
    found = {}
    for name, (decision, among) in _EVENTS.items():
        counts, weights = _concerned(tables, among, mask, shares)
        hits, total = counts[..., DECISIONS.index(decision)], counts.sum(axis=-1)
        if not len(weights):
            nothing = np.full(tables.shape[:-2], np.nan)
            found[name] = (nothing, nothing, nothing)
            continue
        rate = np.divide(hits, total, out=np.full(hits.shape, np.nan), where=total > 0)
        low, high = exact_bounds(hits, total, 1 - (1 - confidence) / len(weights))
        found[name] = (rate @ weights, low @ weights, high @ weights)
    return found


def _concerned(
    tables: NDArray[np.int64], among: str, mask: NDArray[np.bool_], shares: NDArray[np.float64] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The rows of tallies that an event is counted in, shape (..., m, 3), and the weight of each, shape (m,)."""
    if shares is None:
        rows = {"good": [_GOOD], "defective": [_DEFECTIVE], "all": [_GOOD, _DEFECTIVE]}[among]
        return tables[..., rows, :].sum(axis=-2, keepdims=True), np.ones(1)
    kinds = {"good": mask, "defective": ~mask, "all": np.ones_like(mask)}
    labels = np.flatnonzero(kinds[among] & (shares > 0))
    return tables[..., _CLASSES + labels, :], shares[labels] / shares[labels].sum()


def _plain(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
