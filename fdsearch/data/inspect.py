"""A first look at somebody's folder of pictures, and the study to start from.

Looks at names, tables and the headers of some pictures, decodes none and judges nothing: `fdsearch data audit` does.
`picture_tables` finds the tables, `guess` holds the rules.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from fdsearch.data.class_folders import read_class_folders
from fdsearch.data.folds import MIN_GROUPS
from fdsearch.data.guess import (
    group_column,
    label_column,
    metadata_columns,
    pass_classes,
)
from fdsearch.data.headers import median_size
from fdsearch.data.picture_tables import PictureTable, picture_tables
from fdsearch.data.survey import natural_key
from fdsearch.errors import DataError, Fault
from fdsearch.spelling import NAME_PATTERN

BUDGET = "40m"
MANY = 20_000
"""Pictures that processors alone do not get through in `BUDGET`."""


@dataclass(frozen=True)
class Inspection:
    """What a folder seems to hold.

    Parameters
    ----------
    name : str
        A study's name made of the folder's.
    manifest, images : Path
        Absolute; the same folder where subfolders are the classes.
    filename, label : str
        Columns; meaningless for class folders.
    group : str or dict
        A column, ``auto``, or ``{"csv": path, "column": name}``.
    metadata : tuple of str
    classes : mapping of str to int
        Pictures per class.
    pass_classes : tuple of str
        Classes that are called as good parts are.
    size : tuple of int or None
        Median width and height of some pictures, pixels; None where none could be told.
    """

    name: str
    manifest: Path
    images: Path
    filename: str
    label: str
    group: str | dict[str, str]
    metadata: tuple[str, ...]
    classes: Mapping[str, int]
    pass_classes: tuple[str, ...]
    size: tuple[int, int] | None = None

    @property
    def n(self) -> int:
        """Number of pictures."""
        return sum(self.classes.values())

    @property
    def n_splits(self) -> int:
        """Folds that each class can take part in."""
        return 5 if min(self.classes.values()) >= 10 else 3

    @property
    def why(self) -> tuple[str, ...]:
        """Why the study is what it is, a sentence each."""
        rarest = min(self.classes, key=lambda name: self.classes[name])
        group = f"column {self.group}, by its name and because its values come back"
        if self.group == "auto":
            group = "auto, for no column names the parts: they are told from the pictures"
        elif isinstance(self.group, dict):
            group = f"column {self.group['column']} of {Path(self.group['csv']).name}, which has a row for each picture"
        shown = "" if self.size is None else f" of about {self.size[0]} x {self.size[1]} px"
        slow = "; so many pictures need a GPU, or more time" if self.n > MANY else ""
        return (
            f"classes: {len(self.classes)}, of {self.n} pictures{shown}",
            f"group: {group}",
            f"n_splits: {self.n_splits}, for the rarest class, {rarest}, has {self.classes[rarest]} pictures",
            "space: auto, chosen when the data is read, from parts, sizes, this machine and the budget",
            f"budget: {BUDGET} of one run, more than half of it search; the number of trials follows{slow}",
        )


def inspect_folder(folder: Path) -> Inspection:
    """Find the pictures and labels of a folder, or of one CSV in it.

    A CSV that names existing pictures goes before subfolders. Of several, the one with most rows and a label counts.

    Parameters
    ----------
    folder : Path
        A folder, or a CSV: then that one counts.

    Raises
    ------
    DataError
        If there is neither a usable CSV nor two subfolders with pictures; the faults say what was looked at.
    """
    chosen = folder.resolve() if folder.is_file() else None
    root = chosen.parent if chosen else folder.resolve()
    if not root.is_dir():
        fault = Fault(str(folder), "no folder and no file", "a folder of pictures, or their CSV", "check the path")
        raise DataError("there is nothing to look at", [fault])
    faults: list[Fault] = []
    tables = picture_tables(root, faults)
    labelled = [table for table in tables if label_column(table.others) and chosen in (None, table.path)]
    if labelled:
        # The first of equals: the table nearest to the root, in the order of names.
        best = max(labelled, key=lambda table: len(table.columns[table.filename]))
        return _from_table(root, best, [table for table in tables if table is not best])
    faults += [Fault(str(table.path), "no column of labels", "one", "add labels") for table in tables]
    if chosen:
        raise DataError("the table is no manifest", [fault for fault in faults if str(chosen) in fault.where] or faults)
    return _from_folders(root, faults)


def _from_table(root: Path, table: PictureTable, others: Sequence[PictureTable]) -> Inspection:
    columns = table.others
    label = label_column(columns) or ""
    counts = Counter(table.columns[label])
    rest = {name: cells for name, cells in columns.items() if name != label}
    group: str | dict[str, str] | None = group_column(rest, len(counts)) or _group_table(table, others, len(counts))
    return Inspection(
        name=_study_name(root.name),
        manifest=table.path,
        images=table.images,
        filename=table.filename,
        label=label,
        group=group or "auto",
        metadata=tuple(name for name in metadata_columns(rest) if name != group),
        classes=_sorted(counts),
        pass_classes=tuple(pass_classes(list(counts))),
        size=median_size([table.images / name for name in table.columns[table.filename]]),
    )


def _from_folders(root: Path, faults: list[Fault]) -> Inspection:
    """Each subfolder with pictures is a class."""
    found = read_class_folders(root)
    counts = Counter(name.partition("/")[0] for name in found.filenames)
    if len(counts) < 2:
        got = f"{len(counts)} subfolders with pictures"
        fix = "add labels.csv with the columns filename and label, or sort the pictures into one subfolder per class"
        raise DataError(
            "no labels were found", [*faults, Fault(str(root), got, "2 or more, or a CSV that names pictures", fix)]
        )
    return Inspection(
        name=_study_name(root.name),
        manifest=root,
        images=root,
        filename="filename",
        label="label",
        group="auto",
        metadata=(),
        classes=_sorted(counts),
        pass_classes=tuple(pass_classes(list(counts))),
        size=median_size([root / name for name in found.filenames]),
    )


def _group_table(table: PictureTable, others: Sequence[PictureTable], n_classes: int) -> dict[str, str] | None:
    """A further CSV that names the part of each picture."""
    for other in others:
        named = set(other.columns[other.filename]) >= set(table.columns[table.filename])
        column = group_column(other.others, n_classes) if other.filename == table.filename and named else None
        if column:
            return {"csv": str(other.path), "column": column}
    return None


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return {name: counts[name] for name in sorted(counts, key=natural_key)}


def _study_name(folder: str) -> str:
    """A folder's name in the letters that a study's may have.

    Examples
    --------
    >>> _study_name("Line 7 (März)")
    'line-7-m-rz'
    """
    plain = re.sub(r"[^a-z0-9._-]+", "-", folder.lower()).strip("._-")[:64]
    return plain if re.fullmatch(NAME_PATTERN, plain) else "study"


def study_text(inspection: Inspection) -> str:
    """A study for what was found: YAML with comments, its paths absolute, which `study_reader` accepts.

    Class names and paths come from files, so everything that could be more than a plain word is quoted.
    """
    return "\n".join([*_head(inspection), *_data(inspection), *_settings(inspection)]) + "\n"


def _head(found: Inspection) -> list[str]:
    lines = [f"# {found.n} pictures in {len(found.classes)} classes. Check what was guessed, then:"]
    lines += [f"#   {_comment(why)}" for why in found.why]
    lines += ["#"]
    lines += ["#   fdsearch data audit THIS_FILE      counts, faults, duplicates"]
    lines += ["#   fdsearch run THIS_FILE --dry-run   the plan and its cost"]
    lines += ["#   fdsearch run THIS_FILE             the search; the same command continues it"]
    return [*lines, f"name: {_word(found.name)}"]


def _data(found: Inspection) -> list[str]:
    lines = ["data:"]
    if found.manifest.is_dir():
        lines += [f"  manifest: {_word(str(found.manifest))}  # one subfolder per class", "  label: label"]
    else:
        lines += [
            f"  manifest: {_word(str(found.manifest))}",
            f"  images: {_word(str(found.images))}  # filenames are relative to this",
            f"  filename: {_word(found.filename)}",
            f"  label: {_word(found.label)}",
        ]
    lines += [f"    # {_comment(name)}: {count}" for name, count in found.classes.items()]
    rare = [name for name, count in found.classes.items() if count < MIN_GROUPS]
    if rare:
        lines += [f"    # fewer than {MIN_GROUPS} pictures, which is refused: {_comment(', '.join(rare))}"]
        lines += ["    # merge classes with `rename: {OLD: NEW}`, or leave rows out with `corrections: FILE.csv`"]
    lines += ["  # Pictures of one part must stay together, or the score is too good to be true."]
    if isinstance(found.group, dict):
        lines += [f"  group: {{csv: {_word(found.group['csv'])}, column: {_word(found.group['column'])}}}"]
    else:
        lines += [f"  group: {_word(found.group)}"]
    lines += [
        "  # else: a column, {filename: 'lot(\\d+)_'}, {folder: 1}, {time: COLUMN, gap: 60s}, auto, or null (none)"
    ]
    if found.metadata:
        lines += [f"  metadata: [{', '.join(map(_word, found.metadata))}]"]
    passing = ", ".join(map(_word, found.pass_classes))
    hint = "labels that let a part pass" + ("" if passing else "; name them, else nothing is decided")
    return [*lines, f"  pass_classes: [{passing}]  # {hint}"]


def _settings(found: Inspection) -> list[str]:
    return [
        "# A fifth of the parts is sealed until the end; the others are validated in turn.",
        f"split: {{holdout: 0.2, n_splits: {found.n_splits}, random_state: 42}}",
        "space: auto       # what may vary: `run --dry-run` says what and why; or quick, transfer, a file of your own",
        f"budget: {BUDGET}       # of one run: search, repeats, refit, holdout, report",
        "# search: {n_trials: 15}  # left out: as many as the budget carries",
        "selection: {top_k: 3, n_repeats: 2}",
        "# decision: {max_escape_rate: 0.1}  # at most this share of defective parts may pass, at 95 % confidence",
        "# registry: {gates: {min_macro_f1: 0.8}}  # what a model must hold to become champion",
    ]


def _word(text: str) -> str:
    """Text as a YAML scalar that reads back as this very string."""
    if re.fullmatch(r"[A-Za-z/][A-Za-z0-9_./-]*", text) and yaml.safe_load(text) == text:
        return text
    return json.dumps(text)


def _comment(text: str) -> str:
    """Text that cannot end a comment."""
    return "".join(character if character.isprintable() else "?" for character in text)
