"""``reference.npz``: what the development pictures looked like, for `drift` to hold a production batch against.

`pipeline` writes it with a version; the manifest seals it. Plain arrays, read as untrusted. `reduction` makes the
embedding small, `traits` measured the pictures.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fdsearch.errors import Fault, IntegrityError
from fdsearch.files import write_atomic
from fdsearch.registry.arrays import read_arrays
from fdsearch.registry.manifest import RESTORE
from fdsearch.serving.reduction import MOST_NUMBERS, Reduction, fit_reduction
from fdsearch.serving.traits import TRAITS

REFERENCE = "reference.npz"
FORMAT = 1

MAX_BYTES = 1 << 26
"""Largest file that is read; 20,000 pictures with everything take 5 MB."""

MAX_PICTURES = 20_000
"""More are thinned by whole parts: what a comparison can find depends on the smaller of its two sides."""

BASIS_SHARE = 1 / 3
"""Share of each class's parts that choose the directions of the reduction and are left out of every comparison of
embeddings: along directions that were fitted to them, pictures look unlike fresh ones."""

_RANDOM_STATE = 0


@dataclass(frozen=True, eq=False)
class Reference:
    """The development pictures of one version, n of them.

    Parameters
    ----------
    classes : tuple of str
        In the order of `probabilities`.
    labels, groups : ndarray of int64, shape (n,)
        Class and part of each picture.
    probabilities : ndarray of float32, shape (n, n_classes)
        Calibrated, out of fold: said by models that were not trained on the picture. NaN where none was asked.
    traits : ndarray of float64, shape (n, 7)
        As `fdsearch.serving.traits.measure` returns them.
    reduction : Reduction or None
        None where the version's model answers with no embedding; `embedding` is then None too.
    embedding : ndarray of float32, shape (n, k), or None
        Reduced to k <= 64 numbers.
    basis : ndarray of bool, shape (n,)
        Pictures of the parts that chose the reduction.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    traits: NDArray[np.float64]
    reduction: Reduction | None
    embedding: NDArray[np.float32] | None
    basis: NDArray[np.bool_]

    @classmethod
    def parse(cls, content: bytes, where: str) -> Reference:
        """Read a reference's bytes.

        Parameters
        ----------
        content : bytes
        where : str
            Names the file in faults.

        Raises
        ------
        IntegrityError
            If they are too many, hold anything but the arrays of this format, or numbers that make no sense.
        """
        try:
            if len(content) > MAX_BYTES:
                raise ValueError(f"{len(content)} bytes, more than {MAX_BYTES}")
            return _checked(read_arrays(content, MAX_BYTES))
        except (ValueError, KeyError, TypeError) as error:
            fault = Fault(where, f"{error}"[:300], "the reference as fdsearch writes it", RESTORE)
            raise IntegrityError("the reference pictures of the version cannot be read", [fault]) from error


def save(
    folder: Path,
    *,
    embedding: ArrayLike | None,
    labels: ArrayLike,
    groups: ArrayLike,
    probabilities: ArrayLike,
    traits: ArrayLike,
    classes: tuple[str, ...] | list[str],
) -> Path:
    """Write ``reference.npz`` into the folder of a draft.

    Parameters
    ----------
    folder : Path
    embedding : array-like of float32, shape (n, d), or None
        What the saved model answers as `Answer.embedding` for each development picture, as it is: the reduction is
        fitted here. It must come from layers that no phase trained: else the pictures that a model was fitted to
        differ from all others by that alone. None where there is no such embedding; none is stored either where the
        pictures are too few, or all alike, to reduce it.
    labels, groups : array-like of int, shape (n,)
    probabilities : array-like of float, shape (n, n_classes)
        Out of fold, calibrated as the contract says, by fits to other parts; rows of NaN where nobody predicted.
    traits : array-like of float, shape (n, 7)
        From `fdsearch.serving.traits.measure` or `measure_files`, of the original pictures.
    classes : sequence of str
        In the order of `probabilities`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If the arrays do not fit together.
    """
    label, group = np.asarray(labels, np.int64), np.unique(np.asarray(groups), return_inverse=True)[1]
    kept, basis = _parts(label, group)
    arrays: dict[str, NDArray[Any]] = {
        "format": np.array(FORMAT),
        "classes": np.array([name.encode() for name in classes]),
        "labels": label[kept],
        "groups": group[kept].astype(np.int64),
        "probabilities": np.asarray(probabilities, np.float32)[kept],
        "traits": np.asarray(traits, np.float64)[kept],
        "basis": basis[kept],
    }
    if embedding is not None:
        whole = np.asarray(embedding, np.float32)[kept]
        reduction = fit_reduction(whole[basis[kept]])
        if reduction is not None:
            arrays |= {"mean": reduction.mean, "directions": reduction.directions}
            arrays["embedding"] = reduction.apply(whole).astype(np.float16)
    _checked(arrays)
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    write_atomic(folder / REFERENCE, stream.getvalue())
    return folder / REFERENCE


