"""Parts that appear more than once: copies, other shots, labels that disagree, and given splits that they cross.

`data.parts` says which pictures show one part; here that is laid beside labels and beside splits that are already
there. `data.audit` asks; nothing is refused, every line is a finding for a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.data.groups import identical
from fdsearch.data.parts.clusters import connected
from fdsearch.data.parts.finding import Parts


def duplicate_groups(
    filenames: Sequence[str], labels: Sequence[str | None], pixels: Sequence[str | None], parts: Parts
) -> list[dict[str, Any]]:
    """List the sets of pictures that are the same or show the same part.

    Parameters
    ----------
    filenames : sequence of str, length n
    labels : sequence of str or None, length n
        None for a picture whose label must not be looked at, because it is sealed.
    pixels : sequence of str or None, length n
        Digest of each picture's decoded pixels; None where there is no readable picture.
    parts : Parts
        Of the same n pictures.

    Returns
    -------
    list of dict
        ``kind`` (``exact``: the same pixels; ``near``: pictures of one part that are not all the same), ``filenames``
        and ``labels`` (parallel), ``conflict`` (whether the labels that may be looked at differ), ``confidence`` (0 to
        1, of the least certain picture of the set). Exact sets first, each in the order of the rows.

    Examples
    --------
    >>> parts = Parts(np.array([0, 0, 1]), np.array([0.9, 0.8, 1.0]), np.array([[0, 1]]), np.array([0.9]), 0.5, ())
    >>> [found] = duplicate_groups(["a", "b", "c"], ["good", "bent", "good"], ["x", "y", "z"], parts)
    >>> found["kind"], found["filenames"], found["conflict"], found["confidence"]
    ('near', ['a', 'b'], True, 0.8)
    """
    found = [_set("exact", rows, filenames, labels, 1.0) for rows in identical(pixels)]
    for rows in parts_of_several(parts):
        digests = {pixels[row] for row in rows}
        if len(digests) > 1 or None in digests:
            found.append(_set("near", rows, filenames, labels, confidence(parts, rows)))
    return found


def parts_of_several(parts: Parts) -> list[list[int]]:
    """The rows of each part that has two or more pictures, parts in the order of their first picture."""
    rows: dict[int, list[int]] = {}
    for row, part in enumerate(parts.ids.tolist()):
        rows.setdefault(part, []).append(row)
    return [members for members in rows.values() if len(members) > 1]


def confidence(parts: Parts, rows: Iterable[int]) -> float:
    """How sure it is that these pictures show one part, 0 to 1: the least certain of them decides."""
    return float(np.min(parts.confidence[list(rows)]))


def leaks(filenames: Sequence[str], parts: Parts, given: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """List the parts whose pictures lie on several sides of a split that is already there.

    Parameters
    ----------
    filenames : sequence of str, length n
    parts : Parts
    given : mapping of str to sequence of str, length n
        Each split's name with the side of every picture; empty where the split does not say.

    Returns
    -------
    list of dict
        ``split``, ``filenames`` and ``sides`` (parallel; the pictures that have a side), ``confidence``.

    Examples
    --------
    >>> parts = Parts(np.array([0, 0, 0]), np.ones(3), np.array([[0, 1], [0, 2], [1, 2]]), np.ones(3), 0.5, ())
    >>> [leak] = leaks(["a", "b", "c"], parts, {"set": ["train", "test", ""], "fold": ["1", "1", "1"]})
    >>> leak["split"], leak["filenames"], leak["sides"]
    ('set', ['a', 'b'], ['train', 'test'])
    """
    found: list[dict[str, Any]] = []
    several = parts_of_several(parts)
    for split, sides in given.items():
        for part in several:
            rows = [row for row in part if sides[row]]
            if len({sides[row] for row in rows}) > 1:
                found.append(
                    {
                        "split": split,
                        "filenames": [filenames[row] for row in rows],
                        "sides": [sides[row] for row in rows],
                        "confidence": confidence(parts, rows),
                    }
                )
    return found


def proposals(filenames: Sequence[str], parts: Parts, groups: Sequence[str]) -> list[dict[str, Any]]:
    """List the parts that were found, the least certain first, beside the groups that are in use.

    Parameters
    ----------
    filenames : sequence of str, length n
    parts : Parts
    groups : sequence of str, length n
        Name of the group that each picture is in now.

    Returns
    -------
    list of dict
        ``group`` (the one in use of the part's first picture), ``filenames``, ``now`` (parallel: the groups in use),
        ``confidence``, ``in_use`` (whether all of them are in one group already).
    """
    found: list[dict[str, Any]] = [
        {
            "group": groups[rows[0]],
            "filenames": [filenames[row] for row in rows],
            "now": [groups[row] for row in rows],
            "confidence": confidence(parts, rows),
            "in_use": len({groups[row] for row in rows}) == 1,
        }
        for rows in parts_of_several(parts)
    ]
    return sorted(found, key=lambda proposal: float(proposal["confidence"]))


def joined(groups: NDArray[np.int64], parts: Parts) -> NDArray[np.int64]:
    """The groups in use, those joined that a part connects; shape (n,).

    Examples
    --------
    >>> parts = Parts(np.array([0, 1, 1, 2]), np.ones(4), np.array([[1, 2]]), np.ones(1), 0.5, ())
    >>> joined(np.array([0, 0, 1, 2]), parts).tolist()
    [0, 0, 0, 1]
    """
    first = [np.unique(ids, return_index=True, return_inverse=True)[1:] for ids in (groups, parts.ids)]
    rows = np.arange(len(groups))
    return connected(len(groups), np.concatenate([np.column_stack([start[of], rows]) for start, of in first]))


def _set(
    kind: str, rows: Sequence[int], filenames: Sequence[str], labels: Sequence[str | None], sure: float
) -> dict[str, Any]:
    own = [labels[row] for row in rows]
    return {
        "kind": kind,
        "filenames": [filenames[row] for row in rows],
        "labels": own,
        "conflict": len({label for label in own if label is not None}) > 1,
        "confidence": sure,
    }
