"""The prefix cache: activations of frozen layers for all pictures of a set, kept as float16 files.

A frozen layer's output for a picture never changes, so it is computed once for all folds, trials and processes. This
module says what an activation depends on and writes it; `prefix_store` keeps the files, `network` computes the outputs,
`phases` and `probe` read them.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

import fdsearch.models
from fdsearch.errors import Fault, StorageError
from fdsearch.files import digest_json, disk_errors
from fdsearch.layers import FEATURES
from fdsearch.packages import installed_versions
from fdsearch.training import life
from fdsearch.training.prefix_entry import Halves
from fdsearch.training.prefix_store import PrefixStore

Shape = tuple[int, ...]
Compute = Callable[[Sequence[str]], Iterable[Mapping[str, NDArray[Any]]]]
"""Layer names to batches in row order, each with an array (batch, ...) per layer."""
View = Mapping[str, Any]
"""JSON values that say how the pictures were changed before they were shown to the network."""

SPARE = 0.1
"""Share of the free room that outputs may take which nobody has asked for yet."""

_LARGEST = float(np.finfo(np.float16).max)
_FORMAT = 3
_DIGITS = 20
"""Hexadecimal digits of a name's two halves."""


@cache
def code() -> dict[str, str]:
    """What computes activations: versions of the packages, and a digest of the modules that build networks."""
    folder = Path(next(iter(fdsearch.models.__path__)))
    sources = {path.name: path.read_text("utf-8") for path in sorted(folder.glob("*.py"))}
    digest = hashlib.sha256(repr(sources).encode()).hexdigest()
    return {"keras": "", "tensorflow": "", **installed_versions(["keras", "tensorflow"]), "models": digest}


def as_stored(values: NDArray[Any]) -> NDArray[np.float16]:
    """Activations as they are kept; what float16 cannot hold becomes its largest number.

    Examples
    --------
    >>> as_stored(np.array([0.1, 1e6])).tolist()
    [0.0999755859375, 65504.0]
    """
    kept: NDArray[np.float16] = np.clip(values, -_LARGEST, _LARGEST).astype("<f2")
    return kept


