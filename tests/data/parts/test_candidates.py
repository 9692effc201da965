"""The search: exact, in blocks, and blind to what all pictures share."""

from __future__ import annotations

import numpy as np
import pytest

from fdsearch.data.parts import candidates
from fdsearch.data.parts.candidates import directed, nearest, whitening


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("block", [1, 3, 512])
def test_neighbours_are_those_of_a_full_table(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "BLOCK", block)
    rows = unit(np.random.default_rng(0).normal(size=(40, 8)))
    found = nearest([rows], rows, 5, np.arange(40))
    table = rows @ rows.T
    np.fill_diagonal(table, -9)
    assert found.tolist() == np.argsort(-table, axis=1)[:, :5].tolist()


def test_the_best_version_of_a_query_counts() -> None:
    targets = np.eye(4, dtype=np.float32)
    assert nearest([targets[[0]], targets[[3]] * 2], targets, 1).tolist() == [[3]]


def test_no_more_neighbours_than_there_are() -> None:
    rows = np.eye(3, dtype=np.float32)
    assert nearest([rows], rows, 9, np.arange(3)).shape == (3, 2)
    assert nearest([rows[:1]], rows[:1], 9, np.arange(1)).shape == (1, 0)
    assert directed(np.arange(1), np.zeros((1, 0), np.int64)).shape == (0, 2)


def test_whitening_makes_common_content_count_no_more_than_the_rest() -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(size=(1, 30)) * rng.normal(0, 50, (200, 1))
    rows = (common + rng.normal(size=(200, 30))).astype(np.float32)
    white = whitening(rows, 30)(rows)
    np.testing.assert_allclose(np.linalg.norm(white, axis=1), 1, atol=1e-4)
    spread = np.linalg.svd(white - white.mean(axis=0), compute_uv=False)
    assert spread[0] < 2 * spread[-1]


def test_equal_rows_have_nothing_to_whiten() -> None:
    rows = np.ones((5, 4), np.float32)
    assert np.isfinite(whitening(rows, 4)(rows)).all()
