from __future__ import annotations

import threading

import numpy as np
import pytest

from fdsearch.training import passes
from fdsearch.training.passes import overlapping


@pytest.fixture(params=[True, False], ids=["several threads", "one thread"])
def several(request, monkeypatch):
    monkeypatch.setattr(passes, "_several_threads", lambda: request.param)
    return request.param


@pytest.mark.parametrize("n", [0, 1, 2, 3, 17])
def test_results_come_in_order_and_each_call_once(several, n):
    called = []

    def call(item):
        called.append(item)
        return item * item

    assert list(overlapping(call, iter(range(n)))) == [item * item for item in range(n)]
    assert sorted(called) == list(range(n))


def test_calls_meet_after_the_first_which_is_alone(monkeypatch):
    monkeypatch.setattr(passes, "_several_threads", lambda: True)
    together, running, most = threading.Barrier(2, timeout=10), set(), []

    def call(item):
        running.add(item)
        most.append((item, len(running)))
        if item in (1, 2):
            together.wait()  # passes only where both are here at once
        running.discard(item)

    list(overlapping(call, range(3)))
    assert most[0] == (0, 1)
    assert max(number for _, number in most) == 2


def test_what_a_call_raises_is_raised_here(several):
    def call(item):
        if item == 2:
            raise ValueError("torn")
        return item

    found = overlapping(call, range(9))
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(ValueError, match="torn"):
        list(found)


def test_few_items_are_taken_ahead_and_none_after_leaving(several):
    taken = []
    found = overlapping(lambda item: item, (taken.append(item) or item for item in range(100)))
    for _ in range(5):
        next(found)
    found.close()
    n_taken = len(taken)
    assert n_taken <= 5 + passes.AT_ONCE + 1
    assert len(taken) == n_taken


@pytest.mark.parametrize("shape", [(224, 224, 1), (8,), (4000, 4000, 3)])
def test_chunks_hold_every_row_once(shape):
    rows = np.arange(1000, 2000)
    parts = passes.chunks(rows, shape)
    np.testing.assert_array_equal(np.concatenate(parts), rows)
    assert max(map(len, parts)) <= passes.MAX_CHUNK
