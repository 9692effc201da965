"""From the rows of a manifest to parts: which rows have a picture, what is known beside it, what was proposed before.

`data.survey` asks with `group: auto`, the audit with any data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fdsearch.config import DataSpec
from fdsearch.data.group_sources import moments
from fdsearch.data.images import Picture
from fdsearch.data.manifest import Manifest
from fdsearch.data.parts.evidence import Clues
from fdsearch.data.parts.finding import Parts, find_parts
from fdsearch.data.parts.glance import glance
from fdsearch.data.parts.proposals import proposal_key, proposed
from fdsearch.imaging import Gray
from fdsearch.progress import Progress


def parts_of_rows(
    data: DataSpec,
    manifest: Manifest,
    pictures: Sequence[Picture | None],
    proposals: Path | None,
    progress: Progress,
    copies: Callable[[], Sequence[Gray]] | None = None,
) -> Parts:
    """Group the rows of a manifest by the parts they show, whatever `data.group` says.

    Parameters
    ----------
    data : DataSpec
        `data.group.time` may name the column of times; else one is guessed.
    manifest : Manifest
    pictures : sequence of Picture or None, length n
        By row; None where there is no readable picture.
    proposals : Path or None
        Folder of stored proposals: the same rows get the same answer. None stores nothing.
    progress : Progress
    copies : callable, optional
        Gives small copies of the rows with a picture, in order, where a caller has them from `glance`; asked only if no
        proposal is stored.

    Raises
    ------
    DataError
        If a picture has become unreadable since it was examined.
    ResourceError, StorageError
        If OpenCV is not installed, or the folder cannot be written.
    """
    names = tuple(row.filename for row in manifest.rows)
    clues = Clues(names, moments(data, manifest))

    def make() -> Parts:
        paths = [
            row.path
            for row, picture in zip(manifest.rows, pictures, strict=True)
            if picture is not None and row.path is not None
        ]
        small = iter(glance(paths, progress)[0] if copies is None else copies())
        nothing = np.zeros((1, 1), np.uint8)
        by_row = [nothing if picture is None else next(small) for picture in pictures]
        pixels = [None if picture is None else picture.facts.pixels for picture in pictures]
        return find_parts(by_row, clues, pixels, progress)

    key = proposal_key([None if picture is None else picture.content for picture in pictures], clues)
    return proposed(proposals, key, make)
