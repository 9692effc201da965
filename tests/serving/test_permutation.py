"""p-values by shuffling whole units: true to their level, whatever pictures of one part have in common."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fdsearch.serving.permutation import anderson_darling, energy, finest, holm, p_values
from fdsearch.serving.units import MOST_PICTURES, alike, means, numbered


def exact(values: np.ndarray, b: int) -> float:
    """The p-value over all the ways to choose the second sample."""
    from itertools import combinations

    statistic, n = anderson_darling(values), len(values)
    rows = np.zeros((len(list(combinations(range(n), b))), n))
    for row, chosen in zip(rows, combinations(range(n), b), strict=True):
        row[list(chosen)] = 1
    truth = np.zeros((1, n))
    truth[:, n - b :] = 1
    return float((statistic(rows) >= statistic(truth)[0] - 1e-9).mean())


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=6, max_size=9), st.integers(2, 4))
def test_shuffling_agrees_with_all_the_ways(numbers: list[int], b: int) -> None:
    values = np.array(numbers, np.float64)
    found = p_values({"x": anderson_darling(values)}, (len(values) - b, b), 1e-4, np.random.default_rng(0))["x"]
    truth = exact(values, b)
    # Twenty shuffles that reach it end the shuffling: a relative error of about 1 / sqrt(20).
    assert found == pytest.approx(truth, rel=0.8, abs=2e-3)


@pytest.mark.filterwarnings("ignore:p-value:UserWarning")
@pytest.mark.parametrize("digits", [9, 1])
def test_anderson_darling_is_scholz_and_stephens(digits: int) -> None:
    """scipy's statistic for samples of these sizes is ours but for a factor and a constant, with ties too."""
    from scipy.stats import anderson_ksamp

    generator, ours, theirs = np.random.default_rng(0), [], []
    second = (np.arange(50) >= 30).astype(float)[np.newaxis]
    for _ in range(20):
        values = np.concatenate([generator.normal(size=30), generator.normal(generator.normal(), 1.5, 20)]).round(
            digits
        )
        ours.append(anderson_darling(values)(second)[0])
        theirs.append(anderson_ksamp([values[:30], values[30:]], variant="right").statistic)
    assert np.corrcoef(ours, theirs)[0, 1] == pytest.approx(1, abs=1e-9)


def test_energy_is_the_distance_of_its_definition() -> None:
    generator = np.random.default_rng(0)
    pictures = generator.normal(size=(14, 3))
    units = [np.array([2 * unit, 2 * unit + 1]) for unit in range(7)]
    second = np.array([[0, 0, 0, 0, 1, 1, 1]], np.float64)
    pairs = np.linalg.norm(pictures[:, None] - pictures, axis=2).reshape(7, 2, 7, 2).mean(axis=(1, 3))
    off = [(i, j) for i in range(7) for j in range(7) if i != j]
    within = [np.mean([pairs[i, j] for i, j in off if (i > 3) == (j > 3) == side]) for side in (False, True)]
    between = np.mean([pairs[i, j] for i, j in off if i <= 3 < j])
    found = energy(pictures, units)(second)[0] * np.abs(pairs).mean()
    assert found == pytest.approx(2 * between - sum(within), rel=1e-4)


@pytest.mark.parametrize("test", ["energy", "anderson_darling"])
def test_p_values_are_true_where_parts_are_units_and_false_where_pictures_are(test: str) -> None:
    """Four pictures that are nearly the same are one piece of evidence, not four."""
    by_part, by_picture = [], []
    for seed in range(150):
        generator = np.random.default_rng(seed)
        values = np.repeat(generator.normal(size=30), 4)[:, np.newaxis] + 0.1 * generator.normal(size=(120, 1))
        groups = np.repeat(np.arange(30), 4)
        for parts, found in ((groups, by_part), (np.arange(120), by_picture)):
            samples = alike([parts[:80], parts[80:]], 200, generator)
            units = [*samples[0], *(rows + 80 for rows in samples[1])]
            statistic = energy(values, units) if test == "energy" else anderson_darling(means(values, units)[:, 0])
            sizes = (len(samples[0]), len(samples[1]))
            found.append(p_values({"x": statistic}, sizes, 0.01, generator)["x"])
    # Within the binomial bound (99.9 %) of a rate of .1.
    assert np.mean(np.array(by_part) <= 0.1) <= 0.18
    assert np.mean(np.array(by_picture) <= 0.1) >= 0.3


def test_the_least_p_value_is_below_the_level_and_no_smaller_than_the_parts_allow() -> None:
    values = np.concatenate([np.zeros(40), np.ones(40)]) + np.arange(80) / 1000
    for level in (0.01, 1e-4):
        found = p_values({"x": anderson_darling(values)}, (40, 40), level, np.random.default_rng(0))["x"]
        assert 0.9 * level < found < level
    values = np.array([0.0, 0.1, 0.2, 5.0])
    found = p_values({"x": anderson_darling(values)}, (3, 1), 1e-3, np.random.default_rng(0))["x"]
    assert finest((3, 1)) == 0.25
    assert found >= 0.2


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), min_size=1, max_size=9))
def test_holm_keeps_the_order_and_never_lessens(p: dict[str, float]) -> None:
    adjusted = holm(p)
    assert adjusted.keys() == p.keys()
    assert all(p[name] <= adjusted[name] <= min(1, len(p) * max(p.values())) for name in p)
    ordered = sorted(p, key=lambda name: p[name])
    assert [adjusted[name] for name in ordered] == sorted(adjusted.values())


@given(
    st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=30), min_size=2, max_size=2),
    st.integers(2, 20),
    st.integers(0, 99),
)
def test_units_are_of_one_size_and_whole(samples: list[list[int]], most: int, seed: int) -> None:
    drawn = alike(samples, most, np.random.default_rng(seed))
    assert sum(map(len, drawn)) <= most and all(drawn)
    largest = min(MOST_PICTURES, *(int(np.median(np.bincount(numbered(groups)))) for groups in samples))
    for groups, units in zip(samples, drawn, strict=True):
        parts = [set(np.array(groups)[unit].tolist()) for unit in units]
        assert all(len(part) == 1 for part in parts)
        assert len(set().union(*parts)) == len(units)
        assert all(
            len(unit) == min(largest, np.sum(np.array(groups) == part.pop()))
            for unit, part in zip(units, parts, strict=True)
        )
