"""Many looks at one line: how the rate of false alarms is shared out among them, and the log that counts them.

Every look compares with the same reference, so their answers are not independent; a rate that is spent look by look
bounds the chance of any false alarm whatever the looks have in common, and however many there will be.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fdsearch.errors import ConfigError, DataError, Fault
from fdsearch.files import disk_errors, write_atomic

FIRST_LOOKS = 52
"""On these, a year of weekly looks, half of the rate is spent."""

LAST_LOOK = 365
"""Later ones would need shuffles without end to tell anything from chance."""

MAX_BYTES = 1 << 26


def level(rate: float, look: int | None) -> float:
    """The probability of a false alarm that a look may have.

    Parameters
    ----------
    rate : float
        Of any false alarm in all the looks, 0 to 1.
    look : int or None
        From 1; None for a single look that no other follows, which may have it all.

    Returns
    -------
    float
        ``rate * h / ((look + h - 1) * (look + h))`` with h = `FIRST_LOOKS`: these add up to `rate` over all looks.

    References
    ----------
    Lan and DeMets (1983), Discrete sequential boundaries for clinical trials, Biometrika 70(3) (spending a rate).

    Examples
    --------
    >>> level(0.01, None), round(sum(level(0.01, look) for look in range(1, 53)), 4)
    (0.01, 0.005)
    """
    if look is None:
        return rate
    return rate * FIRST_LOOKS / ((look + FIRST_LOOKS - 1) * (look + FIRST_LOOKS))


def next_look(log: Path, manifest: str) -> int:
    """The number of the look that comes next for a version.

    Parameters
    ----------
    log : Path
        As `record` writes it; it need not exist.
    manifest : str
        SHA-256 of the version's manifest: another version has another reference and looks of its own.

    Raises
    ------
    ConfigError
        If there were `LAST_LOOK` looks.
    DataError
        If it is no such log.
    """
    if not log.exists():
        return 1
    try:
        with log.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        taken = [_look(line, manifest) for line in content.decode("utf-8").splitlines()]
    except (OSError, ValueError, RecursionError) as error:
        fault = Fault(str(log), str(error)[:200], "a log of fdsearch drift", "restore it, or begin another one")
        raise DataError("the log of the looks cannot be read", [fault]) from error
    look = max(taken, default=0) + 1
    if look > LAST_LOOK:
        fault = Fault(str(log), f"{LAST_LOOK} looks", "fewer", "refit the model, or begin another log and say so")
        raise ConfigError("the log's rate of false alarms is spent", [fault])
    return look


def record(log: Path, entry: Mapping[str, Any]) -> None:
    """Add a look to the log: one line of JSON with ``look``, ``manifest`` and whatever else is known of it.

    The file is written anew and renamed into place: a look that is killed leaves the log as it was.

    Raises
    ------
    ResourceError, StorageError
        If it cannot be written.
    """
    line = json.dumps(dict(entry), ensure_ascii=True, allow_nan=False)
    with disk_errors(log, "the log of the looks"):
        before = log.read_bytes() if log.exists() else b""
        write_atomic(log, before + line.encode() + b"\n")


def _look(line: str, manifest: str) -> int:
    """The number of the look in a line, 0 for another version's."""
    entry = json.loads(line)
    look = entry.get("look") if isinstance(entry, dict) else None
    if not isinstance(look, int) or isinstance(look, bool) or look < 1 or "manifest" not in entry:
        raise ValueError(f"no look in {line[:80]!r}")
    return look if entry["manifest"] == manifest else 0
