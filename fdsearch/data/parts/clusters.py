"""From accepted pairs to parts: connected pictures, cut where fewer than half of the pairs hold.

Average linkage (UPGMA: Sokal and Michener 1958, Univ. Kansas Sci. Bull. 38). Connection alone collapses: one wrong pair
in a hundred chains most of a large set together.
"""

from __future__ import annotations

import numpy as np

from fdsearch.data.parts.candidates import Ints, all_pairs
from fdsearch.data.parts.evidence import Bools

CHECKED = 60
"""Pictures of a connected set up to which every pair of it is registered; larger ones are cut by the known pairs."""

MOST_LINKED = 3_000
"""Connected pictures that are no part in any case, but look-alikes; their table of distances would take 70 MB."""

HALF = 0.5
"""Share of the pairs between two sets that must hold for them to be one part."""


def connected(n: int, links: Ints) -> Ints:
    """Number of the connected set of each picture.

    Examples
    --------
    >>> connected(4, np.array([[0, 2], [2, 3]])).tolist()
    [0, 1, 0, 0]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(links):
        return np.arange(n, dtype=np.int64)
    graph = coo_array((np.ones(len(links), np.int8), (links[:, 0], links[:, 1])), shape=(n, n))
    sets: Ints = connected_components(graph.tocsr(), directed=False)[1].astype(np.int64)
    return sets


def unknown_pairs(sets: Ints, known: Ints) -> Ints:
    """Pairs inside the connected sets of 3 to `CHECKED` pictures that are not among the known ones (each ascending)."""
    n, seen = len(sets), set(map(tuple, known.tolist()))
    missing = [
        (int(members[a]), int(members[b]))
        for members in _members(sets)
        if 3 <= len(members) <= CHECKED
        for a, b in all_pairs(len(members))
        if (int(members[a]), int(members[b])) not in seen
    ]
    return np.array(missing, np.int64).reshape(-1, 2) if n else np.zeros((0, 2), np.int64)


def cut(sets: Ints, pairs: Ints, accepted: Bools) -> tuple[Ints, int]:
    """Divide connected sets by average linkage over their accepted pairs.

    Parameters
    ----------
    sets : ndarray of int64, shape (n,)
        As `connected` gives them.
    pairs : ndarray of int64, shape (m, 2)
    accepted : ndarray of bool, shape (m,)
        A pair that is not among them counts as not accepted.

    Returns
    -------
    ndarray of int64, shape (n,), and int
        Number of each picture's part, by first appearance, and how many pictures were left alone because too many were
        connected.
    """
    parts = np.full(len(sets), -1, np.int64)
    links, given_up, next_part = _links_by_set(sets, pairs[accepted]), 0, 0
    for members in _members(sets):
        if len(members) > MOST_LINKED:
            parts[members] = next_part + np.arange(len(members))
            given_up += len(members)
        elif len(members) <= 2:
            parts[members] = next_part
        else:
            parts[members] = next_part + _divided(members, links.get(int(sets[members[0]]), []))
        next_part = int(parts.max()) + 1
    return numbered(parts), given_up


def numbered(parts: Ints) -> Ints:
    """Numbers by first appearance.

    Examples
    --------
    >>> numbered(np.array([7, 2, 7, 0])).tolist()
    [0, 1, 0, 2]
    """
    _, first, inverse = np.unique(parts, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse.reshape(-1)]


def _members(sets: Ints) -> list[Ints]:
    """Rows of each connected set, ascending, the sets by number."""
    order = np.argsort(sets, kind="stable")
    return [rows for rows in np.split(order, np.flatnonzero(np.diff(sets[order])) + 1) if len(rows)]


def _links_by_set(sets: Ints, links: Ints) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for a, b in links.tolist():
        found.setdefault(int(sets[a]), []).append((a, b))
    return found


def _divided(members: Ints, links: list[tuple[int, int]]) -> Ints:
    """Part of each member, from 0."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    place = {int(row): number for number, row in enumerate(members)}
    apart = 1 - np.eye(len(members))
    for a, b in links:
        apart[place[a], place[b]] = apart[place[b], place[a]] = 0
    tree = linkage(squareform(apart), "average")
    return np.asarray(fcluster(tree, HALF, "distance"), np.int64) - 1
