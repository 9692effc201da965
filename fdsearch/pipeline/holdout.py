"""The one place that opens the holdout: it logs the opening, then scores a finished bundle through the `Predictor`.

`registration` opens it for the candidate; `agreement` looks at the pictures within the same opening, at no label.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fdsearch.errors import Fault, IntegrityError
from fdsearch.metrics import confusion, per_class_report, predict
from fdsearch.pipeline.question import Question
from fdsearch.registry.holdouts import HoldoutLog, Opening, holdout_digest
from fdsearch.registry.manifest import MANIFEST, seal
from fdsearch.registry.sealed import Sealed
from fdsearch.registry.version import ModelVersion
from fdsearch.selection.scores import Score, score
from fdsearch.serving.predictor import Predictor
from fdsearch.workspace import Workspace

_EARLIER = ".openings.jsonl"
"""What older versions noted openings in, beside the partition's CSV."""


@dataclass(frozen=True)
class Opened:
    """What the log says about this holdout once the present opening is in it.

    Parameters
    ----------
    openings : int
        Candidates that have seen it, the present one included.
    """

    openings: int

    @property
    def independent(self) -> bool:
        """Whether nobody could choose anything by these pictures."""
        return self.openings == 1

    @property
    def words(self) -> str:
        """The same for a person.

        Examples
        --------
        >>> Opened(3).words
        'not independent: 3 candidates have seen this holdout'
        """
        if self.independent:
            return "independent: no other candidate has seen this holdout"
        return f"not independent: {self.openings} candidates have seen this holdout"

    def to_json(self) -> dict[str, Any]:
        return {"openings": self.openings, "independent": self.independent, "words": self.words}


def open_holdout(question: Question, candidate: str) -> Opened:
    """Log that a candidate is going to be scored, before any sealed picture is decoded.

    A scoring that was killed and is done again for the same candidate is the same opening.

    Parameters
    ----------
    candidate : str
        Named by its lineage.

    Raises
    ------
    IntegrityError
        If the log of the holdouts is not as it was written: the holdout then stays closed.
    """
    spec, dataset = question.spec, question.dataset
    log = HoldoutLog(question.workspace.registry)
    sealed = holdout_digest(dataset.content[row] for row in question.partition.holdout.rows)
    opening = Opening(spec.partition_name, dataset.digest, sealed, spec.name, spec.model_name, candidate)
    log.open(opening, noted_earlier(question.workspace))
    return Opened(len(log.opened(opening.partition, opening.holdout, opening.data)))


def noted_earlier(workspace: Workspace) -> list[Opening]:
    """The openings that older versions noted, oldest first in each partition: nobody may forget one.

    Raises
    ------
    IntegrityError
        If a note cannot be read.
    """
    folder = workspace.partition("any").parent
    found = []
    for path in sorted(folder.glob(f"*{_EARLIER}")):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            try:
                found.append(_from_note(path.name.removesuffix(_EARLIER), number, json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                fault = Fault(f"{path}, line {number}", line[:60], "a note of an opening", "restore it from a backup")
                raise IntegrityError("an earlier opening of a holdout cannot be read", [fault]) from error
    return found


def _from_note(partition: str, number: int, note: dict[str, Any]) -> Opening:
    # The oldest notes do not name the candidate; each of them was one, of this partition alone.
    candidate = str(note.get("candidate") or f"opening {number} of {partition}")
    said = {key: str(note[key]) for key in ("data", "study", "model", "when")}
    return Opening(partition=partition, holdout="", candidate=candidate, **said)


def score_holdout(question: Question, folder: Path, opened: Opened) -> tuple[Score, dict[str, Any]]:
    """Score a bundle on the sealed pictures, and keep its answers beside it.

    Parameters
    ----------
    folder : Path
        Holds ``model.keras`` and ``contract.json``; ``holdout.npz`` is added.
    opened : Opened
        From `open_holdout`.

    Returns
    -------
    Score
    dict
        ``per_class``, ``confusion``, ``openings`` (candidates that have seen this holdout), ``independent``, ``words``.
    """
    dataset, rows = question.dataset, question.partition.holdout.rows
    paths, parts = sealed_pictures(question)
    with bundled(folder, question.spec.model_name) as predictor:
        logits = predictor.logits(paths)
    y_true, y_pred, groups = dataset.labels[rows], predict(logits), dataset.groups[rows]
    content, names = (np.array([values[row] for row in rows]) for values in (dataset.content, dataset.filenames))
    Sealed(content, np.array(parts), y_true, logits, tuple(dataset.classes), names).write(folder)
    details = {
        "per_class": per_class_report(y_true, y_pred, dataset.classes, groups),
        "confusion": confusion(y_true, y_pred, len(dataset.classes)).tolist(),
        **opened.to_json(),
    }
    return score(y_true, y_pred, groups, dataset.classes), details


def sealed_pictures(question: Question) -> tuple[list[Path], list[str]]:
    """The files of the sealed pictures and the part each shows; no label."""
    dataset, rows = question.dataset, question.partition.holdout.rows
    return [dataset.paths[row] for row in rows], [dataset.group_names[dataset.groups[row]] for row in rows]


@contextmanager
def bundled(folder: Path, name: str) -> Iterator[Predictor]:
    """A draft's predictor; the folder is sealed for the time of the block.

    So the model is loaded and pictures are decoded by the code that `fdsearch predict` runs.
    """
    seal(folder, name, 1, {})
    try:
        yield Predictor.of(ModelVersion.open(folder), format="keras")
    finally:
        (folder / MANIFEST).unlink()
