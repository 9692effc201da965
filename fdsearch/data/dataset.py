"""The pictures of a study with labels and groups, and the two roles they can have.

`Development` and `Holdout` are distinct types, so that code which trains cannot be handed sealed pictures by mistake.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.data.images import PixelStore
from fdsearch.files import digest_json
from fdsearch.progress import Progress, Silent

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """Pictures in manifest order.

    Parameters
    ----------
    filenames : tuple of str
        As the manifest names them.
    paths : tuple of Path
        The files.
    content : tuple of str
        SHA-256 of each file's bytes.
    labels : ndarray of int64, shape (n,)
        Index into `classes`.
    groups : ndarray of int64, shape (n,)
        Index into `group_names`; pictures of one part share a group.
    classes, group_names : tuple of str
    pass_classes : tuple of str
        The classes that let a part pass.
    metadata : mapping of str to tuple of str
        Columns of the manifest that a rule or a model may use, row by row.
    store : PixelStore
        Where decoded pictures are kept.
    digest, label_digest, group_digest : str
        SHA-256 over the files' bytes and the decoder's version; over labels; over groups.
    notes : tuple of str
        What a person should know: conversions, inferred groups, classes with few groups.
    group_confidence : ndarray of float64, shape (n,), or None
        Of each picture's group, 0 to 1; None where every group is as certain as its source, 1.
    groups_inferred : bool
        Whether groups were told from the pictures: a score's interval does not contain that uncertainty.
    """

    filenames: tuple[str, ...]
    paths: tuple[Path, ...]
    content: tuple[str, ...]
    labels: Ints
    groups: Ints
    classes: tuple[str, ...]
    group_names: tuple[str, ...]
    pass_classes: tuple[str, ...]
    metadata: Mapping[str, tuple[str, ...]]
    store: PixelStore
    digest: str
    label_digest: str
    group_digest: str
    notes: tuple[str, ...] = ()
    group_confidence: NDArray[np.float64] | None = None
    groups_inferred: bool = False

    def __len__(self) -> int:
        return len(self.filenames)

    @property
    def identity(self) -> str:
        """One digest for pictures, labels and groups together."""
        return digest_json([self.digest, self.label_digest, self.group_digest])

    @property
    def counts(self) -> dict[str, int]:
        """Pictures per class."""
        numbers = np.bincount(self.labels, minlength=len(self.classes))
        return {name: int(number) for name, number in zip(self.classes, numbers, strict=True)}

    @property
    def group_counts(self) -> dict[str, int]:
        """Groups per class; a group with several classes counts in each."""
        return {name: len(np.unique(self.groups[self.labels == label])) for label, name in enumerate(self.classes)}

    def decode(self, sizes: Iterable[tuple[int, str]], progress: Progress | None = None) -> dict[tuple[int, str], Path]:
        """Make the pixel files of several (size, resize policy) pairs in one pass over the pictures.

        Returns
        -------
        dict
            Each pair's file: a ``.npy`` of uint8, shape (n, size, size, 1), to be memory-mapped.
        """
        return self.store.decode(self.paths, self.content, list(sizes), progress or Silent())

    def pixels(self, size: int, resize: str) -> NDArray[np.uint8]:
        """The memory-mapped pictures of one size, shape (n, size, size, 1)."""
        mapped: Any = np.load(self.decode([(size, resize)])[size, resize], mmap_mode="r")
        return mapped  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Development:
    """The rows that may be looked at, trained on and selected with."""

    dataset: Dataset
    rows: Ints


@dataclass(frozen=True)
class Holdout:
    """The sealed rows: scored once, for the candidate, and every opening is logged."""

    dataset: Dataset
    rows: Ints
