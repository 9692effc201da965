"""How a forward pass over many rows is cut into calls, and how the calls overlap. Used by `network`."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fdsearch.training.resident import on_gpu

CHUNK_BYTES = {"cpu": 1 << 22, "gpu": 1 << 24}
MAX_CHUNK = 256
"""A call takes as many rows at once as fill `CHUNK_BYTES` as float32, and at most `MAX_CHUNK`."""

AT_ONCE = 2
"""Calls side by side on a processor: at the end of each layer all threads wait for the slowest, of one call alone."""

Item = TypeVar("Item")
Found = TypeVar("Found")


def chunks(rows: NDArray[np.int64], shape: Sequence[int]) -> list[NDArray[np.int64]]:
    """Cut rows into those of each call; `shape` is that of one row."""
    most = CHUNK_BYTES["gpu" if on_gpu() else "cpu"]
    size = int(np.clip(most // (4 * int(np.prod(shape))), 1, MAX_CHUNK))
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def overlapping(call: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
    """Yield ``call(item)`` for each item, in order; on a processor with several threads, calls run side by side.

    The first call runs alone: it may have to trace. Leaving the iteration early waits for the calls that run.
    """
    left = iter(items)
    for item in left:
        yield call(item)
        break
    if not _several_threads():
        yield from map(call, left)
        return
    pool, waiting = ThreadPoolExecutor(AT_ONCE), deque[Future[Found]]()
    try:
        for item in left:
            waiting.append(pool.submit(call, item))
            if len(waiting) > AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _several_threads() -> bool:
    """Whether this process computes on a processor and was not told to use one thread."""
    return not on_gpu() and os.environ.get("TF_NUM_INTRAOP_THREADS") != "1"
