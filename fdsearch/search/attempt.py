"""One trial under way: which fold it is at, what its folds predicted, and where a retry of it goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.data.folds import Fold
from fdsearch.metrics import macro_f1
from fdsearch.search import study as names
from fdsearch.search import trial_files
from fdsearch.search.pruning import Smoothed
from fdsearch.training.checkpoint import discard
from fdsearch.training.job import CurveRow, Result
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    from optuna import Trial

CHECKPOINTS = "checkpoint-*.npz"
"""Of one trial, in its folder; one per fold."""


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
    retried : bool
        An earlier attempt at it was lost with its process.

    Attributes
    ----------
    results : list of Result
        Of the finished folds.
    path : list of float
        Macro F1 of the pooled predictions after each finished fold.
    row : dict or None
        The last finished epoch of the fold that is under way.
    disowned : bool
        Somebody else has ended the trial: nothing about it is told any more.
    """

    trial: Trial
    config: TrialConfig
    folder: Path
    folds: tuple[Fold, ...]
    labels: NDArray[np.int64]
    n_classes: int
    enqueued: bool
    retried: bool
    started: float = field(default_factory=time.monotonic)
    results: list[Result] = field(default_factory=list)
    path: list[float] = field(default_factory=list)
    row: CurveRow | None = None
    disowned: bool = False
    smoothed: Smoothed = field(default_factory=Smoothed)
    _seconds_before: float = 0.0
    _earlier_rows: dict[int, CurveRow] = field(default_factory=dict)
    _logged: set[int] = field(default_factory=set)
    _turn_began: float = field(default_factory=time.monotonic)

    @property
    def number(self) -> int:
        return int(self.trial.number)

    @property
    def fold(self) -> int:
        """Index of the fold that is under way."""
        return len(self.results)

    @property
    def job_id(self) -> str:
        return self.job_id_of(self.fold)

    def job_id_of(self, fold: int) -> str:
        """What the job of a fold is called."""
        return f"trial-{self.number}-fold-{fold}"

    @property
    def finished(self) -> bool:
        return self.fold == len(self.folds)

    @property
    def n_epochs(self) -> int:
        """Finished epochs of the fold that is under way."""
        return 0 if self.row is None else int(self.row["epoch"]) + 1

    def checkpoint_of(self, fold: int) -> Path:
        """Where a fold keeps its state; removed with the fold's or the trial's end."""
        return self.folder / CHECKPOINTS.replace("*", str(fold))

    def log_epoch(self, row: CurveRow) -> list[CurveRow]:
        """Append an epoch to the curve, and before it those that only an earlier attempt had written.

        Returns
        -------
        list of dict
            The rows that were appended, in order.
        """
        rows = [
            self._earlier_rows[epoch] for epoch in range(self.n_epochs, row["epoch"]) if epoch in self._earlier_rows
        ]
        rows.append(row)
        self.row = row
        self._logged |= {int(row["epoch"]) for row in rows}
        trial_files.append_curve(self.folder, self.fold, rows)
        return rows

    def finish_fold(self, result: Result) -> None:
        """Keep a fold's predictions, on disk too."""
        # Of a fold that had ended, or was begun, before anybody was told.
        unseen = [row for row in result.curve if row["epoch"] not in self._logged]
        trial_files.append_curve(self.folder, self.fold, unseen)
        self._add(result)
        trial_files.write_oof(self.folder, self.folds, self.results)
        discard(self.checkpoint_of(self.fold - 1))

    def _add(self, result: Result) -> None:
        self.results.append(result)
        self.row, self._earlier_rows, self._logged = None, {}, set()
        self._turn_began = time.monotonic()
        rows = np.concatenate([fold.validation for fold in self.folds[: self.fold]])
        self.path.append(macro_f1(self.labels[rows], self._logits().argmax(axis=1), self.n_classes))

    def _logits(self) -> NDArray[np.float32]:
        return np.concatenate([result.logits for result in self.results if result.logits is not None])

    def take_over(self, earlier: Sequence[Path]) -> None:
        """Go on where lost attempts at the same parameters stopped.

        Finished folds are taken as they are, the checkpoints of the others move here. An attempt may have been lost
        while it took over from the one before it, so that one's files count too.

        Parameters
        ----------
        earlier : sequence of Path
            Folders of the attempts, latest first.
        """
        for result in max((list(trial_files.finished_folds(folder, self.folds)) for folder in earlier), key=len):
            self._add(result)
        if self.results:
            trial_files.write_oof(self.folder, self.folds, self.results)
        curve = trial_files.merged_curve(earlier)
        done = [row for row in curve if row["fold"] < self.fold]
        self._seconds_before = sum(float(row.get("seconds", 0.0)) for row in done)
        for fold in range(self.fold):
            trial_files.append_curve(self.folder, fold, [_bare(row) for row in done if row["fold"] == fold])
        self._earlier_rows = {int(row["epoch"]): _bare(row) for row in curve if row["fold"] == self.fold}
        for fold in range(len(self.folds)):
            trial_files.move_latest(earlier, self.checkpoint_of(fold))
            if fold < self.fold:
                discard(self.checkpoint_of(fold))

    @property
    def described(self) -> str:
        """What a person reads about it."""
        phases = "+".join(phase.name for phase in self.config.phases)
        seconds = self.attributes()[names.SECONDS]
        return f"{self.config.backbone} {self.config.image_size} px, {phases}, {seconds:.0f} s"

    def end(self) -> None:
        """Remove what only a continuation would need."""
        for fold in range(len(self.folds)):
            discard(self.checkpoint_of(fold))

    def attributes(self) -> dict[str, Any]:
        """What the trial records about itself: epochs per fold, and seconds as if no folds ran side by side."""
        of_folds = sum(result.seconds for result in self.results)
        under_way = 0.0 if self.finished else time.monotonic() - self._turn_began
        return {
            names.EPOCHS: [result.epochs for result in self.results],
            names.SECONDS: round(self._seconds_before + of_folds + under_way, 3),
        }


def _bare(row: CurveRow) -> CurveRow:
    return {key: value for key, value in row.items() if key != "fold"}
