"""What a version knows of novelty: its development pictures as its frozen layers see them, method and threshold.

`registration` asks for it before the contract is written, and again once it is settled which model ships. The model is
looked into by the process that exports it; `fdsearch.selection.novelty` does the choosing. Beside the draft lies what
was found, so that nothing is computed twice for the same model.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch import imaging
from fdsearch.data.folds import grouped_stratified_folds
from fdsearch.errors import ConfigError, DataError, Fault
from fdsearch.files import digest_file, digest_json, write_atomic, write_json
from fdsearch.metrics import softmax
from fdsearch.pipeline.exporter import Embedded
from fdsearch.pipeline.folder import Running
from fdsearch.pipeline.question import Question
from fdsearch.progress import Silent
from fdsearch.registry.draft import MODEL
from fdsearch.selection.candidate import Candidate
from fdsearch.selection.cross_fitting import calibrated
from fdsearch.selection.novelty import find
from fdsearch.selection.unseen import Material
from fdsearch.serving import reference
from fdsearch.serving.contract import NoveltyRule
from fdsearch.serving.novelty import NOVELTY, dump
from fdsearch.serving.pictures import pictures_in
from fdsearch.serving.traits import measure_files

_FOUND = "found.json"
_N_FOLDS = 5
_VERSION = 1
"""To be raised with any change that finds something else in the same pictures."""


@dataclass(frozen=True)
class Learnt:
    """What the contract says about novelty.

    Parameters
    ----------
    rule : dict or None
        Fields of `fdsearch.serving.contract.NoveltyRule`.
    why : str or None
        Why there is none.
    evidence : dict or None
    """

    rule: dict[str, Any] | None = None
    why: str | None = None
    evidence: dict[str, Any] | None = None


def learn(question: Question, candidate: Candidate, folder: Path, run: Running) -> Learnt:
    """Find out how novel pictures are told, and add ``novelty.npz`` and ``reference.npz`` to a draft.

    Parameters
    ----------
    folder : Path
        Holds ``model.keras``.

    Returns
    -------
    Learnt
        The same for the same model and study; what was found before is not computed again.

    Raises
    ------
    ConfigError, DataError
        If the folder of examples holds no pictures, or some that cannot be read.
    """
    kept = folder.with_name(f"{folder.name}.novelty")
    spec = question.spec
    asked = [_VERSION, digest_file(folder / MODEL), spec.novelty.model_dump(mode="json")]
    key = digest_json([*asked, spec.decision.model_dump(mode="json", by_alias=True)])
    if not _is_kept(kept, key):
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        found = _learn(question, candidate, folder, kept, run)
        write_json(kept / _FOUND, {"key": key, **asdict(found)})  # last: its presence says that all is there
    for name in (NOVELTY, reference.REFERENCE):
        (folder / name).unlink(missing_ok=True)
        if (kept / name).is_file():
            shutil.copyfile(kept / name, folder / name)
    plain = json.loads((kept / _FOUND).read_text(encoding="utf-8"))
    return Learnt(plain["rule"], plain["why"], plain["evidence"])


def _is_kept(kept: Path, key: str) -> bool:
    try:
        return bool(json.loads((kept / _FOUND).read_text(encoding="utf-8"))["key"] == key)
    except (OSError, ValueError, KeyError):
        return False


def _learn(question: Question, candidate: Candidate, folder: Path, kept: Path, run: Running) -> Learnt:
    """Ask for the embeddings, choose by them, and write both files."""
    examples = _examples(question, candidate, kept)
    pixels = question.maker.pixels[(candidate.config.image_size, candidate.config.resize)]
    rows = question.partition.development.rows
    wanted = [(pixels, rows), *([(examples, None)] if examples else [])]
    embedded = run.exporter.embed(folder, candidate.config, wanted, run.interruption.check)
    arrays = embedded.arrays
    _write_reference(question, candidate, arrays[0] if arrays else None, kept)
    if not arrays:
        return Learnt(why=embedded.why)
    return _choose(question, candidate, embedded, kept, run)


def _choose(question: Question, candidate: Candidate, embedded: Embedded, kept: Path, run: Running) -> Learnt:
    from threadpoolctl import threadpool_limits

    spec, classes = question.spec, question.dataset.classes
    passes = np.isin(classes, question.dataset.pass_classes)
    if not passes.any():
        return Learnt(why="the study names no data.pass_classes, so no picture is regular")
    try:
        material = _material(question, candidate, embedded.arrays[0], passes)
    except DataError as error:  # a single validation part may hold one part of a class; the version does without
        return Learnt(why=f"{error.message}: {error.faults[0]}")
    examples = embedded.arrays[1] if len(embedded.arrays) > 1 else None
    with threadpool_limits(1, user_api="blas"):  # as in the probe: the matrices are small
        found = find(material, classes, spec.novelty, spec.decision, examples)
    rule = NoveltyRule(
        method=found.method,
        threshold=found.threshold,
        false_alarm_rate=spec.novelty.false_alarm_rate,
        unit=spec.decision.unit,
        cuts=embedded.cuts,
        dimensions=embedded.arrays[0].shape[1],
        why=found.why,
    )
    if found.novelty is not None:
        write_atomic(kept / NOVELTY, dump(found.novelty))
    run.log.say(f"novelty: {found.why}" if found.why else f"novelty by {found.method}, {_told(found.evidence)}")
    return Learnt(rule.model_dump(mode="json"), None, dict(found.evidence))


def _material(
    question: Question, candidate: Candidate, embedding: NDArray[np.float32], passes: NDArray[np.bool_]
) -> Material:
    """The development pictures that a fold predicted, with the folds that left them out."""
    rows, dataset = question.partition.development.rows, question.dataset
    logits = candidate.logits[:, rows].astype(np.float64)
    seen = np.flatnonzero(~np.isnan(logits).any(axis=2).all(axis=0))
    labels, groups = dataset.labels[rows[seen]], dataset.groups[rows[seen]]
    fold = np.full(len(dataset.labels), -1)
    if question.single_split:  # its one validation part is all there is: it is dealt anew
        for number, each in enumerate(grouped_stratified_folds(labels, groups, _N_FOLDS, 0)):
            fold[rows[seen[each.validation]]] = number
    else:
        for number, each in enumerate(question.partition.folds):
            fold[each.validation] = number
    return Material(
        embedding[seen],
        np.nanmean(logits[:, seen], axis=0),
        labels,
        groups if question.spec.decision.unit == "group" else np.arange(len(seen)),
        fold[rows[seen]],
        passes,
    )


def _write_reference(
    question: Question, candidate: Candidate, embedding: NDArray[np.float32] | None, kept: Path
) -> None:
    """What `drift` compares a production batch with."""
    rows, dataset = question.partition.development.rows, question.dataset
    labels, groups = dataset.labels[rows], dataset.groups[rows]
    _, scaled = calibrated(candidate.logits[:, rows], labels, groups, candidate.effective_shares)
    known = ~np.isnan(scaled).any(axis=(0, 2))
    probabilities = np.full(scaled.shape[1:], np.nan)
    probabilities[known] = softmax(scaled[:, known]).mean(axis=0)
    reference.save(
        kept,
        embedding=embedding,
        labels=labels,
        groups=groups,
        probabilities=probabilities,
        traits=_traits(dataset.digest, tuple(dataset.paths[row] for row in rows)),
        classes=list(dataset.classes),
    )


@lru_cache(maxsize=1)
def _traits(digest: str, paths: tuple[Path, ...]) -> NDArray[np.float64]:
    """Traits of some pictures of the set with a digest: every version of a run has the same."""
    return measure_files(paths, Silent())


def _examples(question: Question, candidate: Candidate, kept: Path) -> Path | None:
    """The pictures of drift, decoded as the model is fed."""
    folder = question.spec.novelty.examples
    if folder is None:
        return None
    files = pictures_in(folder)
    if not files:
        fault = Fault("study: $.novelty.examples", str(folder), "a folder with pictures", "put pictures of drift there")
        raise ConfigError("there is no example of drift", [fault])
    pixels, faults = [], []
    for file in files:
        try:
            pixels.append(imaging.load(file, candidate.config.image_size, candidate.config.resize))
        except imaging.PictureError as error:
            faults.append(error.fault(str(file)))
    if faults:
        raise DataError("some examples of drift cannot be read", faults)
    path = kept / "examples.npy"
    np.save(path, np.stack(pixels))
    return path


def _told(evidence: Mapping[str, Any]) -> str:
    alarms = evidence["false_alarms"]
    unseen = evidence.get("unseen") or {}
    passed = sum(each["passed"] for each in unseen.values())
    left = sum(each["passed_with_novelty"] for each in unseen.values())
    told = f"{alarms['sent']} of {alarms['parts']} regular parts sent to a person"
    return f"{told}; of {passed} parts of unseen classes that would pass {left} still do" if unseen else told
