"""What each worker gets of this machine: threads, one GPU or a share of it, a share of the memory.

All but the host's memory is environment, because TensorFlow reads it once, while it loads. `pool` fills the slots.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fdsearch.errors import ConfigError, Fault, ResourceError
from fdsearch.execution.gpus import Gpu

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
DEVICE_MEMORY = "FDSEARCH_DEVICE_MEMORY_MB"
"""Environment variable that tells a worker how much of its GPU TensorFlow may take, MiB."""
MEMORY_SHARE = 0.8
"""Share of the host's memory that all workers together may keep between jobs."""
DEVICE_SHARE = 0.9
"""Share of a GPU's memory that its workers divide."""
CONTEXT_MB = 500
"""What CUDA and its libraries take of a worker's share before TensorFlow takes anything, MiB."""


@dataclass(frozen=True)
class Slot:
    """The place of one worker.

    Parameters
    ----------
    number : int
        From 0; on GPUs there may be more slots than workers.
    gpu : Gpu or None
        None trains on the processors.
    share_mb : int or None
        The worker's part of the GPU's memory, MiB; None where nobody says what the GPU has, and the worker takes
        what it needs.
    """

    number: int
    gpu: Gpu | None = None
    share_mb: int | None = None

    @property
    def place(self) -> str:
        """Where a job in this slot runs, for a person."""
        return f"gpu {self.gpu.name}" if self.gpu else f"cpu {self.number}"


def deal(n_workers: int, gpus: Sequence[Gpu]) -> tuple[Slot, ...]:
    """The slots that workers may take: as many on each GPU as one must carry where all have room.

    Those on one GPU have equal shares of it. There may be more slots than workers, so that a worker need not wait for
    one GPU while another is idle.

    Raises
    ------
    ConfigError
        If several workers would use one slice of a GPU (MIG): nobody says what memory it has to be shared.

    Examples
    --------
    >>> slots = deal(3, [Gpu("0", "GPU-a", 16_000), Gpu("1", "GPU-b", 8_000)])
    >>> [(slot.place, slot.share_mb) for slot in slots]
    [('gpu 0', 7200), ('gpu 1', 3600), ('gpu 0', 7200), ('gpu 1', 3600)]
    """
    if not gpus:
        return tuple(Slot(number) for number in range(n_workers))
    sharers = -(-n_workers // len(gpus))
    if sharers > 1 and any(gpu.address.startswith("MIG-") for gpu in gpus):
        fault = Fault("workers", str(n_workers), f"at most {len(gpus)}", "one worker for each slice of a GPU (MIG)")
        raise ConfigError("a slice of a GPU cannot be shared", [fault])
    rounds = [gpu for _ in range(sharers) for gpu in gpus]
    return tuple(Slot(number, gpu, _share(gpu, sharers)) for number, gpu in enumerate(rounds))


def _share(gpu: Gpu, sharers: int) -> int | None:
    return None if gpu.total_mb is None else int(gpu.total_mb * DEVICE_SHARE) // sharers


def worker_environment(slot: Slot, threads: int, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of the worker in one slot.

    Parameters
    ----------
    slot : Slot
        The worker sees its GPU and no other.
    threads : int
        Limit of each thread pool.
    environment : mapping
        The parent's.
    """
    own = {name: value for name, value in environment.items() if name != DEVICE_MEMORY}
    own.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    own.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    own["CUDA_VISIBLE_DEVICES"] = slot.gpu.address if slot.gpu else ""
    if slot.share_mb is None:
        # Without growth the first worker on a GPU takes all of its memory and the next one fails.
        own.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    else:
        own["TF_FORCE_GPU_ALLOW_GROWTH"] = "false"  # growth and a limit exclude each other
        own[DEVICE_MEMORY] = str(max(slot.share_mb - CONTEXT_MB, slot.share_mb // 2))
    # The worker imports what the parent would: the same fdsearch, the same plugins' neighbours.
    own["PYTHONPATH"] = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    own["PYTHONUNBUFFERED"] = "1"
    return own


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
