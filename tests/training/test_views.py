"""Fixed views: what they do to pictures, and that nothing but themselves decides it."""

from __future__ import annotations

import numpy as np
import pytest

from fdsearch.files import digest_json
from fdsearch.parameters import PARAMETERS, TEST_VIEWS
from fdsearch.training.views import FixedView, View, fixed_views

PICTURES = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)


def test_the_first_views_are_the_pictures_and_their_mirror_images() -> None:
    views = fixed_views(max(TEST_VIEWS))
    expected = [PICTURES, PICTURES[:, :, ::-1], PICTURES[:, ::-1], PICTURES[:, ::-1, ::-1]]
    rows = np.array([3, 0])
    for view, pictures in zip(views, expected, strict=True):
        np.testing.assert_array_equal(view.of(PICTURES, rows, rows), pictures[rows])
        np.testing.assert_array_equal(view.of_pictures(PICTURES), pictures)
    assert [view.changes for view in views] == [False, True, True, True]


def test_later_views_are_the_same_in_other_light() -> None:
    for view in fixed_views(12)[4:]:
        seen = np.asarray(view.of(PICTURES, np.arange(5), np.arange(5)))
        expected = np.round(255 * (np.flip(PICTURES, view.mirrored) / 255.0) ** view.gamma)
        assert np.abs(seen - expected).max() <= 1.0  # a half may be rounded the other way
        assert view.gamma != 1.0
    assert fixed_views(12)[4].gamma < 1.0 < fixed_views(12)[8].gamma


def test_every_admissible_number_of_views_has_its_own() -> None:
    most = next(n for n in range(100, 0, -1) if PARAMETERS["probe_views"].valid(n))
    identities = {digest_json(view.identity()) for view in fixed_views(most)}
    assert len(identities) == most
    assert digest_json(View(0, 0, 0.5, "flips", 5).identity()) not in identities


@pytest.mark.parametrize("n", [1, 3, 8])
def test_more_views_begin_with_the_fewer(n: int) -> None:
    assert fixed_views(16)[:n] == fixed_views(n)
    assert fixed_views(n)[0] == FixedView()
