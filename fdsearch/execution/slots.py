"""What each worker gets of this machine: threads, one GPU, a share of the memory.

All but the memory is environment, because TensorFlow reads it once, while it loads.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from fdsearch.errors import ResourceError

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
MEMORY_SHARE = 0.8
"""Share of the host's memory that all workers together may keep between jobs."""


def worker_environment(slot: int, threads: int, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of the worker in one slot.

    Parameters
    ----------
    slot : int
        From 0; where there are GPUs, the worker sees one of them, dealt in turn.
    threads : int
        Limit of each thread pool.
    environment : mapping
        The parent's.
    """
    own = dict(environment)
    own.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    own.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Without growth the first worker on a GPU takes all of its memory and the next one fails.
    own.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    gpus = visible_gpus(environment)
    if gpus:
        own["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
    # The worker imports what the parent would: the same fdsearch, the same plugins' neighbours.
    own["PYTHONPATH"] = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    own["PYTHONUNBUFFERED"] = "1"
    return own


def visible_gpus(environment: Mapping[str, str], drivers: Path = Path("/proc/driver/nvidia/gpus")) -> list[str]:
    """Names of the GPUs a child may be given: those the environment leaves, else all that the driver lists.

    Examples
    --------
    >>> visible_gpus({"CUDA_VISIBLE_DEVICES": "2,3"})
    ['2', '3']
    >>> visible_gpus({"CUDA_VISIBLE_DEVICES": ""})
    []
    """
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    try:
        return [str(index) for index, _ in enumerate(drivers.iterdir())]
    except OSError:
        return []


def threads_per_worker(n_workers: int) -> int:
    """Cores this process may use (affinity and container quota counted), divided among the workers; at least 1."""
    try:
        from joblib import cpu_count
    except ImportError as error:
        raise ResourceError("training needs joblib: pip install fdsearch[train]") from error
    return max(1, int(cpu_count()) // n_workers)


def memory_limit_mb(n_workers: int) -> int:
    """Each worker's part of `MEMORY_SHARE` of the host's or the container's memory, MiB."""
    try:
        import psutil
    except ImportError as error:
        raise ResourceError("training needs psutil: pip install fdsearch[train]") from error
    total = int(psutil.virtual_memory().total)
    # psutil tells the host's memory; in a container the control group's limit comes first. It may be the word "max".
    with contextlib.suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return int(total * MEMORY_SHARE) // n_workers // 2**20
