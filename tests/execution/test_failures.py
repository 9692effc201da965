"""The classes of failures that need no process to be told."""

from __future__ import annotations

import errno
import signal
from pathlib import Path

import pytest

from fdsearch.errors import DataError, Fault, ResourceError
from fdsearch.execution.failures import from_exception, from_exit, oom_kills
from fdsearch.files import disk_errors


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "host_memory"),
        (OSError(errno.EACCES, "Permission denied"), "exception"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
        (OSError(errno.EFBIG, "File too large"), "disk_full"),
        (RuntimeError("RESOURCE_EXHAUSTED: a/b.keras; No space left on device"), "disk_full"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate on GPU_0_bfc"), "device_memory"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory"), "host_memory"),
        (RuntimeError("Dst tensor is not initialized. [Op:Cast]"), "device_memory"),
        (RuntimeError("Failed to create cuDNN handle: CUDNN_STATUS_ALLOC_FAILED"), "device_memory"),
        (RuntimeError("failed to create cublas handle: CUBLAS_STATUS_ALLOC_FAILED"), "device_memory"),
        (RuntimeError("No algorithm worked!  Error messages: RESOURCE_EXHAUSTED: Out of memory"), "device_memory"),
        (RuntimeError("No algorithm worked!"), "exception"),
        (RuntimeError("something about device:GPU:0"), "exception"),
    ],
)
def test_exceptions(error, failure):
    assert from_exception("a", error).failure == failure


def test_a_full_disk_names_the_place():
    assert "'/a/b'" in from_exception("a", OSError(errno.ENOSPC, "No space left on device", "/a/b")).last_words
    nameless = from_exception("a", OSError(errno.ENOSPC, "No space left on device"), [Path("/cache"), Path("/model")])
    assert nameless.last_words == "No space left on device; it writes to /cache, /model"


def test_a_full_disk_behind_an_answer_to_the_user():
    with pytest.raises(ResourceError) as caught, disk_errors(Path("/cache"), "features"):
        raise OSError(errno.ENOSPC, "No space left on device")
    result = from_exception("a", caught.value, [Path("/elsewhere")])
    assert result.failure == "disk_full"
    assert result.message.startswith("ResourceError: the disk is full\n  /cache: got No space left")
    assert from_exception("a", ResourceError("no weights")).failure == "exception"


def test_an_answer_to_the_user_comes_without_a_traceback():
    result = from_exception("a", DataError("bad pictures", [Fault("a.png", "0 bytes", "a picture")]))
    assert result.message == "DataError: bad pictures\n  a.png: got 0 bytes; expected a picture"


@pytest.mark.parametrize(
    ("returncode", "out_of_memory", "failure", "words"),
    [
        (-signal.SIGKILL, False, "signal", "SIGKILL"),
        (-signal.SIGKILL, True, "host_memory", "memory ran out"),
        (-signal.SIGABRT, True, "signal", "SIGABRT"),
        (-signal.SIGRTMIN - 1, False, "signal", f"signal {signal.SIGRTMIN + 1}"),
        (1, False, "lost", "exit code 1"),
        (None, False, "lost", "broke off"),
    ],
)
def test_ends_of_a_process(returncode, out_of_memory, failure, words):
    result = from_exit("a", returncode, out_of_memory, Path("log.txt"))
    assert (result.status, result.failure) == ("failed", failure)
    assert words in result.message
    assert result.message.endswith("its output is in log.txt")


def test_the_kernels_counter_is_read():
    assert oom_kills() >= 0
