"""The files of a trial: ``curve.jsonl`` (every epoch) and ``oof.npz`` (the logits of every finished fold).

While a trial runs, the checkpoints of its folds that are under way lie beside them.
"""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fdsearch.data.folds import Fold
from fdsearch.files import disk_errors, write_atomic
from fdsearch.training.job import CurveRow, Result

_CURVE = "curve.jsonl"
_PREDICTIONS = "oof.npz"
_TORN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
_UNREADABLE = (*_TORN, OSError, ValueError, KeyError, IndexError)


def append_curve(folder: Path, fold: int, rows: Sequence[CurveRow]) -> None:
    """Append epochs of a fold to a trial's curve.

    Raises
    ------
    ResourceError, StorageError
        If the disk is full or cannot be written.
    """
    if not rows:
        return
    with disk_errors(folder, "a trial's curve"):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / _CURVE).open("a", encoding="utf-8") as stream:
            stream.writelines(json.dumps({"fold": fold, **row}) + "\n" for row in rows)


def write_oof(folder: Path, folds: Sequence[Fold], results: Sequence[Result]) -> None:
    """Write the predictions of a trial's finished folds: dataset rows, fold, logits, and epochs per fold.

    Raises
    ------
    ResourceError, StorageError
        If the disk is full or cannot be written.
    """
    done = folds[: len(results)]
    content = io.BytesIO()
    np.savez_compressed(
        content,
        rows=np.concatenate([fold.validation for fold in done]),
        fold=np.concatenate([np.full(len(fold.validation), index) for index, fold in enumerate(done)]),
        logits=np.concatenate([result.logits for result in results if result.logits is not None]),
        epochs=np.array([result.epochs for result in results], np.int64),
    )
    with disk_errors(folder, "a trial's predictions"):
        write_atomic(folder / _PREDICTIONS, content.getvalue(), durable=False)


def finished_folds(folder: Path, folds: Sequence[Fold]) -> Iterator[Result]:
    """The results of the folds that a trial's folder holds whole; none where they are not these folds."""
    try:
        with (folder / _PREDICTIONS).open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            rows, number, logits, epochs = (stored[name] for name in ("rows", "fold", "logits", "epochs"))
    except _UNREADABLE:
        return
    for index, fold in enumerate(folds[: len(epochs)]):
        of_fold = number == index
        if not np.array_equal(rows[of_fold], fold.validation):
            return
        yield Result(f"fold-{index}", "done", logits[of_fold], epochs=int(epochs[index]))


def read_curve(folder: Path) -> list[CurveRow]:
    """The epochs in a trial's folder; the line that a kill tore is left out."""
    rows = []
    with contextlib.suppress(OSError):
        for line in (folder / _CURVE).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
    return sorted(rows, key=lambda row: (row["fold"], row["epoch"]))  # what was found out late stands at the end


def merged_curve(folders: Sequence[Path]) -> list[CurveRow]:
    """The epochs of several attempts at one trial, latest first; an epoch that several have is the latest's."""
    rows = {(row["fold"], row["epoch"]): row for folder in reversed(folders) for row in read_curve(folder)}
    return [rows[key] for key in sorted(rows)]


def move_latest(folders: Sequence[Path], target: Path) -> None:
    """Move the file of `target`'s name that the first of several folders has; the others' are removed.

    Raises
    ------
    ResourceError, StorageError
        If the disk is full or cannot be written.
    """
    with disk_errors(target, "a trial's files"):
        found = [file for folder in folders if (file := folder / target.name).is_file()]
        if found:
            target.parent.mkdir(parents=True, exist_ok=True)
            found[0].replace(target)
        for file in found[1:]:
            file.unlink()


def read_oof(folder: Path, n: int, n_classes: int) -> NDArray[np.float32] | None:
    """Read a trial's out-of-fold logits by dataset row, shape (n, n_classes); NaN where no fold has finished.

    A file that a kill left unreadable, or that does not fit the dataset, counts as absent.
    """
    try:
        with (folder / _PREDICTIONS).open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            rows, logits = stored["rows"], stored["logits"]
        by_row = np.full((n, n_classes), np.nan, np.float32)
        by_row[rows] = logits
    except _UNREADABLE:
        return None
    return by_row
