"""The pictures about which two versions decide otherwise, from the answers that lie in both.

`difference` asks for the sealed pictures and for those of the development part. No model is run: what is compared are
the logits that were registered, under the contract of each version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.decide import decide, probabilities
from fdsearch.errors import Fault, IntegrityError
from fdsearch.metrics import predict
from fdsearch.registry.arrays import read_arrays
from fdsearch.registry.draft import CONTRACT, PREDICTIONS
from fdsearch.registry.manifest import RESTORE
from fdsearch.registry.version import ModelVersion

OUT_OF_FOLD = PREDICTIONS


@dataclass(frozen=True, eq=False)
class Answers:
    """What one version answered on some pictures.

    Parameters
    ----------
    content : ndarray of str, shape (n,)
        SHA-256 of each picture's file.
    names : ndarray of str, shape (n,), or None
        File names, as the manifest of the data had them.
    parts : ndarray, shape (n,)
        The part each picture shows.
    labels : ndarray of int64, shape (n,)
        True classes.
    logits : ndarray of float32, shape (n, n_classes)
    contract : dict
        ``contract.json`` as plain values.
    """

    content: NDArray[np.str_]
    names: NDArray[np.str_] | None
    parts: NDArray[Any]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]
    contract: dict[str, Any]

    def at(self, rows: NDArray[np.int64]) -> Answers:
        """Those of some rows."""
        names = None if self.names is None else self.names[rows]
        return Answers(self.content[rows], names, self.parts[rows], self.labels[rows], self.logits[rows], self.contract)

    def decisions(self, parts: Sequence[Any]) -> list[dict[str, Any]]:
        """Label and decision of each picture, where `parts` says which pictures show the same part."""
        contract, classes = self.contract, self.contract["classes"]
        calibration, rule = contract["calibration"], contract.get("decision")
        scores = probabilities(self.logits, calibration["temperature"], calibration["bias"])
        mask = [label in (contract.get("pass_classes") or ()) for label in classes]
        labels = predict(self.logits).tolist()
        return [
            {"label": classes[label], "decision": verdict.decision}
            for label, verdict in zip(labels, decide(scores, mask, rule, parts), strict=True)
        ]


def flips(a: ModelVersion, b: ModelVersion, filename: str) -> dict[str, Any]:
    """List the pictures that both versions have answered and decide about otherwise.

    Parts, and true classes, are those of `b`. Only the pictures of both decide about a part, so that a difference comes
    from the models and their contracts, not from another picture.

    Parameters
    ----------
    filename : {"holdout.npz", "oof.npz"}
        Of the out-of-fold answers the first repeat is compared.

    Returns
    -------
    dict
        ``n`` (pictures of both), ``n_flipped``, ``n_relabelled``; ``pictures``: a row for each that got another
        decision or label, with ``content``, ``filename``, ``true``, and ``label`` and ``decision`` in ``a`` and ``b``.
        All None with a ``why`` where nothing can be compared.

    Raises
    ------
    IntegrityError
        If a file is not as it was registered, or holds no such answers.
    """
    left, right = _answers(a, filename), _answers(b, filename)
    for version, answers in ((a, left), (b, right)):
        if answers is None:
            return _nothing(f"{version.reference} holds no answers by which its pictures could be told")
    if left is None or right is None:
        return _nothing("nothing to compare")
    _, rows, others = np.intersect1d(left.content, right.content, return_indices=True)
    if not len(rows):
        return _nothing("the two have answered no picture in common")
    left, right = left.at(rows), right.at(others)
    parts = right.parts.tolist()
    try:
        both = list(zip(left.decisions(parts), right.decisions(parts), strict=True))
        pictures = [_row(right, number, one, other) for number, (one, other) in enumerate(both) if one != other]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise _unreadable(b, filename, error) from error
    return {
        "n": len(both),
        "n_flipped": sum(one["decision"] != other["decision"] for one, other in both),
        "n_relabelled": sum(one["label"] != other["label"] for one, other in both),
        "pictures": pictures,
        "why": None,
    }


def _answers(version: ModelVersion, filename: str) -> Answers | None:
    """The answers of a file, None where it is absent or does not name the pictures, as files of before do not."""
    if filename not in version.manifest.files:
        return None
    try:
        arrays, contract = read_arrays(version.read(filename)), version.read_json(CONTRACT)
        if "content" not in arrays:
            return None
        logits = arrays["logits"][0] if arrays["logits"].ndim == 3 else arrays["logits"]
        found = Answers(
            arrays["content"],
            arrays.get("filenames"),
            arrays["groups"],
            arrays["labels"].astype(np.int64),
            logits,
            contract,
        )
        columns = (found.content, found.parts, found.labels, *(() if found.names is None else (found.names,)))
        if any(column.shape != (len(logits),) for column in columns):
            raise ValueError("its arrays are of different lengths")
        return found.at(np.flatnonzero(~np.isnan(logits).any(axis=1)))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise _unreadable(version, filename, error) from error


def _row(answers: Answers, number: int, one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {
        "content": str(answers.content[number]),
        "filename": None if answers.names is None else str(answers.names[number]),
        "true": answers.contract["classes"][answers.labels[number]],
        "a": one,
        "b": other,
    }


def _nothing(why: str) -> dict[str, Any]:
    return {**dict.fromkeys(("n", "n_flipped", "n_relabelled", "pictures")), "why": why}


def _unreadable(version: ModelVersion, filename: str, error: Exception) -> IntegrityError:
    fault = Fault(str(version.path / filename), str(error), "answers of a version under its contract", RESTORE)
    return IntegrityError("a file of the version cannot be read", [fault])
