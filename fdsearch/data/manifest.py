"""The manifest: which files, with which labels; a CSV, or a folder with one subfolder per class.

Reads names and labels and judges them; pictures are not opened (`data.images`), parts not told apart (`data.groups`).
Faults are collected, not raised: `data.survey` adds those of pictures and groups, so that a person sees all at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fdsearch.config import DataSpec
from fdsearch.data.class_folders import read_class_folders
from fdsearch.data.corrections import Correction, read_corrections
from fdsearch.data.picture_files import PictureFolder
from fdsearch.data.tables import read_table
from fdsearch.errors import Fault, did_you_mean
from fdsearch.imaging import PictureError


@dataclass(frozen=True)
class ManifestRow:
    """One picture as the manifest and the corrections name it.

    Parameters
    ----------
    where : str
        Its place, for a fault: ``file, row N``, or the picture's path in a folder.
    filename, label : str
        The label after renaming and correction.
    path : Path or None
        The regular file inside the images folder; None where there is none, and then a fault says so.
    cells : mapping of str to str
        The row's other columns.
    group : str
        The corrections' group; empty where they name none.
    """

    where: str
    filename: str
    label: str
    path: Path | None
    cells: Mapping[str, str] = field(default_factory=dict)
    group: str = ""


@dataclass(frozen=True)
class Manifest:
    """The rows that are used, and what is wrong with the table.

    Parameters
    ----------
    source : Path
    rows : tuple of ManifestRow
        In the table's order, or sorted by path in a folder; without excluded and repeated ones.
    columns : tuple of str
        Columns beside filename and label.
    faults : list of Fault
    notes : tuple of str
    """

    source: Path
    rows: tuple[ManifestRow, ...]
    columns: tuple[str, ...]
    faults: list[Fault]
    notes: tuple[str, ...] = ()


def read_manifest(spec: DataSpec) -> Manifest:
    """Read the manifest of a study and lay its corrections over it.

    Parameters
    ----------
    spec : DataSpec
        With existing or missing paths: what is missing becomes a fault.

    Returns
    -------
    Manifest
        Never raises for bad data: faults are listed in it, each with file and row.
    """
    manifest = _from_folder(spec) if spec.manifest.is_dir() else _from_csv(spec)
    if spec.corrections is not None:
        manifest = _corrected(manifest, spec.corrections)
    manifest = _renamed(manifest, spec.rename)
    faults = list(manifest.faults)
    rows = _located(_distinct(manifest.rows, faults), _images(spec), faults)
    if not rows and not faults:
        fault = Fault(str(spec.manifest), "no pictures", "at least one", "check the path and the corrections")
        faults.append(fault)
    return replace(manifest, rows=tuple(rows), faults=faults)


def _images(spec: DataSpec) -> Path:
    """Where filenames start from."""
    if spec.manifest.is_dir():
        return spec.manifest
    return spec.images or spec.manifest.parent


def _from_csv(spec: DataSpec) -> Manifest:
    required = list(dict.fromkeys([spec.filename, spec.label, *spec.metadata]))
    table = read_table(spec.manifest, required)
    columns = tuple(name for name in table.columns if name not in (spec.filename, spec.label))
    rows = []
    for row in table.rows:
        cells = {name: row.cells[name] for name in columns}
        rows.append(ManifestRow(table.where(row.number), row.cells[spec.filename], row.cells[spec.label], None, cells))
    return Manifest(spec.manifest, tuple(rows), columns, list(table.faults))


def _from_folder(spec: DataSpec) -> Manifest:
    """One row per picture below a subfolder that names its class."""
    found = read_class_folders(spec.manifest)
    rows = tuple(ManifestRow(str(spec.manifest / name), name, name.partition("/")[0], None) for name in found.filenames)
    faults = [
        Fault(str(spec.manifest), "a folder, which has no columns", f"a CSV with a column {column}", "use a CSV")
        for column in spec.metadata
    ]
    return Manifest(spec.manifest, rows, (), [*found.faults, *faults], found.notes)


def _corrected(manifest: Manifest, path: Path) -> Manifest:
    corrections, faults = read_corrections(path, {row.filename for row in manifest.rows})
    rows = [_apply(row, corrections.get(row.filename)) for row in manifest.rows]
    kept = tuple(row for row in rows if row is not None)
    excluded = len(rows) - len(kept)
    notes = (f"corrections: {len(corrections)}; rows excluded: {excluded}",) if corrections else ()
    # Without a readable manifest every correction would be a fault of its own, and help nobody.
    faults = faults if manifest.rows else []
    return replace(manifest, rows=kept, faults=[*manifest.faults, *faults], notes=(*manifest.notes, *notes))


def _apply(row: ManifestRow, correction: Correction | None) -> ManifestRow | None:
    if correction is None:
        return row
    if correction.exclude:
        return None
    return replace(row, label=correction.label or row.label, group=correction.group)


def _renamed(manifest: Manifest, rename: Mapping[str, str]) -> Manifest:
    labels = sorted({row.label for row in manifest.rows})
    notes = [
        f"`rename` names the label {old}, which does not occur ({did_you_mean(old, labels)})"
        for old in rename
        if labels and old not in labels
    ]
    rows = tuple(replace(row, label=rename.get(row.label, row.label)) for row in manifest.rows)
    return replace(manifest, rows=rows, notes=(*manifest.notes, *notes))


def _distinct(rows: Iterable[ManifestRow], faults: list[Fault]) -> list[ManifestRow]:
    """Rows with a label and a filename that no earlier row has; the others are faults."""
    first: dict[str, ManifestRow] = {}
    for row in rows:
        name = "/".join(part for part in row.filename.split("/") if part != ".")
        earlier = first.setdefault(name, row)
        if not row.label:
            fix = "write its label, or exclude it with `data.corrections`"
            faults.append(Fault(row.where, f"no label for {row.filename}", "a label", fix))
        if earlier is row:
            continue
        if earlier.label != row.label:
            got = f"{row.filename} labelled {row.label}, and {earlier.label} in {_row_of(earlier)}: conflicting labels"
        else:
            got = f"{row.filename} again (first in {_row_of(earlier)}): duplicate filename"
        faults.append(Fault(row.where, got, "each picture once", "remove one of the rows"))
    return [row for row in first.values() if row.label]


def _located(rows: Iterable[ManifestRow], images: Path, faults: list[Fault]) -> list[ManifestRow]:
    """The rows with the files their names lead to."""
    if not images.is_dir():
        faults.append(Fault(str(images), "no such folder", "the folder of the pictures", "mend `data.images`"))
        return list(rows)
    folder = PictureFolder(images)
    located: list[ManifestRow] = []
    for row in rows:
        try:
            located.append(replace(row, path=folder.find(row.filename)))
        except PictureError as error:
            faults.append(replace(error.fault(row.where), got=f"{row.filename!r}: {error.got}"))
            located.append(row)
    return located


def _row_of(row: ManifestRow) -> str:
    return row.where.rpartition(", ")[2]
