"""The candidate against the champion on today's sealed parts that neither was trained on.

`registration` asks within the candidate's one opening of the holdout, and nothing is chosen by it. What is found stands
in the candidate's ``metrics.json`` as ``comparison``, where `promotion` looks for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.errors import IntegrityError, ResourceError
from fdsearch.pipeline.origin import OutOfFold
from fdsearch.pipeline.promotion import compare_answers
from fdsearch.pipeline.question import Question
from fdsearch.registry.draft import CONTRACT
from fdsearch.registry.sealed import HOLDOUT, Sealed
from fdsearch.registry.store import Registry
from fdsearch.registry.version import ModelVersion
from fdsearch.serving.contract import Contract
from fdsearch.serving.predictor import Predictor


def against_champion(question: Question, folder: Path, number: int | None) -> dict[str, Any] | None:
    """Show the champion the holdout that a draft was scored on, and compare the two.

    A part with a picture that the champion was trained on is left out: where parts of both roles turn out to be one it
    is holdout from then on, and the champion has learnt some of its pictures.

    Parameters
    ----------
    folder : Path
        Holds the draft's ``holdout.npz``.
    number : int or None
        The champion's version.

    Returns
    -------
    dict or None
        ``champion`` (its version), ``manifest`` (SHA-256 of its manifest: another registry's version may have the same
        number), ``left_out`` (parts of the holdout that it was trained on) and what
        `fdsearch.pipeline.promotion.compare_answers` returns; without ``gain``, and with ``why``, where the two cannot
        be compared. None where there is no champion.
    """
    if number is None:
        return None
    nothing = dict.fromkeys(("manifest", "gain", "ci", "se", "chance"))
    nothing |= {"left_out": 0, "parts": 0, "pictures": 0, "level": ""}
    try:
        champion = Registry(question.workspace.registry).version(question.spec.model_name, number)
        nothing["manifest"] = champion.manifest_digest
        found = _compared(question, Sealed.read(folder / HOLDOUT), champion)
    except (IntegrityError, ResourceError) as error:  # a champion that cannot be asked must be replaceable
        found = {"why": f"version {number} cannot be asked: {error.message}"}
    return {"champion": number, **nothing, **found}


def _compared(question: Question, sealed: Sealed, champion: ModelVersion) -> dict[str, Any]:
    if set(_contract(champion).classes) != set(sealed.classes):
        return {"why": f"{champion.reference} tells other classes apart"}
    known = OutOfFold.of(champion).content
    if known is None:
        return {"why": f"{champion.reference} is of before versions said which pictures they were trained on"}
    learnt = np.isin(sealed.groups, sealed.groups[np.isin(sealed.content, known)])
    left_out = len(np.unique(sealed.groups[learnt]))
    if learnt.all():
        return {"left_out": left_out, "why": f"{champion.reference} was trained on every part of the holdout"}
    found = compare_answers(sealed, _answers(question, champion, sealed, np.flatnonzero(~learnt)))
    return {"left_out": left_out, **(found or {})}


def _answers(question: Question, champion: ModelVersion, sealed: Sealed, rows: NDArray[np.int64]) -> Sealed:
    """The champion's answers to some of the sealed pictures: those on file, the others from its Keras model."""
    content, classes = sealed.content[rows], _contract(champion).classes
    on_file = Sealed.of(champion)
    known = {} if on_file is None else dict(zip(on_file.content.tolist(), on_file.logits, strict=True))
    if new := [each for each in content.tolist() if each not in known]:
        places = dict(zip(question.dataset.content, question.dataset.paths, strict=True))
        predictor = Predictor.load(champion.reference, question.workspace.registry, format="keras")
        known |= zip(new, predictor.logits([places[each] for each in new]), strict=True)
    return Sealed(
        content=content,
        groups=sealed.groups[rows],
        labels=np.zeros(len(rows), np.int64),  # its classes have numbers of their own; the draft's labels are read
        logits=np.stack([known[each] for each in content.tolist()]),
        classes=classes,
    )


def _contract(version: ModelVersion) -> Contract:
    return Contract.parse(version.read(CONTRACT), str(version.path / CONTRACT))
