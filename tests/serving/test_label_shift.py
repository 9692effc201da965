"""Shares of classes in a batch without labels: near the truth, and claimed only where it is not chance."""

from __future__ import annotations

import numpy as np
import pytest
from drift_sets import CLASSES, SHARES, Drawn, draw

from fdsearch.serving.label_shift import Known, ShareEstimate, label_shift


def estimates(known: Drawn, batch: Drawn) -> list[ShareEstimate]:
    inside = Known(known.probabilities.astype(float), known.labels, known.groups)
    return label_shift(CLASSES, inside, batch.probabilities.astype(float), batch.groups)


@pytest.mark.parametrize("shares", [(0.6, 0.2, 0.2), (0.0, 0.1, 0.9)])
def test_shares_are_found_by_both_methods(shares: tuple[float, ...]) -> None:
    known, batch = (draw(300, np.random.default_rng(seed), shares=each) for seed, each in ((0, SHARES), (1, shares)))
    truth = np.bincount(batch.labels, minlength=3) / len(batch.labels)
    found = estimates(known, batch)
    for row, share, before in zip(found, truth, SHARES, strict=True):
        assert row.share == pytest.approx(share, abs=0.05) and row.bbse == pytest.approx(share, abs=0.05)
        assert row.interval[0] <= share <= row.interval[1]
        assert row.claimed or abs(share - before) < 0.15
    assert found[0].claimed


def test_nothing_is_claimed_of_a_few_parts() -> None:
    """A class of a fifth of the parts is absent from four parts in two batches of five: no evidence."""
    known = draw(200, np.random.default_rng(0))
    for seed in range(20):
        batch = draw(5, np.random.default_rng(seed), shares=(0.0, 0.25, 0.75))
        assert not estimates(known, batch)[0].claimed


def test_pictures_of_one_part_are_one_piece_of_evidence() -> None:
    known = draw(200, np.random.default_rng(0))
    batch = draw(12, np.random.default_rng(3), pictures=10)
    alone = label_shift(
        CLASSES,
        Known(known.probabilities.astype(float), known.labels, known.groups),
        batch.probabilities.astype(float),
        np.arange(120),
    )
    for whole, single in zip(estimates(known, batch), alone, strict=True):
        assert np.ptp(whole.interval) > 1.5 * np.ptp(single.interval)


def test_false_claims_are_rare() -> None:
    """95 % of batches of the same source bring no claim at all; binomial bound (99.9 %) of 60."""
    claims = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        claims += any(row.claimed for row in estimates(draw(120, generator), draw(40, generator)))
    assert claims <= 9
