"""Which pairs are looked at: each picture's neighbours by details and by thumbnails, and a few strangers.

`comparison` registers them. The search itself is `candidates`'.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fdsearch.data.parts.candidates import BLOCK, Ints, all_pairs, directed, distinct, nearest, whitening
from fdsearch.data.parts.flatten import SHIFTS, Flat, Floats32, cropped, thumbnails
from fdsearch.data.parts.keypoints import Keypoints
from fdsearch.data.parts.vlad import learn

BY_DETAILS = 7
"""Neighbours of each picture by its keypoints. A part's further shots are reached through these, pair by pair."""

BY_THUMBNAILS = 4
"""Neighbours of each picture by thumbnails: they find blurred shots, which have no keypoints in common."""

STRANGERS = 4
"""Neighbours of each picture from far down the list: they show how far pictures of other parts agree here, also where
all near ones are shots of one part."""

RANKS = (30, 90)
"""Places in the list between which strangers are taken: behind all shots of the part, before other products. In small
sets from the second half of the list."""

FEW = 40
"""Pictures up to which all pairs are compared: whitening has nothing to learn from so few."""

THUMB_LENGTHS = (16, 128)
"""Least and most numbers of a whitened thumbnail; between them a tenth of the pictures."""

FITTED = 1_500
"""Pictures from which the whitening of thumbnails is learnt."""

SEED = 0
"""Of the sample: the same pictures give the same pairs."""


def neighbours(flats: Sequence[Flat], details: Sequence[Keypoints]) -> Ints:
    """Choose the pairs to compare, shape (m, 2), each once and ascending."""
    n = len(flats)
    if n <= FEW:
        return all_pairs(n)
    rows = np.arange(n)
    whitened = _whitened(thumbnails(flats))
    middle = whitened[len(SHIFTS) // 2]
    vectors = _vectors(details)
    searched = middle if vectors is None else vectors
    listed = nearest([searched], searched, RANKS[1], rows)
    places = np.linspace(min(RANKS[0], n // 2), listed.shape[1] - 1, STRANGERS).round().astype(int)
    chosen = (nearest(whitened, middle, BY_THUMBNAILS, rows), listed[:, :BY_DETAILS], listed[:, places])
    return distinct(np.concatenate([directed(rows, found) for found in chosen]))


def _whitened(thumbs: Floats32) -> list[Floats32]:
    """Thumbnails under all shifts, as unit vectors in which common content counts no more than the rest."""
    n = len(thumbs)
    sample = np.sort(np.random.default_rng(SEED).permutation(n)[:FITTED])
    n_directions = min(int(np.clip(n // 10, *THUMB_LENGTHS)), n // 4)
    whiten = whitening(cropped(thumbs)[sample], n_directions)
    return [whiten(cropped(thumbs, *shift)) for shift in SHIFTS]


def _vectors(details: Sequence[Keypoints]) -> Floats32 | None:
    """Whitened VLAD vectors; None where the set has too few keypoints."""
    learnt = learn(details)
    if learnt is None:
        return None
    vocabulary, whiten = learnt
    blocks = range(0, len(details), BLOCK)
    return np.concatenate([whiten(vocabulary.raw(details[start : start + BLOCK])) for start in blocks])
