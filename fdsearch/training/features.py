"""The prefix cache: activations of frozen layers for all pictures of a set, kept as float16 files.

A frozen layer's output for a picture never changes, so it is computed once for all folds, trials and processes. One
file per (pixels, backbone, weights, layer); a worker that needs one while another writes it waits on a lock that the
kernel releases when its holder dies. `network` computes the outputs, `phases` and `probe` read them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.errors import Fault, ResourceError
from fdsearch.files import digest_json, sync_folder
from fdsearch.layers import FEATURES
from fdsearch.training import life

Halves = NDArray[np.float16]
Shape = tuple[int, ...]
Compute = Callable[[Sequence[str]], Iterable[Mapping[str, NDArray[Any]]]]
"""Layer names to batches in row order, each with an array (batch, ...) per layer."""

MAX_PICTURE_BYTES = 512 * 1024
MAX_FILE_BYTES = 4 * 10**9
_LARGEST = float(np.finfo(np.float16).max)
_FORMAT = 1
_LOCK_POLL_S = 0.2
"""Seconds between two looks at whether the lock is free."""


def affordable(shape: Shape, n_pictures: int) -> bool:
    """Whether a layer's outputs, of `shape` for one picture, are small enough to be kept for `n_pictures`.

    Examples
    --------
    >>> affordable((14, 14, 112), 1344), affordable((112, 112, 96), 1344)
    (True, False)
    """
    size = 2 * int(np.prod(shape))
    return size <= MAX_PICTURE_BYTES and size * n_pictures <= MAX_FILE_BYTES


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
        self._folder = folder
        self._identity = dict(identity)
        self._pooling = pooling
        self._n_pictures = n_pictures

    def path(self, layer: str) -> Path:
        """The file of a layer."""
        pooling = self._pooling if layer == FEATURES else None
        key = digest_json([_FORMAT, self._identity, layer, pooling])
        return self._folder / f"{key[:40]}.npy"

    def activations(self, shapes: Mapping[str, Shape], compute: Compute) -> dict[str, Halves]:
        """The activations at several cuts; what is missing or torn is computed, all of it in one pass.

        Parameters
        ----------
        shapes : mapping of str to tuple of int
            Shape of each layer's output for one picture.
        compute : callable
            Called with the missing layers, if there are any.

        Returns
        -------
        dict
            Memory-mapped arrays, shape (n_pictures, *shape).

        Raises
        ------
        ResourceError
            If the disk is full.
        life.Stopped
            If the job is asked to end meanwhile.
        """
        found = {layer: self._open(layer, shape) for layer, shape in shapes.items()}
        if any(array is None for array in found.values()):
            with self._lock():
                missing = {layer: shape for layer, shape in shapes.items() if self._open(layer, shape) is None}
                if missing:
                    self._write(missing, compute(list(missing)))
            found = {layer: self._open(layer, shape) for layer, shape in shapes.items()}
        return {layer: array for layer, array in found.items() if array is not None}

    def _open(self, layer: str, shape: Shape) -> Halves | None:
        """The array, or None where the file is absent or not whole (a torn file is shorter than its header says)."""
        try:
            array: Any = np.load(self.path(layer), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        whole = array.dtype == np.float16 and array.shape == (self._n_pictures, *shape)
        return array if whole else None

    def _write(self, shapes: Mapping[str, Shape], batches: Iterable[Mapping[str, NDArray[Any]]]) -> None:
        # The name of the unfinished file is fixed: the next holder of the lock overwrites what a killed process left.
        unfinished = {layer: self.path(layer).with_suffix(".tmp") for layer in shapes}
        try:
            with ExitStack() as stack:
                streams = {layer: stack.enter_context(path.open("wb")) for layer, path in unfinished.items()}
                self._stream(streams, shapes, batches)
            for layer, temporary in unfinished.items():
                temporary.replace(self.path(layer))
            sync_folder(self._folder)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            fault = Fault(
                str(self._folder), "a full disk", "room for the outputs of frozen layers", "delete the folder"
            )
            raise ResourceError("the disk is full", [fault]) from error
        finally:
            for temporary in unfinished.values():
                temporary.unlink(missing_ok=True)

    def _stream(
        self,
        streams: Mapping[str, IO[bytes]],
        shapes: Mapping[str, Shape],
        batches: Iterable[Mapping[str, NDArray[Any]]],
    ) -> None:
        """Write the arrays as streams: a memory map on a full disk kills the process with SIGBUS instead of raising."""
        for layer, stream in streams.items():
            header = {"descr": "<f2", "fortran_order": False, "shape": (self._n_pictures, *shapes[layer])}
            np.lib.format.write_array_header_1_0(stream, header)
        for batch in batches:
            life.sign_or_stop()
            for layer, stream in streams.items():
                stream.write(np.clip(batch[layer], -_LARGEST, _LARGEST).astype("<f2").tobytes())
        for stream in streams.values():
            stream.flush()
            os.fsync(stream.fileno())

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{digest_json(self._identity)[:40]}.lock"
        with path.open("w") as stream:
            # Not waited for in the kernel: who waits for another worker's pass is alive, and says so.
            while not _locked(stream):
                life.sign_or_stop()
                time.sleep(_LOCK_POLL_S)
            yield


def _locked(stream: IO[str]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
