"""One vector per picture from its keypoints, so that pictures with the same details lie near each other.

VLAD (Jégou, Douze, Schmid and Pérez 2010, CVPR), each word's part normalised (Arandjelović and Zisserman 2013, CVPR),
whitened (Jégou and Chum 2012, ECCV). `candidates` searches among the vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fdsearch.data.parts.candidates import Whitening, whitening
from fdsearch.data.parts.flatten import Floats32
from fdsearch.data.parts.keypoints import Keypoints

WORDS = 256
"""Visual words. Among 3,000 ribbon bonds 99.5 % of the pairs were found with 256 words and 7 neighbours, 99.0 % with
128 words and 10 neighbours, 96.3 % with 64 words."""

DESCRIPTOR_SIDE = 48
"""Numbers of a descriptor that are kept, by principal components: they hold about nine tenths of its variance."""

LENGTH = 256
"""Numbers of the whitened vector, fewer for small sets (a quarter of the pictures)."""

FITTED = 15_000
"""Descriptors from which the words are learnt: some hundred per word."""

FITTED_PICTURES = 1_000
"""Pictures from which the whitening is learnt: its decomposition takes a second, and grows with the square of this."""

SEED = 0
"""Of the samples and of the k-means: the same pictures give the same parts."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """How descriptors become a vector.

    Parameters
    ----------
    mean : ndarray of float32, shape (128,)
    projection : ndarray of float32, shape (128, d)
    words : ndarray of float32, shape (k, d)
    """

    mean: Floats32
    projection: Floats32
    words: Floats32

    def raw(self, found: Sequence[Keypoints]) -> Floats32:
        """Unit vectors before whitening, shape (n, k * d); zeros for a picture without keypoints."""
        vectors = np.zeros((len(found), *self.words.shape), np.float32)
        half = 0.5 * (self.words * self.words).sum(axis=1)
        for row, each in enumerate(found):
            values = (each.unit - self.mean) @ self.projection
            word = (values @ self.words.T - half).argmax(axis=1)
            of_word = (word[None, :] == np.arange(len(self.words))[:, None]).astype(np.float32)
            vectors[row] = of_word @ values - of_word.sum(axis=1, keepdims=True) * self.words
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True) + np.float32(1e-6)
        rows = vectors.reshape(len(found), -1)
        unit: Floats32 = rows / (np.linalg.norm(rows, axis=1, keepdims=True) + np.float32(1e-6))
        return unit


def learn(found: Sequence[Keypoints]) -> tuple[Vocabulary, Whitening] | None:
    """Learn words and whitening from the set itself; None where it has too few keypoints for ten per word."""
    from sklearn.cluster import MiniBatchKMeans

    rng = np.random.default_rng(SEED)
    sample = _sample(found, rng)
    if len(sample) < 10 * WORDS:
        return None
    mean = sample.mean(axis=0)
    _, directions = np.linalg.eigh(np.cov((sample - mean).T))
    projection = directions[:, ::-1][:, :DESCRIPTOR_SIDE].astype(np.float32)
    means = MiniBatchKMeans(WORDS, n_init=1, batch_size=1024, max_iter=10, random_state=SEED)
    words = means.fit((sample - mean) @ projection).cluster_centers_.astype(np.float32)
    vocabulary = Vocabulary(mean, projection, words)
    rows = np.sort(rng.permutation(len(found))[:FITTED_PICTURES])
    raw = vocabulary.raw([found[row] for row in rows])
    return vocabulary, whitening(raw, min(LENGTH, max(2, len(found) // 4)))


def _sample(found: Sequence[Keypoints], rng: np.random.Generator) -> Floats32:
    """Different descriptors of pictures in random order, up to `FITTED`: equal ones would make empty words."""
    chosen, count = [np.zeros((0, 128), np.uint8)], 0
    for row in rng.permutation(len(found)):
        if count >= FITTED:
            break
        chosen.append(found[row].descriptors)
        count += len(found[row])
    if not count:
        return np.zeros((0, 128), np.float32)
    different = np.unique(np.concatenate(chosen), axis=0)
    return Keypoints(np.zeros((len(different), 2), np.float32), different).unit
