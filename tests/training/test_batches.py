from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from fdsearch.training.batches import (
    class_weights,
    effective_numbers,
    effective_shares,
    epoch_batches,
    mixtures,
    training_rows,
)

LABELS = np.array([0] * 20 + [1] * 6 + [3] * 3)
labels_strategy = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array)


@given(labels_strategy, st.floats(0, 1))
def test_weights_are_one_on_average_and_zero_for_absent_classes(labels, exponent):
    weights = class_weights(labels, 5, exponent)
    assert weights[labels].mean() == pytest.approx(1)
    assert (weights[np.setdiff1d(np.arange(5), labels)] == 0).all()


def test_full_exponent_is_scikit_learns_balanced():
    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=LABELS)
    np.testing.assert_allclose(class_weights(LABELS, 4, 1.0)[[0, 1, 3]], expected)


def test_no_exponent_weighs_all_alike():
    assert class_weights(LABELS, 4, 0.0).tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize(("exponent", "shares"), [(0.0, [20 / 29, 6 / 29, 0, 3 / 29]), (1.0, [1 / 3, 1 / 3, 0, 1 / 3])])
def test_effective_shares_are_what_the_loss_sees(exponent, shares):
    assert effective_shares(LABELS, class_weights(LABELS, 4, exponent)) == pytest.approx(shares)


@given(labels_strategy, st.integers(0, 2**31))
def test_balanced_subsample_takes_the_rarest_count_of_each_class(labels, seed):
    rows = np.arange(len(labels))[::-1]
    taken = training_rows(labels, rows, "balanced", seed)
    present, counts = np.unique(labels[taken], return_counts=True)
    assert present.tolist() == np.unique(labels).tolist()
    assert set(counts) == {np.unique(labels, return_counts=True)[1].min()}
    assert len(set(taken)) == len(taken)
    np.testing.assert_array_equal(taken, training_rows(labels, rows, "balanced", seed))


def test_without_subsample_all_rows_are_trained_on():
    assert training_rows(LABELS, np.array([5, 2, 9]), "none", 0).tolist() == [2, 5, 9]


@given(st.integers(1, 200), st.integers(1, 40), st.integers(0, 5))
def test_an_epoch_sees_each_row_once_in_batches_of_nearly_equal_size(n, batch_size, epoch):
    rows = np.arange(n) * 3
    batches = epoch_batches(rows, batch_size, seed=1, epoch=epoch)
    sizes = [len(batch) for batch in batches]
    assert sorted(np.concatenate(batches)) == rows.tolist()
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        return np.concatenate(epoch_batches(np.arange(50), 8, seed, epoch)).tolist()

    assert order(0, 0) == order(0, 0)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}) == 4


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=8).map(np.array).filter(np.any))
def test_effective_numbers_are_at_most_the_counts_and_in_their_order(counts):
    found, mean = effective_numbers(counts.astype(float)), counts[counts > 0].mean()
    assert (found <= np.minimum(counts, mean) + 1e-6).all()
    assert (found[counts > 0] >= 1 - 1e-9).all()
    np.testing.assert_array_equal(np.argsort(counts, kind="stable"), np.argsort(found.round(9), kind="stable"))


@given(st.lists(st.integers(1, 20), min_size=1, max_size=5), st.floats(0.05, 1.0), st.integers(0, 3))
def test_partners_are_in_the_batch_and_a_picture_is_mostly_itself(sizes, alpha, epoch):
    partners, mixes = mixtures(sizes, alpha, 1, epoch)
    ends = np.cumsum([0, *sizes])
    for first, last in itertools.pairwise(ends):
        assert sorted(partners[first:last]) == list(range(last - first))
    assert ((mixes >= 0.5) & (mixes <= 1)).all()
    for first, again in zip((partners, mixes), mixtures(sizes, alpha, 1, epoch), strict=True):
        np.testing.assert_array_equal(first, again)


def test_mixtures_are_beta_distributed_and_differ_between_epochs():
    own = np.concatenate([mixtures([1000], 0.4, 0, epoch)[1] for epoch in range(20)])
    expected = np.random.default_rng(0).beta(0.4, 0.4, 10**6)
    quantiles = [0.1, 0.5, 0.9]
    np.testing.assert_allclose(
        np.quantile(own, quantiles), np.quantile(np.maximum(expected, 1 - expected), quantiles), atol=0.01
    )
    assert not np.array_equal(own[:1000], own[1000:2000])
    assert [len(array) for array in mixtures([5, 4], 0.0, 0, 0)] == [0, 0]
