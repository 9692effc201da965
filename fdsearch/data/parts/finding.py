"""Which pictures show the same part: from scored pairs to groups with a confidence.

`comparison` scores pairs by their pictures, `threshold` says which scores mean something, `evidence` helps where they
leave a doubt, `clusters` makes groups. `proposals` keeps the answer, `rows` asks for it with the rows of a manifest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fdsearch.data.parts.candidates import Ints
from fdsearch.data.parts.clusters import connected, cut, numbered, unknown_pairs
from fdsearch.data.parts.comparison import Comparison, compare
from fdsearch.data.parts.evidence import Bools, Clues, log_ratios
from fdsearch.data.parts.threshold import FalseShares, Floats, Null
from fdsearch.imaging import Gray
from fdsearch.progress import Progress

GROUPER_VERSION = "2"
"""Part of every stored proposal's key: whatever changes a group changes it."""

FALSE = 0.0075
"""Expected share of wrong pairs among those that the pictures alone join: less than the 1 % that is wanted, since the
tail is an estimate, and a wrong pair costs more than a missed one."""

DOUBTFUL = 0.20
"""Expected share of wrong pairs down to which a pair is in doubt, and may be joined with the help of clues."""

CERTAIN = 0.95
"""Probability from which a doubtful pair is joined."""

REJECTED = 0.50
"""Expected share of wrong pairs from which the pictures reject a pair."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Which pictures show the same part, as far as it can be seen.

    Parameters
    ----------
    ids : ndarray of int64, shape (n,)
        Number of each picture's part, by first appearance.
    confidence : ndarray of float64, shape (n,)
        Mean probability that a picture shows the part of the others of its group; of a picture alone, that it shows the
        part of no other. 0 where there is no readable picture.
    links : ndarray of int64, shape (m, 2)
        Accepted pairs inside the groups, ascending.
    scores : ndarray of float64, shape (m,)
        Probability that each such pair shows one part.
    threshold : float or None
        Score of the pictures from which pairs were joined; None where no threshold kept the share of wrong pairs at
        `FALSE`: then only copies are together.
    notes : tuple of str
    """

    ids: Ints
    confidence: Floats
    links: Ints
    scores: Floats
    threshold: float | None
    notes: tuple[str, ...]

    @property
    def n(self) -> int:
        """Number of parts."""
        return int(self.ids.max()) + 1 if len(self.ids) else 0


def find_parts(
    pictures: Sequence[Gray],
    clues: Clues,
    pixels: Sequence[str | None],
    progress: Progress,
) -> Parts:
    """Group pictures of the same part by what they show, their names, order and time; labels are not asked.

    Parameters
    ----------
    pictures : sequence of ndarray of uint8, shape (h, w); length n
        Small copies at one scale, as `glance` makes them; of rows without a readable picture, anything.
    clues : Clues
        Names and times of the n rows.
    pixels : sequence of str or None, length n
        Digest of each row's decoded pixels: copies are one part for certain. None where there is no readable picture.
    progress : Progress

    Returns
    -------
    Parts

    Raises
    ------
    ResourceError
        If OpenCV is not installed.
    """
    first: dict[str, int] = {}
    leader = np.array([first.setdefault(digest, row) if digest else row for row, digest in enumerate(pixels)], np.int64)
    rows = np.array(sorted(first.values()), np.int64)
    seen = compare([pictures[row] for row in rows], progress)
    return _spread(_decide(seen, clues.of(rows), rows, progress), rows, leader, pixels)


