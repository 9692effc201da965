"""The worker process: takes jobs from a pipe, runs them, reports after each epoch, and never outlives its parent.

Started by `process` as ``python -m fdsearch.execution.worker FD TARGET BOUND``; imported by nobody. The parent sends a
`Job`, for each `Reported` one bool, and unasked a False that ends the job; the worker sends `Reported`, now and then
`Alive`, and once per job `Finished`.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fdsearch.execution.events import TRAINER, Alive, Finished, Reported
from fdsearch.execution.failures import checked, from_exception, no_device
from fdsearch.execution.slots import DEVICE_MEMORY
from fdsearch.training import life
from fdsearch.training.job import CurveRow, Job, Report, Result

Target = Callable[[Job, Report], Result]
PR_SET_PDEATHSIG = 1
OOM_SCORE = "500"
NEEDED = ("tensorflow", "keras", "sklearn.linear_model")


def main(handle: int, target: str, bound: bool) -> None:
    """Serve jobs until the parent closes the pipe or dies.

    Parameters
    ----------
    handle : int
        File descriptor of the pipe.
    target : str
        ``module:function`` that runs a job.
    bound : bool
        Whether the kernel shall kill this process when the thread that started it ends.
    """
    faulthandler.enable()  # a crash inside native code leaves its Python stack in the log
    _settle(bound)
    connection: Connection[Any, Any] = Connection(handle)
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()
    if target == TRAINER and not os.environ.get("CUDA_VISIBLE_DEVICES"):  # else the device's share is set first
        _load()
    finished: float | None = None
    missing: str | None = None
    while True:
        job = inbox.get()
        if not isinstance(job, Job):
            continue  # a no that came too late for the job before
        waited = "" if finished is None else f" after {time.monotonic() - finished:.3f} s idle"
        sys.stderr.write(f"worker {os.getpid()}: job {job.id}{waited}\n")
        if finished is None and target == TRAINER:
            missing = _open_device()
        if missing is None:
            _serve(job, target, connection, inbox)
        else:
            connection.send(Finished(no_device(job.id, missing)))
        _give_back()
        finished = time.monotonic()


def _settle(bound: bool) -> None:
    """Make the parent the only one who decides over this process, apart from SIGKILL."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Terminals and service managers signal whole groups; the parent hears it too and ends its workers in order.
        signal.signal(number, signal.SIG_IGN)
    os.umask(os.umask(0o027) | 0o027)  # pictures and models are nobody else's business, whatever the parent's mask is
    if sys.platform != "linux":
        return
    if bound:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(OSError):
        # When memory runs out the kernel shall take a worker, which is replaced, and not the parent.
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)


def _give_back() -> None:
    """Let the kernel have the pages that the job has freed and the C library keeps: hundreds of megabytes."""
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)


def _load() -> None:
    """Load what every job needs, which takes seconds, while the parent may still be reading its data."""
    for package in NEEDED:
        with contextlib.suppress(Exception):  # the trainer says what is missing, or what is wrong with it
            importlib.import_module(package)


def _open_device() -> str | None:
    """Take this worker's share of its GPU and no more, before anything opens the device.

    Returns
    -------
    str or None
        The GPU, if TensorFlow does not find it: it would train on the processors without a word.
    """
    address, limit = os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get(DEVICE_MEMORY)
    if not address:
        return None
    try:
        import tensorflow as tf
    except ImportError:
        return None  # the trainer says what to install
    devices = tf.config.list_physical_devices("GPU")
    if limit is not None:
        share = tf.config.LogicalDeviceConfiguration(memory_limit=int(limit))
        for device in devices:
            tf.config.set_logical_device_configuration(device, [share])
    return None if devices else address


def _listen(connection: Connection[Any, Any], inbox: queue.SimpleQueue[Any]) -> None:
    """Pass messages on; end the process with the pipe, whatever the main thread is computing."""
    try:
        while True:
            inbox.put(connection.recv())
    except (EOFError, ConnectionError):
        os._exit(0)
    except BaseException:
        # A message that cannot be unpickled: without this thread the process would be deaf.
        traceback.print_exc()
        os._exit(1)


def _serve(job: Job, target: str, connection: Connection[Any, Any], inbox: queue.SimpleQueue[Any]) -> None:
    """Run one job and send its result, whatever the target does short of ending the process."""
    rows: list[CurveRow] = []
    started = signed = time.monotonic()

    def report(epoch: int, row: CurveRow) -> bool:
        rows.append(row)
        connection.send(Reported(job.id, epoch, row))
        return bool(inbox.get())

    def sign() -> bool:
        nonlocal signed
        if time.monotonic() - signed >= life.EVERY_S:
            signed = time.monotonic()
            connection.send(Alive(job.id))
        return inbox.empty()  # unasked, the parent says nothing but no

    try:
        with life.heard_by(sign):
            result = checked(job, _resolve(target)(job, report))
    except life.Stopped:
        result = Result(job.id, "stopped", curve=tuple(rows), seconds=time.monotonic() - started)
    except BaseException as error:
        traceback.print_exc()
        result = from_exception(job.id, error, _places(job))
    if result.status == "failed":
        result = replace(result, curve=result.curve or tuple(rows), seconds=time.monotonic() - started)
    try:
        connection.send(Finished(result))
    except ConnectionError:
        os._exit(0)  # the parent is gone, and `_listen` about to notice
    except Exception as error:  # pickling may raise anything
        connection.send(Finished(from_exception(job.id, error)))


def _places(job: Job) -> list[Path]:
    """Where a job writes."""
    return [place for place in (job.prefix_cache, job.save_to, getattr(job, "checkpoint", None)) if place is not None]


def _resolve(target: str) -> Target:
    module, _, name = target.partition(":")
    function: Target = getattr(importlib.import_module(module), name)
    return function


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3] == "bound")
