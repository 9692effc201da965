"""Whether an export tells what its model tells, and how fast it does: measured through the runtime that deploys it.

The golden set is a few pictures of the development part with the model's own answers; it lies in the version, so that
whoever runs an export elsewhere can ask the same question. `export_process` calls this.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.decide import decide
from fdsearch.metrics import predict
from fdsearch.novelty.measure import Novelty
from fdsearch.serving.contract import Contract
from fdsearch.serving.formats import LITERT, LITERT_FLOAT16, ONNX
from fdsearch.serving.novelty import withheld
from fdsearch.serving.runtimes import Answer, Runtime
from fdsearch.training.timing import median_ms

TOLERANCES = {ONNX: 1e-4, LITERT: 1e-4, LITERT_FLOAT16: 1e-2}
"""Largest difference of a probability from the model's."""

NOVELTY_TOLERANCES = {ONNX: 0.01, LITERT: 0.01, LITERT_FLOAT16: 0.25}
"""Largest difference of the logarithm of a novelty from the model's: in spreads of the regular pictures' scores."""

N_GOLDEN = 32
BATCH = 32


@dataclass(frozen=True)
class Golden:
    """Pictures and what the model says of them.

    Parameters
    ----------
    pictures : ndarray of uint8, shape (n, size, size, 1)
    answer : Answer
    """

    pictures: NDArray[np.uint8]
    answer: Answer

    @classmethod
    def read(cls, path: Path) -> Golden:
        """Read a ``golden.npz`` that `write` wrote."""
        with np.load(path, allow_pickle=False) as archive:
            embedding = archive["embedding"] if "embedding" in archive.files else None
            return cls(archive["pictures"], Answer(archive["logits"], archive["probabilities"], embedding))

    def write(self, path: Path) -> None:
        """Write the arrays ``pictures``, ``logits``, ``probabilities`` and, where there is one, ``embedding``."""
        told = {key: array for key, array in vars(self.answer).items() if array is not None}
        np.savez_compressed(path, pictures=self.pictures, **told)


def golden_rows(labels: NDArray[np.int64], rows: NDArray[np.int64], n: int = N_GOLDEN) -> NDArray[np.int64]:
    """Choose pictures for the golden set: as many of each class as there are, always the same ones.

    Parameters
    ----------
    labels : ndarray of int64
        Of all pictures.
    rows : ndarray of int64
        Those to choose from.
    n : int
        How many; all where there are fewer.

    Returns
    -------
    ndarray of int64, ascending

    Examples
    --------
    >>> golden_rows(np.array([0] * 8 + [1, 1]), np.arange(10), 5).tolist()[-2:]
    [8, 9]
    """
    drawn = np.random.default_rng(0).permutation(rows)
    turn = np.empty(len(drawn), np.int64)
    for label in np.unique(labels[drawn]):
        own = np.flatnonzero(labels[drawn] == label)
        turn[own] = np.arange(len(own))
    return np.sort(drawn[np.argsort(turn, kind="stable")[:n]])


def compare(
    format: str, answer: Answer, golden: Golden, contract: Contract, known: Novelty | None = None
) -> dict[str, Any]:
    """Compare an export's answer on the golden set with the model's.

    Parameters
    ----------
    format : str
        A key of `TOLERANCES`.
    answer : Answer
    golden : Golden
    contract : Contract
    known : Novelty, optional
        What the version remembers of its pictures; then novelty is compared too.

    Returns
    -------
    dict
        ``max_difference``, ``tolerance``, ``decision_changes``, ``passes`` and ``why``, as in
        `fdsearch.serving.exports.Export`.
    """
    tolerance = TOLERANCES[format]
    difference = float(np.abs(answer.probabilities - golden.answer.probabilities).max())  # NaN if any is
    (scores, verdicts), (expected, wanted) = (_told(each, contract, known) for each in (answer, golden.answer))
    pairs = zip(verdicts, wanted, strict=True)
    changes = sum(one != other for one, other in pairs)
    passes, why = difference <= tolerance, None
    if not np.isfinite(difference):
        why = "it answers with something that is no number"
    elif not passes:
        why = f"a probability differs by {difference:.2g} from the model's, {tolerance:g} is allowed"
    elif (apart := float(np.abs(np.log(scores / expected)).max(initial=0.0))) > NOVELTY_TOLERANCES[format]:
        passes, why = False, f"a novelty differs by the factor {np.exp(apart):.3g} from the model's"
    return {
        "max_difference": difference if np.isfinite(difference) else None,
        "tolerance": tolerance,
        "decision_changes": changes,
        "passes": passes,
        "why": why,
    }


def speeds(runtime: Runtime, pictures: NDArray[np.uint8]) -> dict[str, Any]:
    """Time a runtime that has just answered for `pictures`; what is not batched is measured the same way.

    Returns
    -------
    dict
        ``batch_1_ms`` and ``batch_32_per_s``.
    """
    batch = pictures[np.arange(BATCH) % len(pictures)]
    one = median_ms(lambda: runtime.run(batch[:1]), warm_up=2, rounds=3, runs=5)
    many = median_ms(lambda: runtime.run(batch), warm_up=int(len(pictures) != BATCH), rounds=2, runs=1)
    return {"batch_1_ms": round(one, 3), "batch_32_per_s": round(1000 * BATCH / many, 1)}


def _told(answer: Answer, contract: Contract, known: Novelty | None) -> tuple[NDArray[np.float64], list[Any]]:
    """Novelty (none without `known`), and label and decision, of each picture as if it were a part of its own."""
    rule, threshold = contract.decision, contract.novelty.threshold if contract.novelty else None
    decided = decide(answer.probabilities, contract.pass_mask, rule.model_dump() if rule else None)
    novelty = np.empty(0)
    if known is not None and threshold is not None and answer.embedding is not None:
        novelty = known.score(answer.embedding, answer.logits) / threshold
        decided = withheld(decided, novelty)
    return novelty, list(zip(predict(answer.logits).tolist(), decided, strict=True))