class PrefixCache:
    """The stored outputs of one network on one set of pictures.

    Parameters
    ----------
    folder : Path
        Shared by all sets, networks and processes.
    identity : mapping
        JSON values that decide the outputs: pixels, backbone, weights, code of plugins.
    pooling : str
        Decides the outputs of ``features``, of no layer before.
    n_pictures : int
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], pooling: str, n_pictures: int) -> None:
        self._store = PrefixStore(folder)
        self._identity = dict(identity)
        self._pooling = pooling
        self._n_pictures = n_pictures

    def path(self, layer: str, view: View | None = None) -> Path:
        """The file of a layer."""
        return self._store.path(self._name(layer, view))

    def fits(self, shapes: Mapping[str, Shape], views: Iterable[View | None] = (None,)) -> bool:
        """Whether the budget and the disk can hold these activations for all these views at once.

        What is stored of them counts as held, what others use stays. Another process may take the room before
        `activations` asks for it.

        Raises
        ------
        ConfigError
            If the budget that was asked for is no number.
        StorageError, ResourceError
            If the folder cannot be used.
        """
        sizes = {self._name(layer, view): self._size(shape) for view in views for layer, shape in shapes.items()}
        with disk_errors(self._store.folder, "the outputs of frozen layers"):
            return self._store.fits(sizes)

    def activations(
        self,
        shapes: Mapping[str, Shape],
        compute: Compute,
        view: View | None = None,
        also: Callable[[], Mapping[str, Shape]] = dict,
    ) -> dict[str, Halves]:
        """The activations at several cuts; what is missing or torn is computed, all of it in one pass.

        Parameters
        ----------
        shapes : mapping of str to tuple of int
            Shape of each layer's output for one picture.
        compute : callable
            Called with the missing layers, if there are any.
        view : mapping, optional
            How `compute` changes the pictures; None as they are.
        also : callable
            Called where a pass is needed anyway: the shapes of further layers that others may ask for. They are stored
            as well, the first ones first, as far as `SPARE` of the room goes, and take nobody's place.

        Returns
        -------
        dict
            Memory-mapped arrays, shape (n_pictures, *shape); no other process removes them while they live.

        Raises
        ------
        NoRoom
            If the budget or the disk cannot hold what is missing; nothing is computed then.
        ResourceError
            If the disk is full nevertheless.
        StorageError
            If the folder cannot be used.
        life.Stopped
            If the job is asked to end meanwhile.
        """
        found = self._open(shapes, view)
        if len(found) < len(shapes):
            with disk_errors(self._store.folder, "the outputs of frozen layers"), self._store.group(self._group(view)):
                found |= self._open({layer: shapes[layer] for layer in shapes if layer not in found}, view)
                missing = {layer: shape for layer, shape in shapes.items() if layer not in found}
                if missing:
                    found |= self._write(missing | self._spare(also(), missing, view), view, compute)
        return {layer: found[layer] for layer in shapes}

    def _open(self, shapes: Mapping[str, Shape], view: View | None) -> dict[str, Halves]:
        n = self._n_pictures
        arrays = {layer: self._store.open(self._name(layer, view), (n, *shape)) for layer, shape in shapes.items()}
        return {layer: array for layer, array in arrays.items() if array is not None}

    def _spare(self, shapes: Mapping[str, Shape], missing: Mapping[str, Shape], view: View | None) -> dict[str, Shape]:
        left = SPARE * (self._store.space().room - sum(map(self._size, missing.values())))
        spare: dict[str, Shape] = {}
        for layer, shape in shapes.items():
            if layer not in missing and not self.path(layer, view).exists() and self._size(shape) <= left:
                spare[layer] = shape
                left -= self._size(shape)
        return spare

    def _write(self, shapes: Mapping[str, Shape], view: View | None, compute: Compute) -> dict[str, Halves]:
        names = {layer: self._name(layer, view) for layer in shapes}
        with self._store.drafts({names[layer]: self._size(shape) for layer, shape in shapes.items()}) as drafts:
            self._stream({layer: drafts[name] for layer, name in names.items()}, shapes, compute(list(shapes)))
            said = {names[layer]: self._description(layer, shape, view) for layer, shape in shapes.items()}
            self._store.publish(drafts, said)
            found = self._open(shapes, view)  # before the drafts close: until then nobody may remove them
        if len(found) < len(shapes):
            fault = Fault(str(self._store.folder), "other bytes than were written", "a folder that keeps its files")
            raise StorageError("the outputs of frozen layers cannot be read back", [fault])
        return found

    def _stream(
        self,
        streams: Mapping[str, IO[bytes]],
        shapes: Mapping[str, Shape],
        batches: Iterable[Mapping[str, NDArray[Any]]],
    ) -> None:
        """Write the arrays as streams: a memory map on a full disk kills the process with SIGBUS instead of raising."""
        for layer, stream in streams.items():
            stream.write(self._header(shapes[layer]))
        for batch in batches:
            life.sign_or_stop()
            for layer, stream in streams.items():
                stream.write(as_stored(batch[layer]).tobytes())

    def _group(self, view: View | None) -> str:
        """Entries that are computed in one pass: of one network, under one view of the pictures."""
        return digest_json([_FORMAT, self._identity, code(), view])[:_DIGITS]

    def _name(self, layer: str, view: View | None) -> str:
        key = [layer, self._pooling_of(layer), self._n_pictures]
        return f"{self._group(view)}-{digest_json(key)[:_DIGITS]}"

    def _pooling_of(self, layer: str) -> str | None:
        return self._pooling if layer == FEATURES else None

    def _header(self, shape: Shape) -> bytes:
        stream = io.BytesIO()
        header = {"descr": "<f2", "fortran_order": False, "shape": (self._n_pictures, *shape)}
        np.lib.format.write_array_header_1_0(stream, header)
        return stream.getvalue()

    def _size(self, shape: Shape) -> int:
        return len(self._header(shape)) + 2 * self._n_pictures * int(np.prod(shape))

    def _description(self, layer: str, shape: Shape, view: View | None) -> dict[str, Any]:
        # The digest of the pictures ends in their size and how they were resized, as `JobMaker` writes it.
        sized = re.search(r"-(\d+)-([a-z]+)$", str(self._identity.get("pixels", "")))
        return {
            "what": "outputs of a frozen layer for all pictures of a set",
            **self._identity,
            "size": int(sized[1]) if sized else None,
            "resize": sized[2] if sized else None,
            "cut": layer,
            "pooling": self._pooling_of(layer),
            "view": view,
            "code": code(),
            "format": _FORMAT,
            "shape": [self._n_pictures, *shape],
            "dtype": "float16",
            "bytes": self._size(shape),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
