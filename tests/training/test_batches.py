from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from fdsearch.training.batches import class_weights, effective_shares, epoch_batches, training_rows

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
