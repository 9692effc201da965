"""The one place that opens the holdout: it logs the opening, then scores a finished bundle through the `Predictor`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fdsearch.files import write_atomic
from fdsearch.metrics import confusion, per_class_report
from fdsearch.pipeline.question import Question
from fdsearch.registry.manifest import MANIFEST, seal
from fdsearch.selection.scores import Score, score
from fdsearch.serving.predictor import Predictor


def score_holdout(question: Question, folder: Path) -> tuple[Score, dict[str, Any]]:
    """Score a bundle on the sealed pictures.

    Parameters
    ----------
    folder : Path
        Named by the candidate's lineage. Holds ``model.keras`` and ``contract.json``; it is sealed for the time of the
        scoring, so that the model is loaded and the pictures are decoded by the code that `fdsearch predict` runs.

    Returns
    -------
    Score
    dict
        ``per_class``, ``confusion``, ``openings`` (how often this holdout has been opened, this time included).
    """
    dataset, rows = question.dataset, question.partition.holdout.rows
    openings = _log_opening(question, folder.name)
    seal(folder, question.spec.model_name, 1, {})
    try:
        predictor = Predictor.load(folder)
        paths = [dataset.paths[row] for row in rows]
        names = [dataset.group_names[dataset.groups[row]] for row in rows]
        predictions = predictor.predict(paths, names)
    finally:
        (folder / MANIFEST).unlink()
    number = {name: index for index, name in enumerate(dataset.classes)}
    y_true, y_pred = dataset.labels[rows], [number[prediction.label] for prediction in predictions]
    groups = dataset.groups[rows]
    details = {
        "per_class": per_class_report(y_true, y_pred, dataset.classes, groups),
        "confusion": confusion(y_true, y_pred, len(dataset.classes)).tolist(),
        "openings": openings,
    }
    return score(y_true, y_pred, groups, dataset.classes), details


def _log_opening(question: Question, candidate: str) -> int:
    """Append to the partition's log before anything is seen; return the number of openings.

    A scoring that was killed and is done again for the same candidate is the same opening.
    """
    partition = question.workspace.partition(question.spec.partition_name)
    path = partition.with_suffix(".openings.jsonl")
    entries = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []
    if candidate not in [entry["candidate"] for entry in entries]:
        entries.append(
            {
                "when": datetime.now(UTC).isoformat(timespec="seconds"),
                "study": question.spec.name,
                "model": question.spec.model_name,
                "candidate": candidate,
                "data": question.dataset.digest,
            }
        )
        write_atomic(path, "".join(json.dumps(entry) + "\n" for entry in entries).encode())
    return len(entries)
