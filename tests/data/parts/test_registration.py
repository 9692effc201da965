"""Laying pictures over one another: known changes are found, and unlike pictures have none."""

from __future__ import annotations

import numpy as np
import pytest
from rephotograph import EACH, Change, rephotograph, textured

from fdsearch.data.parts.registration import register
from fdsearch.data.parts.views import view_of as view


@pytest.mark.parametrize("name", EACH)
def test_the_change_between_two_shots_is_found(name: str) -> None:
    first, change = textured(1), EACH[name]
    matrix = register(view(first).keypoints, view(rephotograph(first, change)).keypoints)
    assert matrix is not None
    wanted = change.matrix(first.shape)
    middle = np.array([first.shape[1] / 2, first.shape[0] / 2, 1])
    assert np.abs(matrix @ middle - wanted @ middle).max() < 1
    turns = [np.degrees(np.arctan2(each[1, 0], each[0, 0])) for each in (matrix, wanted)]
    assert abs(turns[0] - turns[1]) < 0.5
    scales = [np.hypot(each[0, 0], each[1, 0]) for each in (matrix, wanted)]
    assert abs(scales[0] - scales[1]) < 0.01


def test_unlike_pictures_cannot_be_laid_over_one_another() -> None:
    views = [view(textured(seed)) for seed in range(8)]
    assert all(register(a.keypoints, b.keypoints) is None for number, a in enumerate(views) for b in views[:number])


def test_pictures_without_detail_cannot_be_compared() -> None:
    blank = view(np.full((200, 200), 90, np.uint8))
    assert register(blank.keypoints, blank.keypoints) is None
    assert register(blank.keypoints, view(textured(1)).keypoints) is None
    tiny = view(textured(1)[:9, :12])
    assert register(tiny.keypoints, tiny.keypoints) is None


def test_too_large_a_turn_or_scale_is_not_believed() -> None:
    first = textured(3)
    for change in (Change(turn=40), Change(scale=0.6)):
        assert register(view(first).keypoints, view(rephotograph(first, change)).keypoints) is None
