from __future__ import annotations

import math

import numpy as np
import pytest

from fdsearch.chance import chance
from fdsearch.metrics import UNPREDICTED, macro_f1


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1), (0.8, 0.15, 0.05)])
@pytest.mark.parametrize("claims", [(0.5, 0.5), (0.99, 0.01), (0.6, 0.3, 0.1)])
def test_is_what_shuffled_predictions_reach_on_average(shares: tuple[float, ...], claims: tuple[float, ...]) -> None:
    generator, n_classes = np.random.default_rng(0), max(len(shares), len(claims))
    y_true = np.repeat(np.arange(len(shares)), [round(400 * share) for share in shares])
    y_pred = np.repeat(np.arange(len(claims)), [round(400 * share) for share in claims])
    shuffled = [macro_f1(y_true, generator.permutation(y_pred), n_classes) for _ in range(400)]
    assert chance(y_true, y_pred, n_classes) == pytest.approx(np.mean(shuffled), abs=0.01)


def test_naming_one_class_only_has_less_chance_than_naming_each_as_often_as_it_occurs() -> None:
    y_true = [0, 0, 0, 1]
    assert chance(y_true, y_true, 2) == 0.5
    assert chance(y_true, [0] * 4, 2) == pytest.approx(0.75 / 1.75)


def test_what_was_not_predicted_does_not_count() -> None:
    assert chance([0, 0, 1, 1, 1], [0, 1, 1, 0, UNPREDICTED], 2) == chance([0, 0, 1, 1], [0, 1, 1, 0], 2)
    assert math.isnan(chance([0, 1], [UNPREDICTED] * 2, 2))


def test_classes_that_do_not_occur_are_left_out_as_in_macro_f1() -> None:
    assert chance([0, 0, 1, 1], [0, 1, 2, 1], 4) == pytest.approx((1 / 3 + 1 / 2) / 2)
