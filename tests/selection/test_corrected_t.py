from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_rel

from fdsearch.data.folds import Fold, grouped_stratified_folds, single_split
from fdsearch.metrics import UNPREDICTED, macro_f1
from fdsearch.selection.corrected_t import corrected_t

N_GROUPS, SHOTS = 60, 3
GROUPS = np.arange(N_GROUPS * SHOTS) // SHOTS
Y_TRUE = GROUPS % 2


def folds(n_repeats: int, n_splits: int = 5) -> list[list[Fold]]:
    return [grouped_stratified_folds(Y_TRUE, GROUPS, n_splits, repeat) for repeat in range(n_repeats)]


def predictions(n_repeats: int, wrong: float, seed: int) -> np.ndarray:
    missed = np.random.default_rng(seed).random((n_repeats, len(Y_TRUE))) < wrong
    return np.where(missed, 1 - Y_TRUE, Y_TRUE)


@pytest.mark.parametrize("n_repeats", [1, 2, 10])
@pytest.mark.parametrize("n_splits", [2, 5])
def test_is_students_paired_test_with_a_wider_variance(n_repeats: int, n_splits: int) -> None:
    repeats = folds(n_repeats, n_splits)
    a, b = predictions(n_repeats, 0.1, 1), predictions(n_repeats, 0.2, 2)
    result = corrected_t(Y_TRUE, a, b, repeats, GROUPS, 2)
    scores = [
        [macro_f1(Y_TRUE[fold.validation], one[repeat][fold.validation], 2) for one in (a, b)]
        for repeat, of_one in enumerate(repeats)
        for fold in of_one
    ]
    plain = ttest_rel(*np.transpose(scores))
    # Variance 1/J becomes 1/J + tested/trained; of K equal folds that is 1/(K - 1).
    widened = 1 + n_repeats * n_splits / (n_splits - 1)
    assert result["t"] == pytest.approx(plain.statistic / np.sqrt(widened))
    assert result["df"] == plain.df == n_repeats * n_splits - 1
    assert result["p"] > plain.pvalue
    back = corrected_t(Y_TRUE, b, a, repeats, GROUPS, 2)
    assert (back["t"], back["p"]) == pytest.approx((-result["t"], result["p"]))
    assert result["why"] == ""


def test_sizes_are_counted_in_parts() -> None:
    """Photographing the validated parts of one fold ten times more makes no larger test set."""
    repeats = folds(1)
    a, b = predictions(1, 0.1, 1), predictions(1, 0.2, 2)
    more = np.concatenate([np.arange(len(GROUPS)), np.repeat(repeats[0][0].validation, 9)])
    places = [np.flatnonzero(np.isin(more, fold.validation)) for fold in repeats[0]]
    wider = [[Fold(np.setdiff1d(np.arange(len(more)), place), place) for place in places]]
    once = corrected_t(Y_TRUE, a, b, repeats, GROUPS, 2)
    often = corrected_t(Y_TRUE[more], a[:, more], b[:, more], wider, GROUPS[more], 2)
    assert often["t"] == pytest.approx(once["t"])


def test_is_omitted_where_a_fold_lacks_a_class() -> None:
    y_true = np.where(GROUPS < 3, 2, Y_TRUE)  # three parts of the third class for five folds
    repeats = [grouped_stratified_folds(y_true, GROUPS, 5, 0)]
    result = corrected_t(y_true, [y_true], [Y_TRUE], repeats, GROUPS, 3)
    assert (result["t"], result["df"], result["p"]) == (None, None, None)
    assert "lacks a class" in result["why"]


def test_is_omitted_where_there_is_no_spread() -> None:
    assert "the same in every fold" in corrected_t(Y_TRUE, [Y_TRUE], [Y_TRUE], folds(1), GROUPS, 2)["why"]
    single = [[single_split(Y_TRUE, GROUPS, 0.3, 0)]]
    assert "single fold" in corrected_t(Y_TRUE, [Y_TRUE], [1 - Y_TRUE], single, GROUPS, 2)["why"]


def test_single_splits_of_several_repeats_are_folds_too() -> None:
    splits = [single_split(Y_TRUE, GROUPS, 0.3, seed) for seed in range(4)]
    a, b = predictions(4, 0.1, 1), predictions(4, 0.3, 2)
    for repeat, fold in enumerate(splits):
        a[repeat, fold.train] = b[repeat, fold.train] = UNPREDICTED
    assert corrected_t(Y_TRUE, a, b, [[fold] for fold in splits], GROUPS, 2)["df"] == 3


def test_repeats_must_match() -> None:
    with pytest.raises(ValueError, match="2 repeats of folds"):
        corrected_t(Y_TRUE, [Y_TRUE], [Y_TRUE], folds(2), GROUPS, 2)
