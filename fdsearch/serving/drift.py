"""Whether a production batch looks as the development pictures did: tests that share one rate of false alarms.

`observed` makes the batch, `reference` holds the other side, `units` and `permutation` compare them; `label_shift` says
what changed in the classes and `unlike` which pictures differ most. Nothing here reads a file.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.serving.label_shift import Known, ShareEstimate, label_shift
from fdsearch.serving.observed import Batch
from fdsearch.serving.permutation import Statistic, anderson_darling, energy, finest, holm, p_values
from fdsearch.serving.reference import Reference
from fdsearch.serving.traits import TRAITS
from fdsearch.serving.units import alike, means, numbered
from fdsearch.serving.unlike import Unlike, most_unlike

EMBEDDING = "embedding"

_FEWEST = 5
"""Parts of the reference outside of the reduction's basis, and of a batch for its class shares."""

_MOST_UNITS = 1500
_WORK = 2e11
"""Products that shuffling may take at most, some ten seconds: the finer the level, the fewer units are drawn."""


@dataclass(frozen=True)
class Finding:
    """One comparison of the batch with the reference.

    Parameters
    ----------
    name : str
        ``embedding``, or a key of `traits.TRAITS`.
    p, p_adjusted : float
        By shuffling parts; adjusted for all the tests of this look (Holm).
    drifted : bool
        Whether `p_adjusted` is at most the look's level.
    reference, batch : float or None
        Medians over parts; None for the embedding.
    n_reference, n_batch : int
        Units that were compared.
    words : str
        What differs, for a person; empty where nothing was found.
    """

    name: str
    p: float
    p_adjusted: float
    drifted: bool
    reference: float | None
    batch: float | None
    n_reference: int
    n_batch: int
    words: str


@dataclass(frozen=True)
class Drift:
    """What a look found.

    Parameters
    ----------
    tests : tuple of Test
        The most telling first. A trait that all the pictures share is not tested.
    label_shift : tuple of ShareEstimate
    label_shift_why : str or None
        Why there is no estimate.
    pictures : tuple of Unlike
        All the pictures of the batch, the most unlike first.
    unit : {"part", "picture"}
        What the batch was taken to be made of.
    notes : tuple of str
        What weakens the answer.
    """

    tests: tuple[Finding, ...]
    label_shift: tuple[ShareEstimate, ...]
    label_shift_why: str | None
    pictures: tuple[Unlike, ...]
    unit: str
    notes: tuple[str, ...]

    @property
    def drifted(self) -> bool:
        """Whether any test found a difference; the estimates of class shares have no part in it."""
        return any(test.drifted for test in self.tests)

    def to_json(self) -> dict[str, Any]:
        """The findings as plain JSON values."""
        return {"drifted": self.drifted, **asdict(self)}


def look(reference: Reference, batch: Batch, level: float, random_state: int = 0) -> Drift:
    """Compare a batch with the reference.

    Parameters
    ----------
    reference : Reference
    batch : Batch
        One picture or more.
    level : float
        Probability of a false alarm of all the tests together, where the parts of the batch are drawn as those of the
        reference were. Parts are shuffled whole; a batch without groups is taken picture by picture, and then so is the
        reference, one picture for each part.
    random_state : int
        Of the shuffles: the same batch gets the same answer.

    Returns
    -------
    Drift
    """
    generator = np.random.default_rng(random_state)
    groups = np.arange(len(batch.filenames)) if batch.groups is None else numbered(batch.groups)
    compared = [of(reference, batch, groups, level, generator) for of in (_of_traits, _of_embedding)]
    n_tests = sum(len(each.statistics) for each in compared)
    p: dict[str, float] = {}
    for each in compared:
        p |= p_values(each.statistics, each.sizes, level / n_tests, generator)
    adjusted = holm(p)
    tests = [each.test(name, p[name], adjusted[name], level) for each in compared for name in each.statistics]
    shares, why = _shares(reference, batch, groups, random_state)
    return Drift(
        tests=tuple(sorted(tests, key=lambda test: (test.p_adjusted, test.p))),
        label_shift=shares,
        label_shift_why=why,
        pictures=most_unlike(reference, batch),
        unit="picture" if batch.groups is None else "part",
        notes=tuple(_notes(reference, batch, compared, level / max(1, n_tests))),
    )


