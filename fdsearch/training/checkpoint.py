"""The checkpoint of a fit: what it needs to go on after a finished epoch, in one ``.npz`` that is whole or absent.

`trainer` writes and reads it, `network` and `descent` say what is in it; whoever made the job removes it. Own format
instead of Keras' files: frozen weights are left out, and nothing in the file names a layer, a class or a path, so that
reading one can import or open nothing.
"""

from __future__ import annotations

import io
import json
import struct
import time
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.files import disk_errors, write_atomic
from fdsearch.training.job import CurveRow
from fdsearch.training.stopping import Step

INTERVAL = 60.0
"""Seconds from one checkpoint of a fit to the next, at least."""

MAX_SHARE = 0.05
"""Of a fit's time that goes into checkpoints: those of very large networks, a gigabyte, are written less often."""

_FORMAT = 1
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError, RuntimeError, MemoryError)
_TORN = (zipfile.BadZipFile, zlib.error, struct.error)

Arrays = Mapping[int, NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """A fit after one of its epochs.

    Parameters
    ----------
    phase : int
        The configuration's phase that the epoch belongs to.
    seconds : float
        Spent so far.
    curve : tuple of dict
        One `CurveRow` per finished epoch, over all phases.
    path : tuple of Step
        The epochs that made the present weights.
    descent, best : dict
        State of the phase and, where early stopping watches, of the best weights; JSON values.
    weights, best_weights : mapping of int to ndarray
        What training has changed, by place in the model's list of weights; `best_weights` is None where there are none.
    optimizer : tuple of ndarray
    logits : ndarray of float32, shape (m, n_classes)
        Of the validation rows under the present weights.
    """

    phase: int
    seconds: float
    curve: tuple[CurveRow, ...]
    path: tuple[Step, ...]
    descent: dict[str, Any]
    best: dict[str, Any] | None
    weights: Arrays
    best_weights: Arrays | None
    optimizer: Sequence[NDArray[Any]]
    logits: NDArray[np.float32]


class CheckpointFile:
    """Where one fit keeps its checkpoint.

    Parameters
    ----------
    path : Path
    identity : str
        Names the fit; the checkpoint of another one counts as absent.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self._path, self._identity = path, identity
        self._next = time.monotonic() + INTERVAL

    @property
    def due(self) -> bool:
        """Whether the last checkpoint, or the start, is long enough ago."""
        return time.monotonic() >= self._next

    def write(self, checkpoint: Checkpoint) -> None:
        """Replace the file.

        Raises
        ------
        ResourceError
            If the disk is full.
        StorageError
            If the file cannot be written for another reason.
        """
        began = time.monotonic()
        content = _encoded(checkpoint, self._identity)
        with disk_errors(self._path, "the checkpoint of a fit"):
            write_atomic(self._path, content, durable=False)
        ended = time.monotonic()
        self._next = ended + max(INTERVAL, (ended - began) / MAX_SHARE)

    def read(self) -> Checkpoint | None:
        """The checkpoint; None where the file is absent, torn, of another fit or no checkpoint at all."""
        try:
            with self._path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                return _decoded(stored, self._identity)
        except (*_UNREADABLE, *_TORN):
            return None


def discard(path: Path) -> None:
    """Remove a checkpoint, and what a process killed while writing it has left beside it."""
    path.unlink(missing_ok=True)
    for unfinished in path.parent.glob(f".{path.name[:40]}.*.tmp"):
        unfinished.unlink(missing_ok=True)


def _encoded(checkpoint: Checkpoint, identity: str) -> bytes:
    plain = {"format": _FORMAT, "identity": identity, "phase": checkpoint.phase, "seconds": checkpoint.seconds}
    plain |= {"curve": checkpoint.curve, "path": [asdict(step) for step in checkpoint.path]}
    plain |= {"descent": checkpoint.descent, "best": checkpoint.best, "kept": checkpoint.best_weights is not None}
    arrays = {f"weights.{place}": array for place, array in checkpoint.weights.items()}
    arrays |= {f"best.{place}": array for place, array in (checkpoint.best_weights or {}).items()}
    arrays |= {f"optimizer.{place}": array for place, array in enumerate(checkpoint.optimizer)}
    # JSON writes a float64 with the digits that give the same one back, and infinities by name.
    text = np.frombuffer(json.dumps(plain).encode(), np.uint8)
    content = io.BytesIO()
    np.savez(content, plain=text, logits=checkpoint.logits, **arrays)  # type: ignore[arg-type]
    return content.getvalue()


def _decoded(stored: Any, identity: str) -> Checkpoint | None:
    plain = json.loads(stored["plain"].tobytes())
    if (plain["format"], plain["identity"]) != (_FORMAT, identity):
        return None
    groups: dict[str, dict[int, NDArray[Any]]] = {"weights": {}, "best": {}, "optimizer": {}}
    for name in stored.files:
        kind, dot, place = name.partition(".")
        if dot:
            groups[kind][int(place)] = stored[name]
    return Checkpoint(
        phase=plain["phase"],
        seconds=plain["seconds"],
        curve=tuple(plain["curve"]),
        path=tuple(Step(**step) for step in plain["path"]),
        descent=plain["descent"],
        best=plain["best"],
        weights=groups["weights"],
        best_weights=groups["best"] if plain["kept"] else None,
        optimizer=tuple(groups["optimizer"][place] for place in range(len(groups["optimizer"]))),
        logits=stored["logits"],
    )
