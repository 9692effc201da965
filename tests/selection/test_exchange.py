"""How often chance gives a gain: every exchange is tried where that can be done, else as many as make no difference."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fdsearch.metrics import macro_f1
from fdsearch.selection.exchange import exchange_share


def by_hand(y: np.ndarray, a: np.ndarray, b: np.ndarray, groups: np.ndarray, k: int) -> float:
    """The share, from predictions that really change places."""
    parts, gains = np.unique(groups), []
    for kept in itertools.product((True, False), repeat=len(parts)):
        stays = np.isin(groups, parts[np.array(kept)])
        gains.append(macro_f1(y, np.where(stays, a, b), k) - macro_f1(y, np.where(stays, b, a), k))
    return float(np.mean(np.array(gains) >= gains[0] - 1e-9))


@pytest.mark.parametrize("seed", range(6))
def test_every_exchange_counts_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 7, 25)
    y, a, b = rng.integers(0, 3, (3, 25))  # classes within a part may differ, and one may be absent
    y[:] = np.minimum(y, 2 - seed % 2)
    assert exchange_share(y, a, b, groups, 3) == by_hand(y, a, b, groups, 3)


def test_many_parts_are_exchanged_at_random_and_the_same_each_time() -> None:
    y = np.arange(60) % 3
    right, half = y, np.where(np.arange(60) < 30, y, (y + 1) % 3)
    share = exchange_share(y, right, half, np.arange(60), 3)
    assert 0 < share < 0.001 and share == exchange_share(y, right, half, np.arange(60), 3)
    assert exchange_share(y, half, right, np.arange(60), 3) == 1.0


def test_equal_models_seem_better_as_seldom_as_promised() -> None:
    rng, n, few = np.random.default_rng(0), 400, 0
    y = np.repeat([0, 1, 2], [14, 6, 2])
    for _ in range(n):
        a, b = (np.where(rng.random(22) < 0.7, y, rng.integers(0, 3, 22)) for _ in range(2))
        few += exchange_share(y, a, b, np.arange(22), 3) <= 0.05
    assert few <= 0.05 * n + 2 * np.sqrt(0.05 * 0.95 * n)
