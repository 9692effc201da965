"""From what people pass in to batches of the model's input: files, bytes and pixels, decoded several at a time.

`predictor` runs the batches. Pictures are decoded by `fdsearch.imaging`, the code that training decodes with.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fdsearch import imaging
from fdsearch.errors import Fault
from fdsearch.resizing import resize
from fdsearch.serving.contract import PictureInput

Source = str | Path | bytes | NDArray[np.uint8]
"""A picture: a file, its bytes, or decoded gray pixels of shape (h, w)."""

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
"""Which files of a folder are taken for pictures; a file that is named itself is always read."""

BATCH = 32
_MAX_THREADS = 8


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder and of those below it, by their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def decode(source: Source, wanted: PictureInput) -> NDArray[np.uint8]:
    """Decode and resize one picture: uint8 (size, size, 1).

    Raises
    ------
    PictureError
        If it cannot be decoded.
    """
    if not isinstance(source, np.ndarray):
        return imaging.load(Path(source) if isinstance(source, str) else source, wanted.size, wanted.resize)
    if source.dtype != np.uint8 or source.ndim != 2 or not source.size:
        got = f"an array of {source.dtype} with shape {source.shape}"
        raise imaging.PictureError(got, "gray pixels: uint8 with shape (h, w)", "convert it, or pass the file's bytes")
    return resize(source, wanted.size, wanted.resize)[:, :, np.newaxis]


def batches(sources: Sequence[Source], wanted: PictureInput, faults: list[Fault]) -> Iterator[NDArray[np.uint8]]:
    """Yield decoded batches (m, size, size, 1), m at most `BATCH`, in order.

    What cannot be decoded is left out and added to `faults`.
    """

    def decoded(item: tuple[int, Source]) -> NDArray[np.uint8] | Fault:
        number, source = item
        try:
            return decode(source, wanted)
        except imaging.PictureError as error:
            return error.fault(name_of(source, number))

    numbered = list(enumerate(sources, start=1))
    # Pillow decodes outside the interpreter's lock, so threads are enough.
    with ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
        for start in range(0, len(numbered), BATCH):
            results = list(pool.map(decoded, numbered[start : start + BATCH]))
            faults += [result for result in results if isinstance(result, Fault)]
            pictures = [result for result in results if not isinstance(result, Fault)]
            if pictures:
                yield np.stack(pictures)


def name_of(source: Source, number: int) -> str:
    """What a picture is called: the path as given; ``picture N`` for bytes and pixels."""
    return str(source) if isinstance(source, (str, Path)) else f"picture {number}"
