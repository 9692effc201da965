"""Which pictures of a batch differ most from the reference, and by what.

`drift` lists them. This orders pictures for a person to look at; it tests nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fdsearch.serving.observed import Batch
from fdsearch.serving.reference import Reference
from fdsearch.serving.traits import TRAITS

NEIGHBOURS = 5
MOST_NEIGHBOURHOOD = 4000
"""Pictures of the reference among which neighbours are sought."""

_TAIL = 0.005
"""On either side of the reference's traits, and 2 * `_TAIL` of its distances: beyond it a picture is unusual."""
_MOST = 99.0
_ROWS = 512

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Unlike:
    """How unlike the reference one picture is.

    Parameters
    ----------
    filename : str
    group : str or None
    unlike : float
        The larger of `distance` and how far out the most unusual trait is; above 1 it is outside of what 99 % of the
        reference pictures are. At most 99.
    distance : float or None
        To the nearest pictures of the reference, in units of the distance that 99 % of those stay below.
    trait : str or None
        The trait that is most unusual: a key of `traits.TRAITS`; None where all are within the reference.
    value : float or None
        Of that trait.
    words : str
        What is unusual, for a person.
    """

    filename: str
    group: str | None
    unlike: float
    distance: float | None
    trait: str | None
    value: float | None
    words: str


def most_unlike(reference: Reference, batch: Batch) -> tuple[Unlike, ...]:
    """All the pictures of a batch, the most unlike first."""
    excess = _excess(reference.traits, batch.traits)
    distances = _distances(reference, batch)
    rows = []
    for index, filename in enumerate(batch.filenames):
        distance = None if distances is None else float(distances[index])
        place = int(excess[index].argmax())
        farthest = float(excess[index, place])
        trait = list(TRAITS)[place] if farthest > 1 else None
        words = [] if distance is None or distance <= 1 else ["unlike its nearest reference pictures"]
        if trait is not None:
            what, less, more = TRAITS[trait]
            middle = float(np.median(reference.traits[:, place]))
            value = float(batch.traits[index, place])
            words.append(f"{less if value < middle else more} ({what} {value:.4g}, usually {middle:.4g})")
        rows.append(
            Unlike(
                filename,
                None if batch.groups is None else str(batch.groups[index]),
                max(farthest, distance or 0.0),
                distance,
                trait,
                None if trait is None else float(batch.traits[index, place]),
                "; ".join(words),
            )
        )
    return tuple(sorted(rows, key=lambda row: -row.unlike))


def _excess(known: Floats, traits: Floats) -> Floats:
    """How far out each trait is, in units of the way from the median to the reference's own extremes; (n, 7)."""
    low, middle, high = np.quantile(known, [_TAIL, 0.5, 1 - _TAIL], axis=0)
    # A trait that hardly varies would make a hair's breadth a mile.
    least = 1e-3 * np.maximum(1e-3, np.abs(middle))
    way = np.where(traits < middle, np.maximum(middle - low, least), np.maximum(high - middle, least))
    return np.asarray(np.minimum(np.abs(traits - middle) / way, _MOST))


def _distances(reference: Reference, batch: Batch) -> Floats | None:
    """Distance to the nearest reference pictures, 1 being what 99 % of those have to pictures of other parts."""
    if reference.reduction is None or reference.embedding is None or batch.embedding is None:
        return None
    free = np.flatnonzero(~reference.basis)
    chosen = np.random.default_rng(0).permutation(free)[:MOST_NEIGHBOURHOOD]
    if len(np.unique(reference.groups[chosen])) < 2:
        return None
    known, parts = reference.embedding[chosen].astype(np.float64), reference.groups[chosen]
    own = _to_nearest(known, known, parts, parts)
    seen = reference.reduction.apply(batch.embedding).astype(np.float64)
    scale = float(np.quantile(own, 1 - 2 * _TAIL))
    distances = _to_nearest(seen, known, np.full(len(seen), -1), parts)
    return np.asarray(np.minimum(distances / max(scale, 1e-12), _MOST))


def _to_nearest(points: Floats, known: Floats, groups: NDArray[np.int64], parts: NDArray[np.int64]) -> Floats:
    """Mean distance to the nearest pictures of other parts; points (n, k), known (m, k)."""
    found = []
    for start in range(0, len(points), _ROWS):
        some = points[start : start + _ROWS]
        squares = np.square(some).sum(axis=1)[:, None] + np.square(known).sum(axis=1) - 2 * some @ known.T
        squares[groups[start : start + _ROWS, None] == parts] = np.inf
        nearest = np.partition(squares, min(NEIGHBOURS, len(known)) - 1, axis=1)[:, :NEIGHBOURS]
        roots = np.sqrt(np.maximum(nearest, 0))
        counted = np.isfinite(roots)
        found.append(np.where(counted, roots, 0).sum(axis=1) / np.maximum(1, counted.sum(axis=1)))
    return np.concatenate(found)
