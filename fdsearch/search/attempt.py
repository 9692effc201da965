"""One trial under way: which fold it is at, what its folds predicted, and its files.

A trial's folder holds ``curve.jsonl`` (every epoch) and ``oof.npz`` (the logits of every finished fold).
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.data.folds import Fold
from fdsearch.files import write_atomic
from fdsearch.metrics import macro_f1
from fdsearch.training.job import CurveRow, Result
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    from optuna import Trial


@dataclass
class Attempt:
    """A running trial.

    Parameters
    ----------
    trial : optuna.Trial
    config : TrialConfig
    folder : Path
        Where its files go.
    folds : tuple of Fold
    labels : ndarray of int64, shape (n,)
    n_classes : int
    enqueued : bool
        Enqueued points are never pruned.
    """

    trial: Trial
    config: TrialConfig
    folder: Path
    folds: tuple[Fold, ...]
    labels: NDArray[np.int64]
    n_classes: int
    enqueued: bool
    started: float = field(default_factory=time.monotonic)
    results: list[Result] = field(default_factory=list)
    epoch: int = 0

    @property
    def fold(self) -> int:
        """Index of the fold that is under way."""
        return len(self.results)

    @property
    def job_id(self) -> str:
        return f"trial-{self.trial.number}-fold-{self.fold}"

    @property
    def finished(self) -> bool:
        return self.fold == len(self.folds)

    def log_epoch(self, row: CurveRow) -> None:
        """Append an epoch to the curve."""
        self.epoch = int(row["epoch"])
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "curve.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"fold": self.fold, **row}) + "\n")

    def finish_fold(self, result: Result) -> None:
        """Keep a fold's predictions, on disk too."""
        self.results.append(result)
        self.epoch = 0
        rows = np.concatenate([fold.validation for fold in self.folds[: self.fold]])
        logits = np.concatenate([result.logits for result in self.results if result.logits is not None])
        number = np.concatenate([np.full(len(fold.validation), i) for i, fold in enumerate(self.folds[: self.fold])])
        content = io.BytesIO()
        np.savez_compressed(content, rows=rows, fold=number, logits=logits)
        write_atomic(self.folder / "oof.npz", content.getvalue(), durable=False)

    def pooled_score(self) -> float:
        """Macro F1 of the pooled predictions of the finished folds."""
        rows = np.concatenate([fold.validation for fold in self.folds[: self.fold]])
        logits = np.concatenate([result.logits for result in self.results if result.logits is not None])
        return macro_f1(self.labels[rows], logits.argmax(axis=1), self.n_classes)

    def attributes(self) -> dict[str, Any]:
        """What the trial records about itself: epochs per fold and seconds."""
        return {
            "epochs": [result.epochs for result in self.results],
            "seconds": round(time.monotonic() - self.started, 3),
        }


def read_oof(folder: Path, n: int, n_classes: int) -> NDArray[np.float32] | None:
    """Read a trial's out-of-fold logits by dataset row, shape (n, n_classes); NaN where no fold has finished.

    A file that a kill left unreadable, or that does not fit the dataset, counts as absent.
    """
    try:
        with (folder / "oof.npz").open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            rows, logits = stored["rows"], stored["logits"]
        by_row = np.full((n, n_classes), np.nan, np.float32)
        by_row[rows] = logits
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile):
        return None
    return by_row
