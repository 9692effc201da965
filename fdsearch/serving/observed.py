"""A production batch as a version sees it: embedding and probabilities from its model, traits from the originals.

`drift` compares it with the reference; pictures are decoded once, by the code that training decodes with.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fdsearch import imaging
from fdsearch.errors import DataError, Fault
from fdsearch.progress import Progress
from fdsearch.serving.pictures import BATCH
from fdsearch.serving.predictor import Predictor
from fdsearch.serving.runtimes import Answer
from fdsearch.serving.traits import measure


@dataclass(frozen=True, eq=False)
class Batch:
    """Some pictures of production, n of them.

    Parameters
    ----------
    filenames : sequence of str, length n
    groups : sequence of str, length n, or None
        The part of each picture; None where nobody knows.
    embedding : ndarray of float32, shape (n, d), or None
    probabilities : ndarray of float32, shape (n, n_classes)
    traits : ndarray of float64, shape (n, 7)
    """

    filenames: Sequence[str]
    groups: Sequence[str] | None
    embedding: NDArray[np.float32] | None
    probabilities: NDArray[np.float32]
    traits: NDArray[np.float64]


def observe(predictor: Predictor, files: Sequence[Path], groups: Sequence[str] | None, progress: Progress) -> Batch:
    """Decode, measure and run some pictures.

    Raises
    ------
    DataError
        Listing every picture that cannot be decoded.
    IntegrityError
        As in `Predictor.run`.
    """
    faults: list[Fault] = []
    answers: list[Answer] = []
    traits: list[NDArray[np.float64]] = []
    for squares, measured in _decoded(predictor, files, faults):
        if not faults:
            answers.append(predictor.run(squares))
            traits.append(measured)
            progress.track("looking at pictures", sum(map(len, traits)), len(files))
    if faults:
        raise DataError("not all the pictures can be read", faults)
    answer = Answer.joined(answers)
    return Batch([str(file) for file in files], groups, answer.embedding, answer.probabilities, np.concatenate(traits))


def _decoded(
    predictor: Predictor, files: Sequence[Path], faults: list[Fault]
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
    """The model's input and the traits of some pictures at a time; what cannot be decoded is added to `faults`."""

    def one(file: Path) -> tuple[NDArray[np.uint8], NDArray[np.float64]] | Fault:
        try:
            gray = imaging.decode(file).pixels
            return predictor.decode(gray), measure(gray)
        except imaging.PictureError as error:
            return error.fault(str(file))

    # Pillow decodes outside the interpreter's lock, so threads are enough.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(files), BATCH):
            found = list(pool.map(one, files[start : start + BATCH]))
            faults += [each for each in found if isinstance(each, Fault)]
            whole = [each for each in found if not isinstance(each, Fault)]
            if whole:
                yield np.stack([square for square, _ in whole]), np.stack([traits for _, traits in whole])
