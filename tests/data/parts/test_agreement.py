"""Laying pairs of pictures over one another gives the same by threads and by processes."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from rephotograph import Change, rephotograph, textured

from fdsearch.data.parts import agreement
from fdsearch.data.parts.candidates import all_pairs
from fdsearch.data.parts.views import Views, view_of
from fdsearch.errors import ResourceError
from fdsearch.progress import Silent


class Heard(Silent):
    def __init__(self) -> None:
        self.said: list[tuple[str, int, int]] = []

    def track(self, task: str, done: int, total: int) -> None:
        self.said.append((task, done, total))


@pytest.fixture(scope="module")
def views() -> Views:
    pictures = [
        textured(1),
        rephotograph(textured(1), Change(right=2, down=1)),
        textured(2),
        np.zeros((40, 60), np.uint8),
    ]
    return Views.of([view_of(picture) for picture in pictures])


def test_packed_views_are_those_that_were_packed() -> None:
    given = [view_of(textured(seed)) for seed in range(3)] + [view_of(np.zeros((40, 60), np.uint8))]
    packed = Views.of(given)
    assert len(packed) == len(given) and not len(packed[3].keypoints)
    for one, other in zip(packed, given, strict=True):
        np.testing.assert_array_equal(one.flat, other.flat)
        np.testing.assert_array_equal(one.keypoints.points, other.keypoints.points)
        np.testing.assert_array_equal(one.keypoints.descriptors, other.keypoints.descriptors)
    assert [view.flat.shape for view in packed[2:]] == [view.flat.shape for view in given[2:]]
    assert len(Views.of([])) == 0


def test_processes_find_what_threads_find_in_the_same_order(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = all_pairs(len(views))
    by_threads = agreement.agreements(views, pairs, "comparing", Silent())
    monkeypatch.setattr(agreement, "MANY", 1)
    monkeypatch.setattr(agreement, "CHUNK", 4)
    monkeypatch.setattr(agreement, "n_processors", lambda: 2)
    heard = Heard()
    by_processes = agreement.agreements(views, pairs, "comparing", heard)
    assert heard.said == [("comparing", 4, 6), ("comparing", 6, 6)]
    assert [found is None for found in by_processes] == [found is None for found in by_threads]
    assert by_threads[0] is not None and by_threads[2] is None
    for one, other in zip(by_processes, by_threads, strict=True):
        for side, expected in zip(one or (), other or (), strict=True):
            np.testing.assert_array_equal(side, expected)


def test_a_process_that_is_killed_is_told_as_a_lack_of_resources(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "MANY", 1)
    monkeypatch.setattr(agreement, "n_processors", lambda: 2)
    monkeypatch.setattr(agreement, "_chunk", kill_this_process)
    with pytest.raises(ResourceError, match="could not be compared"):
        agreement.agreements(views, all_pairs(len(views)), "comparing", Silent())


def kill_this_process(views: Views, pairs: np.ndarray) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
