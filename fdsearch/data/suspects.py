"""Labels that look wrong from what a model says which did not train on their picture (confident learning).

Works on arrays of rows that may be looked at; `data.audit` names the pictures. Nothing is excluded by it: where a
model is weak, many a suspect is merely hard.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def suspects(probabilities: ArrayLike, labels: ArrayLike, groups: ArrayLike) -> list[dict[str, Any]]:
    """Find the labels that the model's own standard for another class contradicts.

    A class's standard is the mean probability that its own pictures get for it. A picture is suspect where, among the
    classes whose standard its probability reaches, the most probable one is not its label.

    Parameters
    ----------
    probabilities : array-like, shape (n, n_classes)
        Calibrated and out of fold; a row that holds NaN was not predicted.
    labels : array-like of int, shape (n,)
    groups : array-like of int, shape (n,)
        Part of each picture.

    Returns
    -------
    list of dict
        ``row``, ``label`` and ``proposed`` (class numbers), ``probability`` (of the proposed class), ``given`` (of the
        label), ``mixed_part`` (whether the part's pictures carry several labels). The widest margin first; pictures of
        mixed parts after the others, because a defect may show in some pictures of its part only.

    References
    ----------
    Northcutt, Jiang and Chuang (2021), Confident learning: estimating uncertainty in dataset labels, Journal of
    Artificial Intelligence Research 70, section 3.1.

    Examples
    --------
    >>> sure, wrong = [0.9, 0.1], [0.1, 0.9]
    >>> [found] = suspects([sure] * 4 + [wrong] * 5, [0, 0, 0, 0, 0, 1, 1, 1, 1], range(9))
    >>> found["row"], found["label"], found["proposed"], found["probability"]
    (4, 0, 1, 0.9)
    """
    chances, true, group = np.asarray(probabilities, np.float64), np.asarray(labels, np.int64), np.asarray(groups)
    known = np.flatnonzero(~np.isnan(chances).any(axis=1))
    if not len(known):
        return []
    mixed = _mixed_parts(true, group)
    standard = _standards(chances[known], true[known])
    found: list[dict[str, Any]] = []
    for row in known.tolist():
        reached = np.where(chances[row] >= standard, chances[row], -1.0)
        proposed, label = int(reached.argmax()), int(true[row])
        if reached[proposed] < 0 or reached[proposed] == reached[label]:
            continue
        found.append(
            {
                "row": row,
                "label": label,
                "proposed": proposed,
                "probability": float(chances[row, proposed]),
                "given": float(chances[row, label]),
                "mixed_part": group[row] in mixed,
            }
        )
    return sorted(found, key=lambda entry: (entry["mixed_part"], entry["given"] - entry["probability"]))


def _standards(chances: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean probability of each class among its own pictures; out of reach for a class without any."""
    n_classes = chances.shape[1]
    own = np.bincount(labels, weights=chances[np.arange(len(labels)), labels], minlength=n_classes)
    counts = np.bincount(labels, minlength=n_classes)
    # The tolerance keeps a class whose pictures all get the same probability within its own standard.
    return np.where(counts > 0, own / np.maximum(counts, 1) - 1e-9, np.inf)


def _mixed_parts(labels: NDArray[np.int64], groups: NDArray[np.int64]) -> set[int]:
    """The groups whose pictures carry more than one label."""
    pairs = np.unique(np.column_stack([groups, labels]), axis=0)
    names, counts = np.unique(pairs[:, 0], return_counts=True)
    return set(names[counts > 1].tolist())
