"""One look at everything a study's data consists of: manifest, pictures, groups, and all that is wrong with them.

`data.load` makes a `Dataset` of a survey without faults, `data.audit` a table of any.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fdsearch.config import DataSpec, GroupSpec
from fdsearch.data.groups import Groups, assign_groups
from fdsearch.data.images import Picture, PixelStore
from fdsearch.data.manifest import Manifest, read_manifest
from fdsearch.data.parts.finding import Parts
from fdsearch.data.parts.rows import parts_of_rows
from fdsearch.errors import Fault, did_you_mean
from fdsearch.imaging import PictureError, extension_note
from fdsearch.progress import Progress

MIN_GROUPS = 3
"""Groups a class needs: one for the holdout, one to train on and one to validate with."""


@dataclass(frozen=True)
class Survey:
    """What was found.

    Parameters
    ----------
    manifest : Manifest
    pictures : tuple of Picture or None, length n
        By row of the manifest; None where there is no readable picture.
    groups : Groups
    classes : tuple of str
        In natural order.
    faults : tuple of Fault
        Of the manifest, of pictures, of groups and of classes, in this order.
    notes : tuple of str
    parts : Parts or None
        What was told from the pictures; None where `data.group` is another source, or the data has faults already.
    """

    manifest: Manifest
    pictures: tuple[Picture | None, ...]
    groups: Groups
    classes: tuple[str, ...]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]
    parts: Parts | None = None


def survey(data: DataSpec, store: PixelStore, progress: Progress, proposals: Path | None = None) -> Survey:
    """Read the manifest, examine every picture and tell the groups.

    Raises only if the store, or the folder of proposed groups, cannot be written, or if OpenCV is missing for
    ``group: auto``. Data with faults is refused anyway, and its pictures are not compared first.
    """
    manifest = read_manifest(data)
    pictures, picture_faults = _examine(manifest, store, progress)
    pixels = [picture.facts.pixels if picture else None for picture in pictures]
    parts = None
    if data.group.auto and not manifest.faults and not picture_faults:
        parts = parts_of_rows(data, manifest, pictures, proposals, progress)
    groups = assign_groups(data, manifest, pixels, parts)
    classes = tuple(sorted({row.label for row in manifest.rows}, key=natural_key))
    faults = [*manifest.faults, *picture_faults, *groups.faults]
    faults += _class_faults(data, manifest, classes)
    if manifest.rows and not groups.faults:
        faults += _group_count_faults(data, manifest, groups, classes)
    notes = (*manifest.notes, *_picture_notes(manifest, pictures), *groups.notes)
    return Survey(manifest, pictures, groups, classes, tuple(faults), notes, parts)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key under which digits count as numbers.

    Examples
    --------
    >>> sorted(["10", "9", "b2", "b10", "-1", "Free"], key=natural_key)
    ['-1', '9', '10', 'Free', 'b2', 'b10']
    """
    if re.fullmatch(r"-?[0-9]+", name):
        return [(0, int(name), name)]
    parts = re.split(r"([0-9]+)", name)
    return [(1, int(part), part) if index % 2 else (2, 0, part) for index, part in enumerate(parts) if part]


def _examine(
    manifest: Manifest, store: PixelStore, progress: Progress
) -> tuple[tuple[Picture | None, ...], list[Fault]]:
    """Examine the rows that have a file; the others have a fault already."""
    found = iter(store.examine([row.path for row in manifest.rows if row.path is not None], progress))
    pictures: list[Picture | None] = []
    faults: list[Fault] = []
    for row in manifest.rows:
        outcome = next(found) if row.path is not None else None
        if isinstance(outcome, PictureError):
            fault = outcome.fault(row.where)
            fix = f"{fault.fix}, or exclude it with `data.corrections`"
            faults.append(replace(fault, got=f"{row.filename}: {fault.got}", fix=fix))
        pictures.append(outcome if isinstance(outcome, Picture) else None)
    return tuple(pictures), faults


def _class_faults(data: DataSpec, manifest: Manifest, classes: Sequence[str]) -> list[Fault]:
    if not manifest.rows:
        return []
    faults = [
        Fault("study: $.data.pass_classes", name, "a class of the manifest", did_you_mean(name, classes))
        for name in data.pass_classes
        if name not in classes
    ]
    if len(classes) == 1:
        fix = "add pictures of another class, or correct `data.label`"
        faults.append(Fault(str(manifest.source), f"the class {classes[0]} alone", "at least two classes", fix))
    return faults


def _group_count_faults(data: DataSpec, manifest: Manifest, groups: Groups, classes: Sequence[str]) -> list[Fault]:
    labels = np.array([row.label for row in manifest.rows])
    counts = {name: len(np.unique(groups.ids[labels == name])) for name in classes}
    unit = "pictures" if data.group == GroupSpec() else "groups"
    fix = "merge it with another class (`data.rename`), drop it (`data.corrections`), or collect more parts"
    if groups.inferred:
        fix += (
            "; groups were inferred: look at those that `fdsearch data audit` lists, and correct them in its worklist"
        )
    return [
        Fault(f"{manifest.source}: class {name}", f"{count} {unit}", f"at least {MIN_GROUPS}", fix)
        for name, count in counts.items()
        if count < MIN_GROUPS
    ]


def _picture_notes(manifest: Manifest, pictures: Iterable[Picture | None]) -> list[str]:
    """One note per kind of conversion, with the number of pictures and the first of them."""
    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for row, picture in zip(manifest.rows, pictures, strict=True):
        if picture is None:
            continue
        extension = extension_note(row.filename, picture.facts.format)
        for note in [*picture.facts.notes, *([extension] if extension else [])]:
            counts[note] += 1
            first.setdefault(note, row.filename)
    return [f"{count} of {len(manifest.rows)} pictures: {note} (first {first[note]})" for note, count in counts.items()]
