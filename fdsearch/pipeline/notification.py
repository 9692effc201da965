"""A study's `notify` command: run once when the work on it has ended, with the result as JSON on its standard input."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fdsearch.config import StudySpec
from fdsearch.errors import ConfigError, Fault, FdsearchError, Interrupted

TIMEOUT_S = 60.0
_KEPT = 4000
"""Bytes of a command's output that the log takes, from its end."""

Log = Callable[[str], None]


class Notification:
    """What `notifying` hands to its block."""

    def __init__(self) -> None:
        self.log: Log | None = None
        self.document: Mapping[str, Any] | None = None

    def begin(self, log: Log) -> None:
        """From here on the end is news; what comes before (another process owns the study) is none."""
        self.log = log

    def of(self, document: dict[str, Any]) -> dict[str, Any]:
        """Keep the result that the command will be told, and return it. A result that is no news is not handed over."""
        self.document = document
        return document


@contextmanager
def notifying(spec: StudySpec) -> Iterator[Notification]:
    """Run the study's command when the block ends: with its result, or with the error that ended it.

    Not when a person interrupts it, nor when nothing was told to the `Notification`.

    Raises
    ------
    ConfigError
        At the start, if the command's program cannot be found.
    """
    check_command(spec.notify)
    notification = Notification()
    try:
        yield notification
    except Interrupted:
        raise
    except Exception as error:
        known = error if isinstance(error, FdsearchError) else FdsearchError(f"{type(error).__name__}: {error}")
        notification.document = {"error": known.to_json()}
        raise
    finally:
        if spec.notify and notification.log is not None and notification.document is not None:
            notify(spec.notify, notification.document, notification.log)


def check_command(command: Sequence[str] | None) -> None:
    """Find the program of a command now, and not on Monday.

    Raises
    ------
    ConfigError
    """
    if command and shutil.which(command[0]) is None:
        fault = Fault("$.notify", repr(command[0]), "a program that can be run", "name its path, or make it executable")
        raise ConfigError("the command that is to be told of the end cannot be found", [fault])


def notify(command: Sequence[str], document: Mapping[str, Any], log: Log, timeout_s: float = TIMEOUT_S) -> None:
    """Run a command once with a document as JSON on its standard input; its failure is a line in the log, no more.

    Parameters
    ----------
    command : sequence of str
        Program and arguments; no shell reads them.
    document : mapping
        What the command of fdsearch prints with ``--json``.
    log : callable
        Takes the lines of the command's output, and how it failed.
    timeout_s : float
        After that time the command and what it started are killed.
    """
    # Files instead of pipes: a command that reads nothing, or leaves a child behind, cannot hold us.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(json.dumps(document, indent=1).encode() + b"\n")
        given.seek(0)
        try:
            process = subprocess.Popen(
                command, stdin=given, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            log(f"notify: {command[0]} could not be started: {error.strerror or error}")
            return
        ending = _wait(process, timeout_s)
        said.seek(max(0, said.seek(0, os.SEEK_END) - _KEPT))
        for line in said.read().decode("utf-8", errors="replace").splitlines():
            log(f"notify: {line}")
    if ending:
        log(f"notify: {command[0]} {ending}")


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> str:
    """How a command failed, or nothing."""
    try:
        code = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return f"took longer than {timeout_s:.0f} s and was ended"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return f"ended with code {code}" if code else ""
