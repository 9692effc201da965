"""``fdsearch predict``: pictures to classes, calibrated probabilities and decisions, as CSV or JSON.

Pictures are named one by one, by folder, or by a table that may also say which part each of them shows.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fdsearch.cli.arguments import Images, Model
from fdsearch.cli.command import Call, Document, command
from fdsearch.errors import ConfigError, DataError, Fault
from fdsearch.files import csv_cell, disk_errors, write_atomic
from fdsearch.workspace import Workspace


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    command(app, "predict", example="fdsearch predict magnetic_tile new_pictures/ > predictions.csv", show=show)(
        predict
    )


def predict(
    call: Call,
    model: Model,
    images: Images,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="PART",
            help=r"Decide per part: a column of the CSV, else a pattern whose capture in the file name is the part, "
            r"as in '(lot\d+)_'.",
            show_default=False,
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="What runs the model: onnx, litert, litert_float16 or keras; else the fastest that agrees with it.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Write a file instead of stdout: JSON where its name ends in .json, else CSV.",
            show_default=False,
        ),
    ] = None,
) -> Document:
    """Class, calibrated probabilities and decision of each picture: CSV on stdout, or --json."""
    files, groups = pictures_and_parts(images, group)
    from fdsearch.serving.predictor import Predictor

    predictor = Predictor.load(model, Workspace(call.root).registry, format=format)
    predictions = predictor.predict(files, groups, progress=call.progress)
    document = {
        "model": predictor.version.reference,
        "format": predictor.runtime.format,
        "predictions": [prediction.to_json() for prediction in predictions],
        "output": None if output is None else str(output.absolute()),
    }
    if output is not None:
        write(document, output)
        call.progress.say(f"{len(predictions)} predictions of {document['model']} are in {output}")
    return document


def pictures_and_parts(images: Sequence[Path], group: str | None) -> tuple[list[Path], list[str] | None]:
    """The pictures that the arguments name, and the part of each where ``--group`` says how to find it.

    Raises
    ------
    ConfigError, DataError
        As `named_table`, `table_pictures`, `picture_files`, `part_pattern` and `part_names` do.
    """
    table = named_table(images)
    if table is not None:
        return table_pictures(table, group)
    pattern = None if group is None else part_pattern(group)
    files = picture_files(images)
    return files, None if pattern is None else part_names(files, pattern)


def named_table(images: Sequence[Path]) -> Path | None:
    """The CSV among the arguments, or None where they are pictures and folders.

    Raises
    ------
    ConfigError
        If a CSV is not the only argument.
    """
    tables = [image for image in images if image.suffix.lower() == ".csv" and not image.is_dir()]
    if tables and len(images) > 1:
        fault = Fault(str(tables[0]), "a CSV among other arguments", "it alone", "predict it by itself")
        raise ConfigError("a table and pictures cannot be mixed", [fault])
    return tables[0] if tables else None


def table_pictures(table: Path, column: str | None) -> tuple[list[Path], list[str] | None]:
    """The pictures that a table names, and the parts in one of its columns.

    Parameters
    ----------
    table : Path
        Names of pictures, relative to the table, stand in its column ``filename``, else in the first column that holds
        nothing but names of pictures. Cells may be as `csv_cell` writes them.
    column : str or None
        Holds the part of each picture.

    Raises
    ------
    DataError
        With every fault of the table, every picture that does not exist and every row without a part.
    """
    from fdsearch.data.corrections import plain_cell
    from fdsearch.data.guess import filename_columns
    from fdsearch.data.tables import read_table

    read = read_table(table, [] if column is None else [column])
    cells = {name: [row.cells[name] for row in read.rows] for name in read.columns}
    name = "filename" if "filename" in cells else next(iter(filename_columns(cells)), None)
    faults = list(read.faults)
    if not faults and name is None:
        got = f"the columns {', '.join(read.columns)}"
        faults.append(Fault(f"{table}, row 1", got, "a column with names of pictures", "call it filename"))
    if faults or name is None:
        raise DataError("the table cannot be read", faults)
    written = [table.parent / cell for cell in cells[name]]
    plain = [table.parent / plain_cell(cell) for cell in cells[name]]
    files = [one if one.is_file() else other for one, other in zip(written, plain, strict=True)]
    for row, file in zip(read.rows, files, strict=True):
        if not file.is_file():
            expected = f"a picture, relative to {table.parent}"
            faults.append(Fault(read.where(row.number), f"no such file: {file}", expected, "check the name"))
        if column is not None and not row.cells[column]:
            faults.append(Fault(read.where(row.number), f"nothing in {column}", "the picture's part", "write its part"))
    if faults:
        raise DataError("some pictures or parts of the table are missing", faults)
    return files, None if column is None else [plain_cell(cell) for cell in cells[column]]


def picture_files(images: Sequence[Path]) -> list[Path]:
    """The files that are named, and the pictures in the folders that are named, sorted within each.

    Raises
    ------
    DataError
        With every path that does not exist and every folder without a picture.
    """
    from fdsearch.serving.pictures import SUFFIXES, pictures_in

    files: list[Path] = []
    faults: list[Fault] = []
    for image in images:
        if not image.is_dir():
            files.append(image)
            if not image.exists():
                faults.append(Fault(str(image), "no such file", "a picture or a folder", "check the path"))
            continue
        found = pictures_in(image)
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
        With every file whose name the pattern does not match, or in which it captures nothing.
    """
    matches = [pattern.search(file.name) for file in files]
    parts = ["" if match is None else match[1] or "" for match in matches]
    faults = [
        Fault(
            str(file),
            "no match" if match is None else "a match that captures nothing",
            f"a name in which {pattern.pattern} captures the part",
            "change --group or leave the file out",
        )
        for file, match, part in zip(files, matches, parts, strict=True)
        if not part
    ]
    if faults:
        raise DataError("the part of some pictures is unknown", faults)
    return parts


def write(document: Document, path: Path) -> None:
    """Write predictions to a file, whole or not at all: JSON where its name ends in .json, else CSV.

    What is no regular file, such as a pipe, is written to as it is.

    Raises
    ------
    ResourceError, StorageError
        If the disk is full, or cannot be written.
    """
    as_json = path.suffix.lower() == ".json"
    text = json.dumps(document, indent=1, ensure_ascii=True) if as_json else as_csv(document)
    content = text.encode("utf-8", "surrogateescape")
    with disk_errors(path, "the predictions"):
        if path.exists() and not path.is_file():  # /dev/null or a pipe must not be replaced by a file
            path.write_bytes(content)
        else:
            write_atomic(path, content)


def show(document: Document) -> None:
    """Write predictions as CSV to stdout, unless they are in a file."""
    if document["output"] is not None:
        return
    if isinstance(sys.stdout, io.TextIOWrapper):
        # UTF-8 on Windows too; a file name of any bytes leaves as the bytes it is.
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    sys.stdout.write(as_csv(document))


def as_csv(document: Document) -> str:
    """Predictions as CSV, one row per picture and one probability column per class; no cell is run as a formula."""
    rows: list[dict[str, Any]] = document["predictions"]
    classes = list(rows[0]["probabilities"]) if rows else []
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["filename", "label", "decision", "reject_as", *map(csv_cell, classes), "novelty"])
    for row in rows:
        probabilities = [f"{row['probabilities'][name]:.6f}" for name in classes]
        novelty = "" if row["novelty"] is None else row["novelty"]
        told = [csv_cell(row["filename"]), csv_cell(row["label"]), row["decision"], csv_cell(row["reject_as"] or "")]
        writer.writerow([*told, *probabilities, novelty])
    return stream.getvalue()
