"""Agreement window by window, and what of it look-alikes share."""

from __future__ import annotations

import numpy as np
from rephotograph import EACH, Change, look_alike, rephotograph, textured

from fdsearch.data.parts.registration import register
from fdsearch.data.parts.threshold import FLOOR
from fdsearch.data.parts.views import View, view_of
from fdsearch.data.parts.windows import beyond, n_windows, window_correlations

SAME = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


def windows(first: View, second: View) -> np.ndarray:
    matrix = register(first.keypoints, second.keypoints)
    assert matrix is not None
    return window_correlations(first.flat, second.flat, matrix)


def agreement(first: View, second: View) -> float:
    """Without look-alikes."""
    found = windows(first, second)
    return beyond(found, np.zeros_like(found))


def test_two_shots_of_a_part_agree_after_every_change_and_from_both_sides() -> None:
    first = view_of(textured(2))
    for name, change in EACH.items():
        second = view_of(rephotograph(textured(2), change))
        assert min(agreement(first, second), agreement(second, first)) > FLOOR, name


def test_a_picture_agrees_with_itself_in_every_window() -> None:
    flat = view_of(textured(4)).flat
    whole = window_correlations(flat, flat, SAME)
    assert len(whole) == n_windows(flat)
    np.testing.assert_allclose(whole, 1, atol=1e-3)


def test_a_shift_lowers_the_agreement() -> None:
    flat = view_of(textured(5)).flat
    moved = window_correlations(flat, flat, SAME + np.array([[0, 0, 9], [0, 0, 9]], np.float32))
    assert beyond(moved, np.zeros_like(moved)) < 0.3


def test_windows_that_one_picture_does_not_show_are_unknown() -> None:
    flat = view_of(textured(4)).flat
    half = window_correlations(flat, flat[:, : flat.shape[1] // 2], SAME)
    assert abs(np.isnan(half).mean() - 0.5) < 0.1
    blank = np.zeros_like(flat)
    assert np.isnan(window_correlations(flat, blank, SAME)).all()


def test_what_look_alikes_share_does_not_count() -> None:
    change = Change(right=2, turn=1, gamma=1.3, noise=3, blur=0.5)
    views = [view_of(look_alike(seed)) for seed in range(9)]
    again = view_of(rephotograph(look_alike(0), change))
    usual = np.mean([np.nan_to_num(windows(views[0], other)) for other in views[2:]], axis=0)
    same, other = windows(views[0], again), windows(views[0], views[1])
    blind = np.zeros_like(usual)
    assert beyond(other, blind) > 0.8, "without looking at look-alikes any of them passes"
    assert beyond(same, usual) > FLOOR > beyond(other, usual)
