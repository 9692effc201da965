"""What the logs of a registry end with: hashes to keep where no writer of the registry can reach them.

A chain shows every change but one: that of somebody who writes it all anew. Whoever noted a head before finds out,
because a log that only ever grew still holds that hash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fdsearch.errors import ConfigError, Fault
from fdsearch.registry.chain import Chain


def heads(chains: Mapping[str, Chain]) -> list[dict[str, Any]]:
    """Return ``log``, ``seq`` and ``hash`` of the last entry of each log that has one.

    Raises
    ------
    IntegrityError
        If a log is not as it was written.
    """
    ends = {name: chain.hashes() for name, chain in chains.items()}
    return [{"log": name, "seq": len(known), "hash": known[-1]} for name, known in ends.items() if known]


def find(noted: Sequence[str], chains: Mapping[str, Chain]) -> tuple[list[dict[str, Any]], list[Fault]]:
    """Look noted hashes up in the logs.

    Returns
    -------
    list of dict
        ``hash``, ``log``, ``seq`` and ``later`` (entries since then) of each that is there.
    list of Fault
        One for each that is not.

    Raises
    ------
    IntegrityError
        If a log is not as it was written.
    """
    places = {
        digest: {"hash": digest, "log": name, "seq": seq, "later": len(known) - seq}
        for name, known in ((name, chain.hashes()) for name, chain in chains.items())
        for seq, digest in enumerate(known, start=1)
    }
    searched = ", ".join(chains) or "an empty registry"
    fix = "the log was replaced since the hash was noted: restore it from a backup"
    lost = [
        Fault(searched, f"no entry with hash {digest[:12]}...", "the entry that was last when it was noted", fix)
        for digest in noted
        if digest not in places
    ]
    return [places[digest] for digest in noted if digest in places], lost


def check_hashes(texts: Iterable[str]) -> None:
    """Refuse what is no hash.

    Raises
    ------
    ConfigError

    Examples
    --------
    >>> check_hashes(["ab" * 32])
    """
    fix = "`fdsearch registry head` prints them"
    faults = [
        Fault("--head", repr(text[:80]), "64 hexadecimal digits, lower case", fix)
        for text in texts
        if not re.fullmatch(r"[0-9a-f]{64}", text)
    ]
    if faults:
        raise ConfigError("this is no hash of a log's entry", faults)
