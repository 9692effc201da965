"""What the workers of the tests run instead of the trainer: small functions, each with one manner or fault."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from fdsearch.errors import ResourceError
from fdsearch.training import life
from fdsearch.training.features import PrefixCache
from fdsearch.training.job import Job, Report, Result


class ResourceExhaustedError(Exception):
    """Has the name of TensorFlow's."""


def fit(job: Job, report: Report) -> Result:
    """Do what ``custom_act`` of the configuration names, as a trainer with ``custom_epochs`` epochs would."""
    return globals()[job.config.custom["custom_act"]](job, report)


def train(job: Job, report: Report) -> Result:
    """Report each epoch; say in the result which process and environment did it."""
    curve = []
    for epoch in range(job.config.custom.get("custom_epochs", 1)):
        curve.append({"epoch": epoch, "loss": 1.0 / (epoch + 1), "pid": os.getpid()})
        if not report(epoch, curve[-1]):
            return Result(job.id, "stopped", curve=tuple(curve), epochs=epoch + 1)
    logits = np.full((len(job.validation), job.n_classes), job.seed, np.float32)
    return Result(job.id, "done", logits, tuple(curve), len(curve), message=f"pid {os.getpid()}")


def environment(job: Job, report: Report) -> Result:
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_CPP_MIN_LOG_LEVEL", "CUDA_VISIBLE_DEVICES")
    return Result(job.id, "done", message=" ".join(f"{name}={os.environ.get(name)}" for name in names))


def modules(job: Job, report: Report) -> Result:
    return Result(job.id, "done", message=" ".join(sys.modules))


def echo(job: Job, report: Report) -> Result:
    print(f"said by {job.id}")
    return Result(job.id, "done", message=f"{job.labels.sum()} {job.pixels} {job.config.backbone}")


def kill_itself(job: Job, report: Report) -> Result:
    report(0, {"epoch": 0})
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def segfault(job: Job, report: Report) -> Result:
    ctypes.string_at(0)
    raise AssertionError("unreachable")


def die_with_a_child_left(job: Job, report: Report) -> Result:
    """The child holds this process's pipe open until the test removes the file."""
    assert job.save_to
    if os.fork() == 0:
        while job.save_to.exists():
            time.sleep(0.05)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def leave(job: Job, report: Report) -> Result:
    os._exit(3)


def silent(job: Job, report: Report) -> Result:
    """Hold on without a report, and tell by a file who does."""
    if job.save_to:
        job.save_to.with_suffix(f".{os.getpid()}").touch()
    time.sleep(600)
    raise AssertionError("unreachable")


def slow_but_alive(job: Job, report: Report) -> Result:
    """Be silent for long, with signs of life."""
    life.EVERY_S = 0.1
    end = time.monotonic() + 4
    while time.monotonic() < end:
        life.sign()
        time.sleep(0.02)
    return train(job, report)


def alive_until_stuck(job: Job, report: Report) -> Result:
    """Give signs for a while and then none."""
    life.EVERY_S = 0.1
    for _ in range(20):
        life.sign()
        time.sleep(0.02)
    return silent(job, report)


def store_activations(job: Job, report: Report) -> Result:
    """A prefix pass of a minute; `save_to` tells that it began, or that the lock is waited for."""
    life.EVERY_S = 0.1
    cache = PrefixCache(job.prefix_cache, {}, "avg", 600)

    def compute(layers: Any) -> Any:
        for _ in range(600):
            time.sleep(0.1)
            yield {"features": np.zeros((1, 4), np.float32)}

    assert job.save_to
    job.save_to.touch()
    cache.activations({"features": (4,)}, compute)
    return train(job, report)


def deaf_to_signals(job: Job, report: Report) -> Result:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(os.getpid(), number)
    return Result(job.id, "done")


def allocate(job: Job, report: Report) -> Result:
    """Keep 300 MB of its own, as TensorFlow's leak would."""
    kept: Any = sys.modules[__name__]
    kept.KEPT = np.ones(300 * 2**17)
    return Result(job.id, "done", message=f"pid {os.getpid()}")


def leak(job: Job, report: Report) -> Result:
    """Keep 40 MB more with each job."""
    kept: Any = sys.modules[__name__]
    kept.LEAKED = [*getattr(kept, "LEAKED", []), np.ones(40 * 2**17)]
    return Result(job.id, "done", message=f"pid {os.getpid()}")


def map_file(job: Job, report: Report) -> Result:
    """Read 300 MB through a mapped file: page cache, not memory of its own."""
    kept: Any = sys.modules[__name__]
    np.lib.format.open_memmap(job.pixels, mode="w+", dtype=np.float64, shape=(300 * 2**17,)).flush()
    kept.KEPT = np.load(job.pixels, mmap_mode="r")
    kept.KEPT.sum()
    return Result(job.id, "done", message=f"pid {os.getpid()}")


def not_finite(job: Job, report: Report) -> Result:
    report(0, {"epoch": 0, "loss": float("nan")})
    return Result(job.id, "done", np.array([[0.0, np.nan]], np.float32))


def infinite(job: Job, report: Report) -> Result:
    return Result(job.id, "done", np.array([[0.0, np.inf]], np.float32))


def wrong_type(job: Job, report: Report) -> Any:
    return {"status": "done"}


def wrong_job(job: Job, report: Report) -> Result:
    return Result("another", "done")


def unpicklable_result(job: Job, report: Report) -> Result:
    return Result(job.id, "done", curve=({"loss": lambda: 0},))


def unpicklable_row(job: Job, report: Report) -> Result:
    report(0, {"loss": lambda: 0})
    raise AssertionError("unreachable")


class _Trap:
    """Can be pickled but not unpickled outside a worker."""

    def __reduce__(self) -> Any:
        return os.stat, (str(Path(__file__).with_name("absent")),)


def unreadable_result(job: Job, report: Report) -> Result:
    return Result(job.id, "done", curve=({"loss": _Trap()},))


def raise_value_error(job: Job, report: Report) -> Result:
    report(0, {"epoch": 0})
    raise ValueError("a wrong value")


def raise_memory_error(job: Job, report: Report) -> Result:
    raise MemoryError(f"pid {os.getpid()}")


def raise_gpu_exhausted(job: Job, report: Report) -> Result:
    raise ResourceExhaustedError("OOM when allocating tensor on /job:localhost/replica:0/task:0/device:GPU:0")


def raise_cpu_exhausted(job: Job, report: Report) -> Result:
    raise ResourceExhaustedError("OOM when allocating tensor on /job:localhost/replica:0/task:0/device:CPU:0")


def raise_cuda_memory(job: Job, report: Report) -> Result:
    raise RuntimeError("failed call to cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY")


def raise_disk_full(job: Job, report: Report) -> Result:
    raise OSError(errno.ENOSPC, "No space left on device")


def write_files(job: Job, report: Report) -> Result:
    """Make a folder and a file, as a cache would."""
    assert job.save_to
    job.save_to.mkdir()
    (job.save_to / "file").touch()
    return Result(job.id, "done")


def grow(job: Job, report: Report) -> Result:
    """Take more memory than the group it is put into allows."""
    assert job.save_to
    (job.save_to / "cgroup.procs").write_text(str(os.getpid()))
    kept = [np.ones(2**20) for _ in range(64)]
    return Result(job.id, "done", message=str(len(kept)))


def raise_keyboard_interrupt(job: Job, report: Report) -> Result:
    raise KeyboardInterrupt


def raise_system_exit(job: Job, report: Report) -> Result:
    raise SystemExit(0)


def raise_resource_error(job: Job, report: Report) -> Result:
    raise ResourceError("no space left")
