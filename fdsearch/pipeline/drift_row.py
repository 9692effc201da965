"""Pictures of damage that no class names: how well a version finds them, beside what a source reports.

`reproduction` makes the other rows of the table. The labelled pictures of `StudySpec.drift` are scored once the
version is registered; nothing of it was trained, calibrated or chosen by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.config import DataSpec
from fdsearch.data.folds import grouped_stratified_folds
from fdsearch.data.manifest import Manifest, read_manifest
from fdsearch.errors import DataError, Fault, FdsearchError
from fdsearch.metrics import group_sums, resamples
from fdsearch.novelty.measure import Novelty
from fdsearch.novelty.space import Space
from fdsearch.pipeline.question import Question
from fdsearch.progress import Progress
from fdsearch.registry.store import Registry
from fdsearch.selection.intervals import interval
from fdsearch.serving.pictures import batches
from fdsearch.serving.predictor import Predictor
from fdsearch.serving.runtimes import Answer
from fdsearch.unseen import DriftSpec

NAME = "drift detector"
_REGULAR, _DRIFT = 0, 1
_KINDS = ("regular", "drift")
_N_BOOT, _N_SPLITS = 2000, 5

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def drift_rows(question: Question, version: int, log: Progress) -> list[dict[str, Any]]:
    """Score a registered version's novelty on the study's labelled pictures of drift.

    Returns
    -------
    list of dict
        One row, or none where the study names no such pictures: keys as in `reproduction.reproduce_claims`, ``kind``
        being "drift", ``n_drift`` the pictures that show it. ``f1`` is that of the source's own method, ``champion``
        that of the version, both of the class drift at the version's threshold.
    """
    spec = question.spec.drift
    if spec is None:
        return []
    blank: dict[str, Any] = {
        **{"name": NAME, "kind": "drift", "reported": spec.reported, "weights": "", "params": {}},
        **dict.fromkeys(("f1", "f1_ci", "n", "n_groups", "min_groups", "n_drift", "seconds")),
        **dict.fromkeys(("champion", "gain", "gain_ci", "gain_claimed")),
        **dict.fromkeys(("level", "interval_why", "gain_level", "gain_why", "protocol"), ""),
    }
    row = {**blank, **_row(question, spec, version)}
    log.say(f"{NAME}: {row['why'] or row['champion']}")
    return [row]


def f1_of_drift(y_true: Ints, novel: Ints, groups: Ints) -> dict[str, Any]:
    """F1 of the class drift with what may be said of its uncertainty; parts are resampled whole.

    Parameters
    ----------
    y_true, novel : ndarray of int64, shape (n,)
        1 where a picture shows drift, and where it is called novel.
    groups : ndarray of int64, shape (n,)

    Returns
    -------
    dict
        ``f1, f1_ci, level, why``.

    Examples
    --------
    >>> y_true = np.array([1] * 40 + [0] * 60)
    >>> found = f1_of_drift(y_true, y_true, np.arange(100))
    >>> found["f1"], found["f1_ci"], found["level"]
    (1.0, [1.0, 1.0], '95 %')
    """
    sums = group_sums(y_true, novel, groups, len(_KINDS))[:, :, 0, _DRIFT]
    drawn = np.concatenate([weights @ sums for weights in resamples(len(sums), _N_BOOT, random_state=0)])
    samples = _f1(drawn)
    bounds = interval(samples[np.isfinite(samples)], y_true, novel, groups, _KINDS)
    value = float(_f1(sums.sum(axis=0)[None])[0])
    return {"f1": value, "f1_ci": bounds.ci, "level": bounds.level, "why": bounds.why}


def _f1(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """From (k, 3) hits, true and predicted pictures; NaN where none is true."""
    hits, true, predicted = sums.T
    return np.where(true > 0, 2 * hits / np.maximum(true + predicted, 1), np.nan)


def _row(question: Question, spec: DriftSpec, version: int) -> dict[str, Any]:
    """What can be said of the version, and why nothing more."""
    if not spec.manifest.is_file():
        return {"why": f"no labels of such pictures (no file {spec.manifest})"}
    manifest = read_manifest(_data(spec))
    if manifest.faults:
        return {"why": str(manifest.faults[0])}
    y_true = np.array([_DRIFT if row.label in spec.novel else _REGULAR for row in manifest.rows], np.int64)
    if not 0 < y_true.sum() < len(y_true):
        return {"why": f"{spec.manifest} needs both pictures of drift and others"}
    groups, paths = _groups(manifest, spec), [row.path for row in manifest.rows if row.path is not None]
    try:
        version_of = Registry(question.workspace.registry).version(question.spec.model_name, version)
        predictor = Predictor.of(version_of)
        answer = _answer(predictor, paths)
    except FdsearchError as error:  # the run has done its work: no row of a table may undo it
        return {"why": str(error)}
    row: dict[str, Any] = {"n": len(y_true), "n_drift": int(y_true.sum()), "n_groups": len(np.unique(groups))}
    if answer.embedding is None:
        return {**row, "why": str(predictor.tell(["a picture"], _first(answer))[0].novelty_why)}
    row |= _cross_fitted(answer.embedding, answer.logits, y_true, groups)
    novelty = predictor.novelty(answer)
    if novelty is not None:
        row["champion"] = f1_of_drift(y_true, (novelty > 1).astype(np.int64), groups)
    return row


def _answer(predictor: Predictor, paths: Sequence[Path]) -> Answer:
    """Run the version on files."""
    faults: list[Fault] = []
    parts = [predictor.run(batch) for batch in batches(paths, predictor.contract.input, faults)]
    if faults:
        raise DataError("not all the pictures can be read", faults)
    return Answer.joined(parts)


def _first(answer: Answer) -> Answer:
    return Answer(answer.logits[:1], answer.probabilities[:1])


def _cross_fitted(embedding: Floats, logits: Floats, y_true: Ints, groups: Ints) -> dict[str, Any]:
    """The source's method: a binary classifier on the version's layers, each part judged by a fit to the others."""
    try:
        folds = grouped_stratified_folds(y_true, groups, _N_SPLITS, random_state=0)
    except DataError as error:
        return {"why": error.message}
    called = np.zeros(len(y_true), np.int64)
    for fold in folds:
        regular = y_true[fold.train] == _REGULAR
        space = Space.of(embedding[fold.train][regular])
        shown = (embedding[fold.train], logits[fold.train])
        binary = Novelty.fit("binary", space, shown, y_true[fold.train], regular)
        called[fold.validation] = binary.raw(embedding[fold.validation], logits[fold.validation]) > 0
    found = f1_of_drift(y_true, called, groups)
    words = (
        f"{y_true.sum()} pictures of drift among {len(y_true)}; a binary head on the version's frozen layers, trained"
    )
    return {
        **{key: found[key] for key in ("f1", "f1_ci", "level")},
        "interval_why": found["why"],
        "protocol": f"{words} on some of them, in {_N_SPLITS} folds of parts; the champion's detector saw none",
        "why": "",
    }


def _data(spec: DriftSpec) -> DataSpec:
    metadata = () if spec.group is None else (spec.group,)
    return DataSpec(
        manifest=spec.manifest, images=spec.images, filename=spec.filename, label=spec.label, metadata=metadata
    )


def _groups(manifest: Manifest, spec: DriftSpec) -> Ints:
    """The part of each picture; each its own where the study names no column."""
    if spec.group is None:
        return np.arange(len(manifest.rows))
    return np.unique([row.cells[spec.group] for row in manifest.rows], return_inverse=True)[1].astype(np.int64)
