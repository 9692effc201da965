"""Pairs of pictures laid over one another, and how far each window agrees: by threads, or by processes where many.

`comparison` draws scores from it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.data.in_order import in_order, n_processors
from fdsearch.data.parts.candidates import Ints
from fdsearch.data.parts.opencv import opencv
from fdsearch.data.parts.registration import register
from fdsearch.data.parts.views import View, Views
from fdsearch.data.parts.windows import LEAST_WINDOWS, window_correlations
from fdsearch.errors import Fault, ResourceError
from fdsearch.progress import Progress

Windows = tuple[NDArray[np.float16], NDArray[np.float16]]
"""Correlations of a pair in the windows of its first and of its second picture; half precision keeps memory small."""

MANY = 5_000
"""Pairs from which processes compare them. A pair is some thirty calls on small arrays, between which threads wait for
one another: two of them took longer for 137,000 pairs than one did. Two processes start in two seconds."""

CHUNK = 500
"""Pairs that a process is given at a time: a third of a second of work."""


def agreements(views: Views, pairs: Ints, task: str, progress: Progress) -> list[Windows | None]:
    """Agreement of each pair seen from both sides, in order; None for a pair that cannot be compared.

    Parameters
    ----------
    views : Views
    pairs : ndarray of int64, shape (m, 2)
    task : str
        What `progress` calls the work.
    progress : Progress

    Raises
    ------
    ResourceError
        If a process was ended from outside, as a system without memory does, or OpenCV is not installed.
    """
    if len(pairs) < MANY or n_processors() < 2:
        with one_blas_thread():
            return list(in_order(lambda pair: _windows(views, pair), pairs.tolist(), task, progress))
    found: list[Windows | None] = []
    for part in _by_processes(views, pairs):
        found += part
        progress.track(task, len(found), len(pairs))
    return found


def one_blas_thread() -> AbstractContextManager[Any]:
    """Our threads each multiply small matrices, and BLAS must not start its own for each of them.

    Nor in the search: on two cores that others used too it took five times as long with two threads.
    """
    from threadpoolctl import threadpool_limits

    limited: AbstractContextManager[Any] = threadpool_limits(1, user_api="blas")
    return limited


def _by_processes(views: Views, pairs: Ints) -> Generator[list[Windows | None], None, None]:
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    chunks = (pairs[start : start + CHUNK] for start in range(0, len(pairs), CHUNK))
    # joblib keeps large arrays in one file that all its processes map, and each process to one BLAS thread.
    pool = Parallel(n_jobs=n_processors(), return_as="generator", batch_size=1, max_nbytes="1M", mmap_mode="r")
    try:
        yield from pool(delayed(_chunk)(views, chunk) for chunk in chunks)
    except BrokenExecutor as error:
        fault = Fault("a process that compares pictures", "it was ended from outside", "memory for it", "free memory")
        raise ResourceError("the pictures could not be compared", [fault]) from error
    finally:
        get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _chunk(views: Views, pairs: Ints) -> list[Windows | None]:
    return [_windows(views, pair) for pair in pairs.tolist()]


def _windows(views: Sequence[View], pair: Sequence[int]) -> Windows | None:
    first, second = views[pair[0]], views[pair[1]]
    matrix = register(first.keypoints, second.keypoints)
    if matrix is None:
        return None
    back = opencv().invertAffineTransform(matrix)
    here = window_correlations(first.flat, second.flat, matrix)
    there = window_correlations(second.flat, first.flat, back)
    if min((~np.isnan(here)).sum(), (~np.isnan(there)).sum()) < LEAST_WINDOWS:
        return None
    return here.astype(np.float16), there.astype(np.float16)