def _decide(seen: Comparison, clues: Clues, places: Ints, progress: Progress) -> Parts:
    """Group different pictures, `places` their rows in the table."""
    n = len(seen.views)
    false = FalseShares.of(seen.scores, Null.of(seen.ordinary))
    strict, loose = false.threshold(FALSE), false.threshold(DOUBTFUL)
    if strict is None or loose is None:
        alone = _alone(n, seen.pairs, 0.5 * (1 - false.at(seen.scores)))
        nothing = np.zeros((0, 2), np.int64)
        why = (
            "no pair of pictures stands out as one part, and only copies were joined: each part has one picture, or "
            "its pictures cannot be told from those of look-alikes"
        )
        return Parts(np.arange(n, dtype=np.int64), alone, nothing, np.zeros(0), None, (why,))
    sure = seen.scores >= strict
    probability = _probabilities(seen, false, (strict, loose), clues, places)
    helped = ~sure & (seen.scores >= loose) & (probability >= CERTAIN)
    sets = connected(n, seen.pairs[sure | helped])
    # What the search had not proposed is looked at now; between pictures that others connect, less is proof enough.
    more = unknown_pairs(sets, seen.pairs)
    scores = seen.more(more, progress)
    pairs = np.concatenate([seen.pairs, more])
    probability = np.concatenate([probability, _unaided(false.at(scores))])
    inside = sets[pairs[:, 0]] == sets[pairs[:, 1]]
    accepted = np.concatenate([sure | helped, scores >= strict])
    all_scores = np.concatenate([seen.scores, scores])
    accepted |= inside & (all_scores >= loose)
    probability = np.where(accepted, np.maximum(probability, 1 - false.at(all_scores)), probability)
    ids, given_up = cut(sets, pairs, accepted)
    together = ids[pairs[:, 0]] == ids[pairs[:, 1]]
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    kept = order[(accepted & together)[order]]
    confidence = _confidence(ids, pairs, probability)
    notes = tuple(_doubt_notes(int(helped.sum()), given_up))
    return Parts(ids, confidence, pairs[kept], probability[kept], strict, notes)


def _probabilities(
    seen: Comparison, false: FalseShares, thresholds: tuple[float, float], clues: Clues, places: Ints
) -> Floats:
    """Of each candidate pair: by its pictures where they are sure, with the clues where they are in doubt."""
    strict, loose = thresholds
    shares = false.at(seen.scores)
    probability = _unaided(shares)
    doubtful = (seen.scores < strict) & (seen.scores >= loose)
    if doubtful.any():
        ratios = log_ratios(clues, seen.pairs, seen.scores >= strict, shares >= REJECTED, places)
        wrong = float(np.clip(false.between(strict, loose), 0.01, 0.99))
        odds = np.log((1 - wrong) / wrong) + ratios[doubtful]
        probability[doubtful] = 1 / (1 + np.exp(-odds))
    return probability


def _unaided(shares: Floats) -> Floats:
    """From the share of wrong pairs among all that score as high; a pair that is not joined is at most even."""
    return np.where(shares <= FALSE, 1 - shares, np.minimum(1 - shares, 0.5))


def _alone(n: int, pairs: Ints, probability: Floats) -> Floats:
    """One less the largest probability of any of a picture's pairs."""
    largest = np.zeros(n)
    for side in (0, 1):
        np.maximum.at(largest, pairs[:, side], probability)
    return 1 - largest


def _confidence(ids: Ints, pairs: Ints, probability: Floats) -> Floats:
    n = len(ids)
    total, count = np.zeros(n), np.zeros(n)
    inside = ids[pairs[:, 0]] == ids[pairs[:, 1]]
    for side in (0, 1):
        np.add.at(total, pairs[inside, side], probability[inside])
        np.add.at(count, pairs[inside, side], 1)
    alone = _alone(n, pairs[~inside], probability[~inside])
    grouped = np.bincount(ids, minlength=n)[ids] > 1
    return np.where(grouped, total / np.maximum(count, 1), alone)


def _spread(found: Parts, rows: Ints, leader: Ints, pixels: Sequence[str | None]) -> Parts:
    """From different pictures to all rows: copies join their first, rows without a picture stay alone."""
    n = len(leader)
    readable: Bools = np.array([digest is not None for digest in pixels], bool)
    place = np.zeros(n, np.int64)
    place[rows] = np.arange(len(rows))
    ids = np.where(readable, found.ids[place[leader]] if len(rows) else 0, len(rows) + np.arange(n))
    copies = np.flatnonzero(readable & (leader != np.arange(n)))
    confidence = np.where(readable, found.confidence[place[leader]] if len(rows) else 0.0, 0.0)
    # A picture that is alone but for its copies is with them for certain.
    sizes = np.bincount(found.ids, minlength=1)
    for row in copies:
        if sizes[found.ids[place[leader[row]]]] == 1:
            confidence[[row, leader[row]]] = 1.0
    pairs = np.concatenate([rows[found.links], np.stack([leader[copies], copies], axis=1)]).astype(np.int64)
    scores = np.concatenate([found.scores, np.ones(len(copies))])
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return Parts(numbered(ids), confidence, pairs[order], scores[order], found.threshold, found.notes)


def _doubt_notes(helped: int, given_up: int) -> list[str]:
    notes = []
    if helped:
        notes.append(f"pairs in doubt by their pictures and joined by names, order or time: {helped}")
    if given_up:
        notes.append(f"pictures that look too much alike to be told apart, left alone: {given_up}; name their parts")
    return notes
