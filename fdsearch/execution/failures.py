"""How a job failed: from an exception, from a process's end, or from a result that cannot be used.

The classes are those of `Result.failure`. The worker and the parent both classify, each what it can see.
"""

from __future__ import annotations

import errno
import signal
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np

from fdsearch.errors import FdsearchError
from fdsearch.training.job import Job, Result

DEVICE_MARKS = ("device:GPU", "GPU_", "CUDA_ERROR_OUT_OF_MEMORY")
MEMORY_MARKS = ("RESOURCE_EXHAUSTED", "CUDA_ERROR_OUT_OF_MEMORY")
MEMORY_FAILURES = ("host_memory", "device_memory")


def failed(job_id: str, failure: str, message: str) -> Result:
    """The result of a job that has nothing to show."""
    return Result(id=job_id, status="failed", failure=failure, message=message)


def from_exception(job_id: str, error: BaseException) -> Result:
    """Classify what a job raised.

    Errors that fdsearch raises on purpose are answers and come without a traceback.
    """
    if isinstance(error, FdsearchError):
        return failed(job_id, "exception", f"{type(error).__name__}: {error}")
    return failed(job_id, _memory(error) or "exception", "".join(traceback.format_exception(error)).rstrip())


def _memory(error: BaseException) -> str | None:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return "host_memory"
    # Told by name: TensorFlow's exception types are not worth importing TensorFlow into every process.
    named = any(kind.__name__ == "ResourceExhaustedError" for kind in type(error).__mro__)
    text = str(error)
    if not named and not any(mark in text for mark in MEMORY_MARKS):
        return None
    return "device_memory" if any(mark in text for mark in DEVICE_MARKS) else "host_memory"


def from_exit(job_id: str, returncode: int | None, out_of_memory: bool, log: Path | None) -> Result:
    """Classify the end of a process that owed a result.

    Parameters
    ----------
    job_id : str
    returncode : int or None
        As `subprocess` gives it: negative for a signal, None where the process lives but cannot be understood.
    out_of_memory : bool
        Whether the kernel killed any process for memory since the job began.
    log : Path or None
        Where the worker's own last words are.
    """
    where = f"; its output is in {log}" if log else ""
    if returncode == -signal.SIGKILL and out_of_memory:
        return failed(job_id, "host_memory", f"the kernel killed the worker because memory ran out{where}")
    if returncode is not None and returncode < 0:
        return failed(job_id, "signal", f"the worker was ended by {_signal_name(-returncode)}{where}")
    ended = "broke off the conversation" if returncode is None else f"left with exit code {returncode}"
    return failed(job_id, "lost", f"the worker {ended} before its result came{where}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def oom_kills() -> int:
    """Processes the kernel has killed for memory since boot, in any control group; 0 where it does not say."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def checked(job: Job, result: object) -> Result:
    """Return what the target returned if it is a usable result of this job, else a failed one.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> job = SimpleNamespace(id="a")
    >>> checked(job, Result("a", "done", logits=np.float32([[1, np.nan]]))).failure
    'non_finite'
    >>> checked(job, None).message
    'the target returned NoneType for job a; expected its Result'
    """
    if not isinstance(result, Result) or result.id != job.id:
        got = f"the result of {result.id}" if isinstance(result, Result) else type(result).__name__
        return failed(job.id, "exception", f"the target returned {got} for job {job.id}; expected its Result")
    # A non-finite score would be COMPLETE for Optuna if it is an infinity, so nothing downstream may see one.
    if result.status == "done" and result.logits is not None and not np.isfinite(result.logits).all():
        message = "the predictions of the validation rows are not finite"
        return replace(result, status="failed", failure="non_finite", logits=None, message=message)
    return result
