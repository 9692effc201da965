"""The errors fdsearch raises on purpose, each with the exit code a shell sees.

An error lists every fault that was found, not the first one; a fault says where, what stood there, what was
expected and how to mend it. Everything else that escapes is a defect of fdsearch itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Parameters
    ----------
    where : str
        ``file: $.path`` for configuration, ``file, row N`` for tables, a path for pictures.
    got, expected, fix : str
        What stood there, what would have been accepted, and what a person can do now.
    """

    where: str
    got: str
    expected: str
    fix: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: got {self.got}; expected {self.expected}"
        return f"{text}. {self.fix}" if self.fix else text


class FdsearchError(Exception):
    """Base of the errors that are answers to the user, not defects.

    Parameters
    ----------
    message : str
        One sentence.
    faults : iterable of Fault
        All the faults that were found.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, faults: Iterable[Fault] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.faults: tuple[Fault, ...] = tuple(faults)

    def __str__(self) -> str:
        return "\n".join([self.message, *(f"  {fault}" for fault in self.faults)])

    def to_json(self) -> dict[str, Any]:
        """The value of ``error`` in what a command prints as JSON when it fails."""
        return {
            "exit_code": self.exit_code,
            "message": self.message,
            "faults": [
                {"where": fault.where, "got": fault.got, "expected": fault.expected, "fix": fault.fix}
                for fault in self.faults
            ],
        }


class ConfigError(FdsearchError):
    """A study, a search space or a command-line value is wrong (exit 2)."""

    exit_code = 2


class DataError(FdsearchError):
    """A manifest or a picture is wrong (exit 3)."""

    exit_code = 3


class StorageError(FdsearchError):
    """The study database or a folder cannot be read or written (exit 4)."""

    exit_code = 4


class IntegrityError(FdsearchError):
    """Stored bytes are not the bytes that were stored (exit 5)."""

    exit_code = 5


class ConflictError(FdsearchError):
    """Somebody else holds or changed what this command wants to change (exit 6)."""

    exit_code = 6


class ResourceError(FdsearchError):
    """Memory, disk, weights or an optional package are missing (exit 7)."""

    exit_code = 7


class Interrupted(FdsearchError):
    """A signal ended the work; what was finished is saved (exit 128 + signal)."""

    def __init__(self, signum: int) -> None:
        super().__init__("interrupted; finished work is saved, the same command continues it")
        self.exit_code = 128 + signum  # type: ignore[misc]


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return a fix that offers close matches of a wrong name, or all the known ones.

    Examples
    --------
    >>> did_you_mean("foccal", ["focal", "cross_entropy"])
    'did you mean focal?'
    >>> did_you_mean("zzz", ["focal", "cross_entropy"])
    'known: cross_entropy, focal'
    """
    close = difflib.get_close_matches(name, known, n=3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(sorted(known))}"
