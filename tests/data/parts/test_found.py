"""The method at size: ribbon bonds, three shots of each with known changes, and thousands of distinct look-alikes.

Minutes long; `benchmarks/parts.py` prints the same figures with more detail.
"""

from __future__ import annotations

import numpy as np
import pytest
from rephotograph import BOND_SIDE, bonds

from fdsearch.data.parts.evidence import Clues
from fdsearch.data.parts.finding import Parts, find_parts
from fdsearch.data.parts.glance import SIDE, shrunk
from fdsearch.progress import Silent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def found(n_parts: int, shots: int) -> tuple[Parts, np.ndarray]:
    taken, truth = bonds(n_parts, shots)
    pictures = [shrunk(picture, SIDE / BOND_SIDE, SIDE) for picture in taken]
    names = tuple(f"{number * 7919 % 1_000_003:x}.png" for number in range(len(pictures)))
    return find_parts(pictures, Clues(names), [str(n) for n in range(len(pictures))], Silent()), truth


def test_three_shots_of_each_of_a_thousand_parts() -> None:
    parts, truth = found(1000, 3)
    together = sum(size * (size - 1) // 2 for size in np.bincount(parts.ids))
    right = sum(
        size * (size - 1) // 2 for size in np.unique(np.stack([parts.ids, truth]), axis=1, return_counts=True)[1]
    )
    assert right >= 0.98 * 3000 and right >= 0.99 * together


def test_five_thousand_distinct_look_alikes() -> None:
    parts, _ = found(5000, 1)
    sizes = np.bincount(parts.ids)[parts.ids]
    assert (sizes > 1).sum() < 0.005 * 5000
