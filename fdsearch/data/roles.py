"""The file that remembers which pictures are sealed: one CSV per partition, read whole, written whole, under a lock.

It knows rows, not datasets; `partition` decides the roles. A damaged file is refused, never dealt anew: a second deal
would hand sealed pictures to training.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fdsearch.errors import Fault, StorageError
from fdsearch.files import csv_bytes, csv_cell, disk_errors, write_atomic

DEVELOPMENT, HOLDOUT = "development", "holdout"
_COLUMNS = ["content", "group", "role", "first_seen"]
_CONTENT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Remembered:
    """What is kept of a picture.

    Parameters
    ----------
    group : str
        Name of its part when it was last seen, as `csv_cell` writes it.
    role : str
        ``development`` or ``holdout``.
    first_seen : str
        Day of the first run with it, UTC, ``YYYY-MM-DD``.
    """

    group: str
    role: str
    first_seen: str


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from reading and rewriting `path` meanwhile; waits for them.

    Raises
    ------
    StorageError, ResourceError
        If the folder or a file in it cannot be written.
    """
    import fcntl  # POSIX only, like all of training

    with disk_errors(path, "the partition"):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)  # and with it the lock


def read_roles(path: Path) -> dict[str, Remembered]:
    """Read the roles by content digest; empty where there is no file yet.

    Raises
    ------
    StorageError
        With every damaged line.
    """
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise _damaged([Fault(str(path), str(error), "UTF-8", "restore the file from a backup")]) from error
    reader = csv.reader(io.StringIO(text, newline=""))
    header = next(reader, None)
    if header != _COLUMNS:
        raise _damaged([Fault(f"{path}, line 1", str(header), ",".join(_COLUMNS), "restore the file from a backup")])
    roles: dict[str, Remembered] = {}
    faults = []
    for row in reader:
        if len(row) == 4 and _CONTENT.fullmatch(row[0]) and row[2] in (DEVELOPMENT, HOLDOUT) and row[0] not in roles:
            roles[row[0]] = Remembered(row[1], row[2], row[3])
        else:
            fix = "restore the file from a backup"
            faults.append(
                Fault(f"{path}, line {reader.line_num}", repr(row)[:200], "a new SHA-256, group, role and day", fix)
            )
    if faults:
        raise _damaged(faults)
    return roles


def write_roles(path: Path, roles: Mapping[str, Remembered]) -> None:
    """Write all roles, in the order of the mapping, so that a reader sees the old file or the new one."""
    rows = [[content, known.group, known.role, known.first_seen] for content, known in roles.items()]
    write_atomic(path, csv_bytes(_COLUMNS, rows))


def remembered_name(group: str) -> str:
    """A group's name as the file holds it."""
    return csv_cell(group)


def _damaged(faults: list[Fault]) -> StorageError:
    return StorageError("the partition's file is damaged; dealing again would unseal its holdout", faults)
