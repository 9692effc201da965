"""``holdout.npz``: what a version answered on the sealed pictures, so that two can be compared on the same ones.

`fdsearch.pipeline.holdout` writes it when it scores a candidate; runners-up, and versions of before, have none.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.errors import Fault, IntegrityError
from fdsearch.registry.arrays import read_arrays
from fdsearch.registry.manifest import RESTORE
from fdsearch.registry.version import ModelVersion

HOLDOUT = "holdout.npz"


@dataclass(frozen=True, eq=False)
class Sealed:
    """The answers of one version.

    Parameters
    ----------
    content : ndarray of str, shape (n,)
        SHA-256 of each picture's file.
    groups : ndarray of str, shape (n,)
        The part each picture shows.
    labels : ndarray of int64, shape (n,)
        True classes, as they were known when the version was scored.
    logits : ndarray of float32, shape (n, n_classes)
    classes : tuple of str
        In the order of the logits.
    filenames : ndarray of str, shape (n,), or None
        As the manifest of the data names the pictures, for a person.
    """

    content: NDArray[np.str_]
    groups: NDArray[np.str_]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]
    classes: tuple[str, ...]
    filenames: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        n, k = len(self.content), len(self.classes)
        shapes = self.content.shape, self.groups.shape, self.labels.shape, self.logits.shape
        if shapes != ((n,), (n,), (n,), (n, k)) or not np.isfinite(self.logits).all():
            raise ValueError("answers to other pictures, or none that is a number")
        if n and (self.labels.min() < 0 or self.labels.max() >= k):
            raise ValueError("labels outside the classes")

    def without_parts_of(self, content: Collection[str]) -> Sealed:
        """Leave out every part that one of some pictures shows, named by the SHA-256 of their files."""
        parts = self.groups[np.isin(self.content, list(content))]
        left = ~np.isin(self.groups, parts)
        return Sealed(self.content[left], self.groups[left], self.labels[left], self.logits[left], self.classes)

    def write(self, folder: Path) -> None:
        """Write the file into a draft's folder."""
        names: dict[str, Any] = {} if self.filenames is None else {"filenames": self.filenames.astype(np.str_)}
        np.savez_compressed(
            folder / HOLDOUT,
            content=self.content.astype("U64"),
            groups=self.groups.astype(np.str_),
            labels=self.labels.astype(np.int64),
            logits=self.logits.astype(np.float32),
            classes=np.asarray(self.classes, dtype=np.str_),
            **names,
        )

    @classmethod
    def of(cls, version: ModelVersion) -> Sealed | None:
        """Read a version's file; None where it has none.

        Raises
        ------
        IntegrityError
            If the bytes are not those that were registered, or are no such answers.
        """
        if HOLDOUT not in version.manifest.files:
            return None
        return cls._parse(version.read(HOLDOUT), version.path / HOLDOUT)

    @classmethod
    def read(cls, path: Path) -> Sealed:
        """Read the file of a draft; `IntegrityError` if it holds no such answers."""
        return cls._parse(path.read_bytes(), path)

    @classmethod
    def _parse(cls, content: bytes, where: Path) -> Sealed:
        try:
            arrays = read_arrays(content)
            return cls(
                content=arrays["content"].astype(np.str_),
                groups=arrays["groups"].astype(np.str_),
                labels=arrays["labels"].astype(np.int64),
                logits=arrays["logits"].astype(np.float32),
                classes=tuple(map(str, arrays["classes"].tolist())),
                filenames=arrays["filenames"].astype(np.str_) if "filenames" in arrays else None,
            )
        except (ValueError, KeyError, TypeError) as error:
            fault = Fault(str(where), str(error), "answers on sealed pictures", RESTORE)
            raise IntegrityError("the answers on sealed pictures cannot be read", [fault]) from error
