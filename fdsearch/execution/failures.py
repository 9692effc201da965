"""How a job failed: from an exception, from a process's end, or from a result that cannot be used.

The classes are those of `Result.failure`. The worker and the parent both classify, each what it can see.
"""

from __future__ import annotations

import errno
import signal
import traceback
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from fdsearch.errors import Fault, FdsearchError, ResourceError
from fdsearch.files import DISK_FULL
from fdsearch.training.job import Job, Result

DEVICE_MARKS = ("device:GPU", "GPU_")
DEVICE_MEMORY_MARKS = (
    "CUDA_ERROR_OUT_OF_MEMORY",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "Dst tensor is not initialized",  # TensorFlow's words where a copy to the device finds no room
)
DISK_MARKS = ("No space left on device", "Disk quota exceeded")


def failed(job_id: str, failure: str, message: str) -> Result:
    """The result of a job that has nothing to show."""
    return Result(id=job_id, status="failed", failure=failure, message=message)


def from_exception(job_id: str, error: BaseException, places: Iterable[Path] = ()) -> Result:
    """Classify what a job raised.

    Errors that fdsearch raises on purpose are answers and come without a traceback.

    Parameters
    ----------
    job_id : str
    error : BaseException
    places : iterable of Path
        Where the job writes; named for a full disk whose error names no file.
    """
    answers = isinstance(error, FdsearchError)
    words = f"{type(error).__name__}: {error}" if answers else "".join(traceback.format_exception(error)).rstrip()
    full = _full_disk(error)
    if full is not None:
        where = ", ".join(str(place) for place in places)
        named = answers or full.filename is not None or not where
        return failed(
            job_id, "disk_full", words if named else f"{words}\n{full.strerror or full}; it writes to {where}"
        )
    return failed(job_id, (None if answers else _memory(error)) or "exception", words)


def _full_disk(error: BaseException) -> OSError | None:
    """The operating system's word for a full disk or quota, if that is what an error, or its cause, comes from."""
    if isinstance(error, FdsearchError) and error.__cause__ is not None:
        return _full_disk(error.__cause__)
    if isinstance(error, OSError):
        return error if error.errno in DISK_FULL else None
    # TensorFlow's own writers have no number for it and call it ResourceExhaustedError, as they call a lack of memory.
    return OSError(str(error)) if any(mark in str(error) for mark in DISK_MARKS) else None


def _memory(error: BaseException) -> str | None:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return "host_memory"
    # Told by name: TensorFlow's exception types are not worth importing TensorFlow into every process.
    named = any(kind.__name__ == "ResourceExhaustedError" for kind in type(error).__mro__)
    text = str(error)
    no_algorithm = "No algorithm worked" in text and "out of memory" in text.lower()  # each was tried and found no room
    if no_algorithm or any(mark in text for mark in DEVICE_MEMORY_MARKS):
        return "device_memory"
    if not named and "RESOURCE_EXHAUSTED" not in text:
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


def ran_out_in_used_worker(result: Result, jobs: int) -> Result:
    """Make a job that ran out of its GPU's memory one that was lost: after other jobs it proves nothing.

    Parameters
    ----------
    result : Result
    jobs : int
        Those the worker had run before, which may still have held memory.
    """
    why = f"the GPU's memory ran out in a worker that may have held some of it since earlier jobs ({jobs})"
    return replace(result, failure="lost", message=f"{result.message}\n{why}; a new worker will tell")


def no_device(job_id: str, address: str) -> Result:
    """The result of a job whose worker was given a GPU that TensorFlow does not find."""
    message = (
        f"TensorFlow finds no GPU in the worker that was given {address}; pip install 'fdsearch[gpu]' installs what it"
        ' needs, --gpus "" trains on the processors'
    )
    return failed(job_id, "no_device", message)


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


def machine_error(result: Result) -> ResourceError:
    """What ends a study's work when a job met one of `OF_THE_MACHINE`."""
    if result.failure == "disk_full":
        fix = "free space there; the same command then goes on where it stopped"
        return ResourceError("the disk is full", [Fault("a worker", result.last_words, "room for what it writes", fix)])
    return ResourceError("a GPU cannot be used", [Fault("a worker", result.last_words, "a GPU that TensorFlow sees")])
