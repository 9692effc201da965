"""``fdsearch predict``: pictures to classes, calibrated probabilities and decisions, as CSV or JSON."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fdsearch.cli.arguments import Model
from fdsearch.cli.command import Call, Document, command
from fdsearch.errors import ConfigError, DataError, Fault
from fdsearch.files import csv_cell
from fdsearch.workspace import Workspace

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
"""Which files of a folder are taken for pictures; a file that is named itself is always read."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    command(app, "predict", example="fdsearch predict magnetic_tile new_pictures/ > predictions.csv", show=write_csv)(
        predict
    )


def predict(
    call: Call,
    model: Model,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Pictures, or folders of pictures.")],
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="PATTERN",
            help=r"Decide per part: a pattern whose capture in the file name is the part, as in '(lot\d+)_'.",
            show_default=False,
        ),
    ] = None,
) -> Document:
    """Class, calibrated probabilities and decision of each picture: CSV on stdout, or --json."""
    pattern = None if group is None else part_pattern(group)
    files = picture_files(images)
    groups = None if pattern is None else part_names(files, pattern)
    from fdsearch.serving.predictor import Predictor

    predictor = Predictor.load(model, Workspace(call.root).registry)
    return {"predictions": [prediction.to_json() for prediction in predictor.predict(files, groups)]}


def picture_files(images: Sequence[Path]) -> list[Path]:
    """The files that are named, and the pictures in the folders that are named, sorted within each.

    Raises
    ------
    DataError
        With every path that does not exist and every folder without a picture.
    """
    files: list[Path] = []
    faults: list[Fault] = []
    for image in images:
        if not image.is_dir():
            files.append(image)
            if not image.exists():
                faults.append(Fault(str(image), "no such file", "a picture or a folder", "check the path"))
            continue
        found = sorted(path for path in image.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if not found:
            faults.append(
                Fault(str(image), "no picture", f"files ending in {', '.join(sorted(SUFFIXES))}", "check the folder")
            )
        files += found
    if faults:
        raise DataError("some pictures cannot be found", faults)
    return files


def part_pattern(text: str) -> re.Pattern[str]:
    """Compile ``--group``; it must capture exactly one thing, the part."""
    try:
        pattern = re.compile(text)
        problem = "" if pattern.groups == 1 else f"{pattern.groups} captures"
    except re.error as error:
        problem = str(error)
    if problem:
        fault = Fault(
            "--group", f"{text!r} ({problem})", "a pattern with exactly one capture", r"write --group '(lot\d+)_'"
        )
        raise ConfigError("--group cannot be read", [fault])
    return pattern


def part_names(files: Sequence[Path], pattern: re.Pattern[str]) -> list[str]:
    """The part of each file.

    Raises
    ------
    DataError
        With every file whose name the pattern does not match.
    """
    matches = [pattern.search(file.name) for file in files]
    faults = [
        Fault(str(file), "no match", f"a name that matches {pattern.pattern}", "change --group or leave the file out")
        for file, match in zip(files, matches, strict=True)
        if match is None
    ]
    if faults:
        raise DataError("the part of some pictures is unknown", faults)
    return [match.group(1) for match in matches if match is not None]


def write_csv(document: Document) -> None:
    """Write predictions as CSV to stdout, one row per picture and one probability column per class."""
    rows: list[dict[str, Any]] = document["predictions"]
    classes = list(rows[0]["probabilities"]) if rows else []
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # a file name of any bytes leaves as the bytes it is
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["filename", "label", "decision", *map(csv_cell, classes), "novelty"])
    for row in rows:
        probabilities = [f"{row['probabilities'][name]:.6f}" for name in classes]
        novelty = "" if row["novelty"] is None else row["novelty"]
        writer.writerow([csv_cell(row["filename"]), csv_cell(row["label"]), row["decision"], *probabilities, novelty])
