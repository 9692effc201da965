"""What balances the classes balances them once, and the shares tell it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsearch.training.balance import Balance, drawn_rows
from fdsearch.training.batches import class_weights, effective_shares
from fdsearch.training.stopping import Step
from fdsearch.trial import TrialConfig

LABELS = np.array([0] * 20 + [1] * 6 + [3] * 3)
SHARES = [20 / 29, 6 / 29, 0, 3 / 29]
EVEN = [1 / 3, 1 / 3, 0, 1 / 3]


def balance(**params):
    config = {"phases": "head_tail", "epochs": 8, "class_weighting": 0.0, **params}  # probe, head (2), tail (6)
    return Balance(TrialConfig.from_params(config), LABELS, 4)


def path(*phases):
    return [Step(phase, 0.1) for phase in phases]


@pytest.mark.parametrize(
    ("params", "of_probe", "in_descent"),
    [
        ({}, SHARES, SHARES),
        ({"class_weighting": 1.0}, EVEN, EVEN),
        ({"sampling": "balanced"}, SHARES, EVEN),
        ({"sampling": "balanced", "class_weighting": 1.0}, EVEN, EVEN),
        ({"loss": "logit_adjusted"}, SHARES, EVEN),
        ({"loss": "logit_adjusted", "class_weighting": 1.0}, EVEN, EVEN),
        ({"loss": "soft_f1", "class_weighting": 1.0}, EVEN, EVEN),
        ({"loss": "ldam"}, SHARES, SHARES),
    ],
)
def test_effective_shares(params, of_probe, in_descent):
    found = balance(**params)
    assert found.effective_shares([]) == pytest.approx(of_probe)
    assert found.effective_shares(path(1, 1, 2)) == pytest.approx(in_descent)


def test_by_default_weights_are_what_they_were():
    found = balance(class_weighting=0.7)
    expected = class_weights(LABELS, 4, 0.7)
    for weights in (found.of_probe, found.weights(1, 0), found.weights(2, 5)):
        np.testing.assert_array_equal(weights, expected)
    assert found.effective_shares(path(1)) == effective_shares(LABELS, expected)


def test_what_is_drawn_evenly_is_not_weighed_again():
    for params in ({"sampling": "balanced"}, {"loss": "soft_f1"}):
        found = balance(class_weighting=1.0, **params)
        np.testing.assert_array_equal(found.weights(2, 0), [1, 1, 0, 1])
        np.testing.assert_array_equal(found.of_probe, class_weights(LABELS, 4, 1.0))


@pytest.mark.parametrize(("share", "first"), [(0.0, 0), (0.25, 2), (0.5, 4), (0.95, 7)])
def test_weights_are_deferred_by_planned_epochs_over_the_phases(share, first):
    found = balance(class_weighting=1.0, deferred_weighting=share)
    planned = [(1, epoch) for epoch in range(2)] + [(2, epoch) for epoch in range(6)]
    weighted = [np.ptp(found.weights(*place)[[0, 1, 3]]) > 0 for place in planned]
    assert weighted == [False] * first + [True] * (8 - first)
    np.testing.assert_array_equal(found.of_probe, class_weights(LABELS, 4, 1.0))
    # A refit whose head phase took one epoch less goes on where the tail began.
    assert found.effective_shares(path(1, 2)) == pytest.approx(EVEN if first <= 2 else SHARES)
    assert found.effective_shares(path(1, 1, 2, 2, 2, 2, 2, 2)) == pytest.approx(EVEN)


def test_adjusted_logits_follow_what_deferred_weights_leave():
    found = balance(loss="logit_adjusted", class_weighting=1.0, deferred_weighting=0.5)
    assert found.shares(1, 0).tolist() == pytest.approx(SHARES)
    assert found.shares(2, 5).tolist() == pytest.approx(EVEN)


def test_effective_numbers_weigh_large_classes_less_severely():
    plain, effective = balance(class_weighting=1.0), balance(class_weighting=1.0, loss="class_balanced")
    n_mean = 29 / 3
    sizes = 1 - ((n_mean - 1) / n_mean) ** plain.counts[[0, 1, 3]]
    ratios = effective.weights(2, 0)[[0, 1, 3]] * sizes
    np.testing.assert_allclose(ratios, ratios[0])
    assert effective.weights(2, 0)[LABELS].mean() == pytest.approx(1)
    assert np.ptp(effective.of_probe[[0, 1, 3]]) < np.ptp(plain.of_probe[[0, 1, 3]])
    assert effective.effective_shares(path(1))[0] > 1 / 3


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array), st.integers(0, 2**31), st.integers(0, 9))
def test_balanced_sampling_draws_classes_and_their_rows_equally_often(labels, seed, epoch):
    rows = np.arange(len(labels))[::-1]
    drawn = drawn_rows(rows, labels, "balanced", seed, epoch)
    assert len(drawn) == len(rows)
    assert np.ptp(np.unique(labels[drawn], return_counts=True)[1]) <= 1
    times = np.bincount(drawn, minlength=len(labels))
    for label in np.unique(labels[drawn]):
        assert np.ptp(times[labels == label]) <= 1
    np.testing.assert_array_equal(drawn, drawn_rows(rows, labels, "balanced", seed, epoch))


def test_large_classes_show_other_rows_in_each_epoch():
    seen = {tuple(np.sort(drawn_rows(np.arange(29), LABELS, "balanced", 0, epoch))) for epoch in range(4)}
    assert len(seen) == 4
    np.testing.assert_array_equal(drawn_rows(np.arange(29), LABELS, "shuffled", 0, 3), np.arange(29))
