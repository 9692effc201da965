"""Proposed groups on disk: made once for a set of pictures, then the same for ever.

Not a cache: another version of a library could group otherwise, and a study must not become another one because
somebody cleared the caches. A person who wants a new proposal deletes the file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fdsearch.data.parts.evidence import Clues
from fdsearch.data.parts.finding import GROUPER_VERSION, Parts
from fdsearch.files import digest_json, disk_errors, write_json
from fdsearch.imaging import DECODER_VERSION

DIGITS = 4
"""Of probabilities in the file."""


def proposal_key(content: Sequence[str | None], clues: Clues) -> str:
    """Digest of all that a proposal follows from.

    Parameters
    ----------
    content : sequence of str or None, length n
        SHA-256 of each row's file; None where there is no readable picture.
    clues : Clues
    """
    moments = None
    if clues.moments is not None:
        moments = [float(moment) if np.isfinite(moment) else None for moment in clues.moments]
    return digest_json([GROUPER_VERSION, DECODER_VERSION, list(content), list(clues.filenames), moments])


def proposed(folder: Path | None, key: str, make: Callable[[], Parts]) -> Parts:
    """The stored answer for exactly these pictures and names, else made and stored.

    Parameters
    ----------
    folder : Path or None
        Holds one ``KEY.json`` per set; None stores nothing.
    key : str
        As `proposal_key` gives it.
    make : callable

    Raises
    ------
    ResourceError, StorageError
        If the folder cannot be written.
    """
    if folder is None:
        return make()
    file = folder / f"{key}.json"
    found = _read(file)
    if found is None:
        found = _from_json(_to_json(make()))  # rounded, as it will be read the next time
        with disk_errors(folder, "proposed groups"):
            write_json(file, _to_json(found))
    return found


def _read(file: Path) -> Parts | None:
    """A stored proposal; None if there is none, or it is torn."""
    try:
        return _from_json(json.loads(file.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _to_json(parts: Parts) -> dict[str, Any]:
    return {
        "grouper": GROUPER_VERSION,
        "ids": parts.ids.tolist(),
        "confidence": np.round(parts.confidence, DIGITS).tolist(),
        "links": parts.links.tolist(),
        "scores": np.round(parts.scores, DIGITS).tolist(),
        "threshold": parts.threshold,
        "notes": list(parts.notes),
    }


def _from_json(value: Any) -> Parts:
    """Raises ValueError, KeyError or TypeError for anything else."""
    ids = np.array(value["ids"], np.int64)
    confidence = np.array(value["confidence"], np.float64)
    links = np.array(value["links"], np.int64).reshape(-1, 2)
    scores = np.array(value["scores"], np.float64)
    if len(ids) != len(confidence) or len(links) != len(scores):
        raise ValueError("a torn proposal")
    threshold = None if value["threshold"] is None else float(value["threshold"])
    return Parts(ids, confidence, links, scores, threshold, tuple(str(note) for note in value["notes"]))
