"""The group ``fdsearch models``: which architectures there are, and their pretrained weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from fdsearch.cli import show
from fdsearch.cli.command import Call, Document, command

group = typer.Typer(name="models", help="List architectures and fetch pretrained weights.")


def list_models(call: Call) -> Document:
    """List architectures with parameter counts (6 classes, own input size) and the weights available here."""
    from fdsearch.models.builders import architectures
    from fdsearch.quiet import import_keras

    import_keras()
    rows: list[dict[str, Any]] = [asdict(architecture) for architecture in architectures()]
    return {"models": rows}


def fetch(
    call: Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help="An architecture of `fdsearch models list`.")],
    to: Annotated[
        Path, typer.Option("--to", metavar="DIR", help="Where the file goes; set FDSEARCH_WEIGHTS to this folder.")
    ] = Path("weights"),
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Copy from this folder alone, no network.", show_default=False),
    ] = None,
) -> Document:
    """Put the pretrained weights of an architecture into a folder, for this machine or another, checked by hash."""
    from fdsearch.files import digest_file
    from fdsearch.models.weights import fetch as download

    path = download(name, to.absolute(), from_folder=source)
    return {"name": name, "path": str(path), "bytes": path.stat().st_size, "sha256": digest_file(path)}


command(group, "list", example="fdsearch models list --json", show=show.models)(list_models)
command(group, "fetch", example="fdsearch models fetch inception_v3 --to weights", show=show.facts)(fetch)
