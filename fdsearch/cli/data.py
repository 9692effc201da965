"""The group ``fdsearch data``: audit pictures, fetch public sets, generate ribbon-bond pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from fdsearch import pipeline
from fdsearch.cli import show, show_audit
from fdsearch.cli.command import Call, Document, command
from fdsearch.errors import ConfigError, Fault

group = typer.Typer(name="data", help="Check, fetch and generate pictures.")


def audit(
    call: Call,
    target: Annotated[
        str,
        typer.Argument(metavar="STUDY or MANIFEST", help="A study, a CSV, or a folder with one subfolder per class."),
    ],
) -> Document:
    """Count, and look for faults, duplicates, groups, shortcuts and suspicious labels. Findings exit 0."""
    return pipeline.audit(target, call.root, call.progress)


def fetch(
    call: Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A public set: magnetic_tile or pistons.")],
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Copy from this folder instead of the network.", show_default=False),
    ] = None,
) -> Document:
    """Fetch a public set into $FDSEARCH_DATA (default ROOT/data) and check every byte of it."""
    from fdsearch.data.download import fetch as download

    places = Path(os.environ.get("FDSEARCH_DATA") or call.root / "data").absolute()
    return {"path": str(download(name, places / name, from_folder=source))}


def synthesize(
    call: Call,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new or empty folder.")],
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile", help="Which classes and how many: demo (the default), balanced or valeo.", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed draws the same pictures.")] = 0,
    size: Annotated[
        int | None,
        typer.Option(
            "--size", min=32, max=2048, help="Smaller side of most pictures, pixels; default 256.", show_default=False
        ),
    ] = None,
    layout: Annotated[
        Literal["table", "challenge"],
        typer.Option("--layout", help="One table and folder, or the files of the ENS data challenge 157 (Valeo)."),
    ] = "table",
    share: Annotated[
        float | None,
        typer.Option("--share", help="Of the challenge's pictures, to 1; default 0.5.", show_default=False),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            "--scale", help="Of the sides of the challenge's pictures, to 1; default 0.2.", show_default=False
        ),
    ] = None,
) -> Document:
    """Generate ribbon-bond pictures with exact ground truth."""
    from fdsearch.data.challenge import synthesize_challenge
    from fdsearch.data.synthetic import synthesize as draw

    table: dict[str, object] = {"--profile": profile, "--size": size}
    challenge: dict[str, object] = {"--share": share, "--scale": scale}
    other = table if layout == "challenge" else challenge
    if given := [name for name, value in other.items() if value is not None]:
        fault = Fault(
            ", ".join(given), f"beside --layout {layout}", "the other layout", "drop it, or change the layout"
        )
        raise ConfigError("an option of the other layout", [fault])
    if layout == "challenge":
        wanted = {"share": share, "scale": scale}
        stated = {name: value for name, value in wanted.items() if value is not None}
        return synthesize_challenge(out.absolute(), **stated, seed=seed, progress=call.progress)
    return draw(out.absolute(), profile or "demo", seed, size or 256, call.progress)


command(group, "audit", example="fdsearch data audit labels.csv", show=show_audit.audit)(audit)
command(group, "fetch", example="fdsearch data fetch pistons --from downloads/pistons", show=show.facts)(fetch)
command(group, "synthesize", example="fdsearch data synthesize pictures --profile demo --seed 7", show=show.facts)(
    synthesize
)
