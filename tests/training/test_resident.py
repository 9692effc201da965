from __future__ import annotations

import numpy as np
import pytest

from fdsearch.training.resident import on_device


@pytest.fixture
def mapped(tmp_path):
    path = tmp_path / "array.npy"
    np.save(path, np.arange(60, dtype=np.float16).reshape(6, 10))
    return np.load(path, mmap_mode="r")


@pytest.mark.parametrize(
    "part", [np.s_[:, :5], np.s_[:, 5:], np.s_[:, :], np.s_[:3], np.s_[3:], np.s_[::2, :5], np.s_[:, 2:7]]
)
def test_parts_of_one_file_are_told_apart(mapped, part):
    on_device(mapped[:, :5], np.arange(2))  # one of them is there already
    rows = np.array([2, 0])
    there, places = on_device(mapped[part], rows)
    np.testing.assert_array_equal(np.asarray(there)[places], mapped[part][rows])


def test_a_part_goes_there_once(mapped):
    first, second = (on_device(mapped[:, 5:], np.arange(2))[0] for _ in range(2))
    assert first is second