def _parts(labels: NDArray[np.int64], groups: NDArray[np.intp]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which pictures are kept, and which of them are of the parts that choose the reduction: every third of a class."""
    # RandomState, not Generator: its stream never changes (NEP 19).
    order = np.random.RandomState(_RANDOM_STATE).permutation(int(groups.max(initial=-1)) + 1)
    sizes = np.bincount(groups, minlength=len(order))
    kept_parts = np.zeros(len(order), bool)
    kept_parts[order] = np.cumsum(sizes[order]) <= MAX_PICTURES
    counts = np.bincount(labels)
    rarest = np.full(len(order), -1)
    for label in np.argsort(-counts, kind="stable"):  # a part of several classes counts as its rarest
        rarest[groups[labels == label]] = label
    basis_parts = np.zeros(len(order), bool)
    for label in np.unique(rarest):
        mine = order[(rarest == label)[order] & kept_parts[order]]
        basis_parts[mine[: round(len(mine) * BASIS_SHARE)]] = True
    return kept_parts[groups], basis_parts[groups]


def _checked(arrays: dict[str, NDArray[Any]]) -> Reference:
    """The reference that some arrays are; `ValueError` or `KeyError` where they are none."""
    if int(_typed(arrays, "format", "iu", 0)) != FORMAT:
        raise ValueError(f"reference.npz is of format {arrays['format']}, not {FORMAT}")
    classes = tuple(name.decode() for name in _typed(arrays, "classes", "S", 1).tolist())
    labels, groups = (_typed(arrays, name, "iu", 1).astype(np.int64) for name in ("labels", "groups"))
    probabilities, traits = (_typed(arrays, name, "f", 2) for name in ("probabilities", "traits"))
    basis = _typed(arrays, "basis", "b", 1).astype(bool)
    n = len(labels)
    if not (len(groups) == len(probabilities) == len(traits) == len(basis) == n > 0):
        raise ValueError("arrays of different lengths")
    if probabilities.shape[1] != len(classes) or traits.shape[1] != len(TRAITS):
        raise ValueError(f"{probabilities.shape[1]} probabilities and {traits.shape[1]} traits of a picture")
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise ValueError("fewer than two classes, or one of them twice")
    if labels.min() < 0 or labels.max() >= len(classes):
        raise ValueError("labels that are not of the classes")
    known = ~np.isnan(probabilities).any(axis=1)
    if not np.isfinite(traits).all() or (np.abs(probabilities[known].sum(axis=1) - 1) > 1e-3).any():
        raise ValueError("traits that are not finite, or probabilities that do not sum to 1")
    if (probabilities[known] < 0).any():
        raise ValueError("probabilities below 0")
    reduction, embedding = _reduced(arrays, n)
    return Reference(
        classes,
        labels,
        groups,
        probabilities.astype(np.float32),
        traits.astype(np.float64),
        reduction,
        embedding,
        basis,
    )


def _reduced(arrays: dict[str, NDArray[Any]], n: int) -> tuple[Reduction | None, NDArray[np.float32] | None]:
    if "embedding" not in arrays:
        return None, None
    mean, directions = _typed(arrays, "mean", "f", 1), _typed(arrays, "directions", "f", 2)
    embedding = _typed(arrays, "embedding", "f", 2).astype(np.float32)
    if directions.shape[0] != len(mean) or embedding.shape != (n, directions.shape[1]):
        raise ValueError(f"directions of shape {directions.shape} for an embedding of shape {embedding.shape}")
    if not 0 < directions.shape[1] <= MOST_NUMBERS:
        raise ValueError(f"{directions.shape[1]} numbers of each picture, not 1 to {MOST_NUMBERS}")
    if not all(np.isfinite(each).all() for each in (mean, directions, embedding)):
        raise ValueError("an embedding that is not finite")
    return Reduction(mean.astype(np.float32), directions.astype(np.float32)), embedding


def _typed(arrays: dict[str, NDArray[Any]], name: str, kinds: str, dimensions: int) -> NDArray[Any]:
    if name not in arrays:
        raise ValueError(f"no array {name}")
    found = arrays[name]
    if found.dtype.kind not in kinds or found.ndim != dimensions:
        raise ValueError(f"{name} is {found.dtype} with {found.ndim} dimensions")
    return found
