"""From a study's data section to a `Dataset`, or to one error that lists everything that is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fdsearch.config import DataSpec
from fdsearch.data.dataset import Dataset
from fdsearch.data.images import PixelStore
from fdsearch.data.survey import Survey, survey
from fdsearch.errors import DataError
from fdsearch.files import digest_json
from fdsearch.imaging import DECODER_VERSION
from fdsearch.progress import Progress, Silent


def load_dataset(
    data: DataSpec, store: PixelStore, progress: Progress | None = None, proposals: Path | None = None
) -> Dataset:
    """Read a manifest, check all its pictures and tell its groups.

    Pictures whose bytes are known to the store are not opened: a second call costs one ``stat`` per file. A changed
    picture is noticed by its size or modification time and changes the digest.

    Parameters
    ----------
    data : DataSpec
    store : PixelStore
    progress : Progress, optional
    proposals : Path, optional
        Folder where groups that were told from the pictures (``group: auto``) are kept and found again.

    Returns
    -------
    Dataset
        In manifest order; `metadata` holds every column beside filename and label.

    Raises
    ------
    DataError
        Listing every fault: of the table, of each file and picture, of groups, and classes with fewer than 3 groups.
    ResourceError, StorageError
        If the disk is full, a folder cannot be written, or groups are to be told without OpenCV.
    """
    found = survey(data, store, progress or Silent(), proposals)
    if found.faults:
        count = len(found.faults)
        raise DataError(f"the data has {count} fault{'s' if count > 1 else ''}", found.faults)
    return _dataset(data, found, store)


def _dataset(data: DataSpec, found: Survey, store: PixelStore) -> Dataset:
    rows = found.manifest.rows
    number = {name: index for index, name in enumerate(found.classes)}
    labels = [row.label for row in rows]
    content = tuple(picture.content for picture in found.pictures if picture is not None)
    return Dataset(
        filenames=tuple(row.filename for row in rows),
        paths=tuple(row.path for row in rows if row.path is not None),
        content=content,
        labels=np.array([number[label] for label in labels], np.int64),
        groups=found.groups.ids,
        classes=found.classes,
        group_names=found.groups.names,
        pass_classes=data.pass_classes,
        metadata={column: tuple(row.cells[column] for row in rows) for column in found.manifest.columns},
        store=store,
        # In manifest order: pixel files and caches are addressed by row.
        digest=digest_json([DECODER_VERSION, list(content)]),
        label_digest=digest_json([list(found.classes), labels]),
        group_digest=digest_json(found.groups.ids.tolist()),
        notes=found.notes,
        group_confidence=found.groups.confidence,
        groups_inferred=found.groups.inferred,
    )
