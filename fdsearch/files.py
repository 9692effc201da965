"""Bytes on disk: canonical JSON, digests, and writes that are whole or absent.

Everything that is hashed goes through `canonical_json`, everything that must survive a kill through `write_atomic`.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fdsearch.errors import Fault, ResourceError, StorageError

DISK_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""What the operating system says of a full disk, quota or file; Windows knows no quota."""


def canonical_json(value: Any) -> bytes:
    """Return the one UTF-8 encoding of a JSON value: sorted keys, no spaces, no NaN.

    Raises
    ------
    ValueError
        If the value holds NaN or an infinity.

    Examples
    --------
    >>> canonical_json({"b": 1, "a": [1.5, None]})
    b'{"a":[1.5,null],"b":1}'
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def digest_json(value: Any) -> str:
    """SHA-256 (64 hex digits) of the canonical JSON of a value."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 (64 hex digits) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomic(path: Path, content: bytes, *, durable: bool = True, mode: int = 0o640) -> None:
    """Write a file so that a reader sees the old bytes or the new ones, never a part.

    A sibling is written, synced, renamed over `path`, and the folder synced (a rename without it can be lost
    with the power). `durable=False` leaves the syncing out, for files that are rewritten every few seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write a value as indented JSON, atomically."""
    text = json.dumps(value, indent=1, sort_keys=False, ensure_ascii=False, allow_nan=False)
    write_atomic(path, text.encode(), durable=durable)


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable; a no-op where folders cannot be opened (Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def csv_cell(text: str) -> str:
    """Text that a spreadsheet shows instead of running as a formula (CWE-1236).

    Examples
    --------
    >>> csv_cell("=cmd|'/c calc'!A1"), csv_cell("tile 7")
    ("'=cmd|'/c calc'!A1", 'tile 7')
    """
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A table as UTF-8 CSV with plain newlines; cells are written as they are (see `csv_cell`).

    Examples
    --------
    >>> csv_bytes(["filename", "fold"], [["a,b.png", "0"]])
    b'filename,fold\\n"a,b.png",0\\n'
    """
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return stream.getvalue().encode()


@contextmanager
def disk_errors(place: Path, content: str) -> Iterator[None]:
    """Turn a failure to write `content` at `place` into `ResourceError` for a full disk, else into `StorageError`."""
    try:
        yield
    except OSError as error:
        got = error.strerror or str(error)
        if error.errno in DISK_FULL:
            fault = Fault(str(place), got, f"room for {content}", "free space there, or choose another place")
            raise ResourceError("the disk is full", [fault]) from error
        fault = Fault(
            str(place), got, f"a place where {content} can be written", "mend its permissions, or choose another"
        )
        raise StorageError(f"{content} cannot be written", [fault]) from error