@dataclass(frozen=True, eq=False)
class _Comparison:
    """Statistics of the same units, and the medians that put a trait's difference into words."""

    statistics: dict[str, Statistic]
    sizes: tuple[int, int]
    medians: dict[str, tuple[float, float]]

    def test(self, name: str, p: float, adjusted: float, level: float) -> Finding:
        drifted = adjusted <= level
        before, now = self.medians.get(name, (None, None))
        words = _words(name, before, now) if drifted else ""
        return Finding(name, p, adjusted, drifted, before, now, *self.sizes, words)


def _of_traits(
    reference: Reference, batch: Batch, groups: NDArray[np.int64], level: float, generator: np.random.Generator
) -> _Comparison:
    samples = alike([reference.groups, groups], _room(level), generator)
    sides = [means(reference.traits, samples[0]), means(batch.traits, samples[1])]
    values = np.concatenate(sides)
    varies = {name: index for index, name in enumerate(TRAITS) if np.ptp(values[:, index]) > 0}
    medians = [np.median(side, axis=0) for side in sides]
    return _Comparison(
        {name: anderson_darling(values[:, index]) for name, index in varies.items()},
        (len(samples[0]), len(samples[1])),
        {name: (float(medians[0][index]), float(medians[1][index])) for name, index in varies.items()},
    )


def _of_embedding(
    reference: Reference, batch: Batch, groups: NDArray[np.int64], level: float, generator: np.random.Generator
) -> _Comparison:
    # The parts that chose the directions lie along them as no other part does.
    free = np.flatnonzero(~reference.basis)
    if reference.reduction is None or reference.embedding is None or batch.embedding is None:
        return _Comparison({}, (0, 0), {})
    if len(np.unique(reference.groups[free])) < _FEWEST:
        return _Comparison({}, (0, 0), {})
    samples = alike([reference.groups[free], groups], _room(level), generator)
    known = reference.embedding[free]
    # As the reference was stored: what float16 rounds away is no difference.
    seen = reference.reduction.apply(batch.embedding).astype(np.float16).astype(np.float32)
    units = [*samples[0], *(rows + len(known) for rows in samples[1])]
    statistic = energy(np.concatenate([known, seen]), units)
    return _Comparison({EMBEDDING: statistic}, (len(samples[0]), len(samples[1])), {})


def _room(level: float) -> int:
    """Units that can be shuffled often enough for a level."""
    return int(min(_MOST_UNITS, max(50.0, (_WORK * level / (1 + len(TRAITS))) ** 0.5)))


def _words(name: str, before: float | None, now: float | None) -> str:
    if name == EMBEDDING or before is None or now is None:
        return "the pictures look different to the model"
    what, less, more = TRAITS[name]
    if before == now:
        return f"{what} is spread otherwise about the same median"
    return f"{less if now < before else more}: median {what} {now:.4g}, was {before:.4g}"


def _shares(
    reference: Reference, batch: Batch, groups: NDArray[np.int64], random_state: int
) -> tuple[tuple[ShareEstimate, ...], str | None]:
    asked = np.flatnonzero(~np.isnan(reference.probabilities).any(axis=1))
    missing = set(range(len(reference.classes))) - set(reference.labels[asked].tolist())
    if missing:
        names = ", ".join(reference.classes[label] for label in sorted(missing))
        return (), f"no out-of-fold probabilities of {names}"
    if (n_parts := int(groups.max()) + 1) < _FEWEST:
        return (), f"{n_parts} parts; shares of classes need {_FEWEST}"
    known = Known(
        reference.probabilities[asked].astype(np.float64), reference.labels[asked], numbered(reference.groups[asked])
    )
    return tuple(
        label_shift(reference.classes, known, batch.probabilities.astype(np.float64), groups, random_state)
    ), None


def _notes(reference: Reference, batch: Batch, compared: list[_Comparison], level: float) -> list[str]:
    notes = []
    if batch.groups is None:
        notes.append(
            "without --group each picture counts as a part of its own; several pictures of one part make false alarms"
        )
    if not any(EMBEDDING in each.statistics for each in compared):
        notes.append("no embedding to compare: only what a picture is apart from its content is tested")
    if any(each.statistics and finest(each.sizes) > level for each in compared):
        notes.append("too few parts: however different they are, no drift can be told from chance at this rate")
    return notes
