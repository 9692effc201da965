"""Generated parts for the tests of drift: numbers that pictures of one part share, and a reference made of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fdsearch.metrics import softmax
from fdsearch.serving.observed import Batch
from fdsearch.serving.reference import Reference, save

CLASSES = ("bent", "crack", "free")
SHARES = (0.2, 0.2, 0.6)
DIMENSIONS = 200


@dataclass(frozen=True)
class Drawn:
    """Pictures of `n_parts` parts."""

    embedding: NDArray[np.float32]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    traits: NDArray[np.float64]

    def batch(self, *, grouped: bool = True) -> Batch:
        groups = [f"part {group}" for group in self.groups] if grouped else None
        names = [f"{index}.png" for index in range(len(self.labels))]
        return Batch(names, groups, self.embedding, self.probabilities, self.traits)


def draw(
    n_parts: int,
    generator: np.random.Generator,
    *,
    pictures: int = 3,
    shares: tuple[float, ...] = SHARES,
    gray: float = 0.0,
    moved: float = 0.0,
) -> Drawn:
    """Parts of three classes whose pictures have most in common with one another.

    `gray` is added to the mean gray, `moved` to every number of the embedding.
    """
    groups = np.repeat(np.arange(n_parts), pictures)
    labels = generator.choice(len(shares), n_parts, p=shares)[groups]
    centres = np.random.default_rng(1).normal(size=(len(shares), DIMENSIONS))
    part = generator.normal(size=(n_parts, DIMENSIONS))[groups]
    embedding = centres[labels] + part + 0.3 * generator.normal(size=part.shape) + moved
    # The logits of a classifier that knows the source but not the batch: log likelihoods and the shares of training.
    score = 2 * np.eye(len(shares))[labels] + generator.normal(size=(len(labels), len(shares)))
    logits = 2 * score + np.log(SHARES)
    traits = np.column_stack(
        [
            100 + gray + 10 * generator.normal(size=n_parts)[groups] + generator.normal(size=len(groups)),
            20 + 2 * generator.normal(size=n_parts)[groups],
            0.3 * generator.normal(size=n_parts)[groups],
            np.full(len(groups), 640.0),
            np.full(len(groups), 480.0),
            np.zeros(len(groups)),
            np.abs(generator.normal(size=len(groups))) / 100,
        ]
    )
    return Drawn(embedding.astype(np.float32), labels, groups, softmax(logits).astype(np.float32), traits)


def reference_of(drawn: Drawn, folder: Path) -> Reference:
    """What `save` writes of some pictures, read again."""
    path = save(
        folder,
        embedding=drawn.embedding,
        labels=drawn.labels,
        groups=drawn.groups,
        probabilities=drawn.probabilities,
        traits=drawn.traits,
        classes=CLASSES,
    )
    return Reference.parse(path.read_bytes(), str(path))
