"""Commands that begin: `demo` on generated pictures, `init` on a folder of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fdsearch import pipeline
from fdsearch.cli import show, show_trust
from fdsearch.cli.command import Call, Document, command
from fdsearch.errors import ConflictError, Fault


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    command(app, "demo", example="fdsearch demo", show=show_trust.run)(demo)
    command(app, "init", example="fdsearch init my_pictures --out my_study.yaml", show=show.init)(init)


def demo(call: Call) -> Document:
    """Generate ribbon-bond pictures and run the whole pipeline on them, small."""
    return pipeline.demo(call.root, call.progress)


def init(
    call: Call,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Pictures with a CSV, or one subfolder per class.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="The study file; default NAME.yaml in this folder.", show_default=False
        ),
    ] = None,
) -> Document:
    """Look at a folder of pictures and write a commented study to start from."""
    from fdsearch.data.inspect import inspect_folder, study_text

    inspection = inspect_folder(folder)
    file = (out or Path(f"{inspection.name}.yaml")).absolute()
    if file.exists():
        raise ConflictError(
            "the study file exists", [Fault(str(file), "a file", "a new name", "give --out another name")]
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(study_text(inspection), encoding="utf-8")
    return {
        "study_file": str(file),
        "n": inspection.n,
        "classes": dict(inspection.classes),
        "group": inspection.group,
        "why": list(inspection.why),
    }
