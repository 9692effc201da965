"""The group ``fdsearch registry``: what was registered, whether its bytes are whole, and who is champion."""

from __future__ import annotations

from typing import Annotated

import typer

from fdsearch.cli import show
from fdsearch.cli.arguments import Model
from fdsearch.cli.command import Call, Document, command
from fdsearch.workspace import Workspace

group = typer.Typer(name="registry", help="The registry of model versions.")


def list_registry(call: Call) -> Document:
    """List the models with their versions, champion and challenger."""
    from fdsearch.registry.store import Registry

    return {"models": Registry(Workspace(call.root).registry).models()}


def show_version(call: Call, model: Model) -> Document:
    """Show one version: its scores, gates, lineage and files."""
    from fdsearch.registry.store import Registry

    return Registry(Workspace(call.root).registry).show(model)


def verify(
    call: Call,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One model; default all.", show_default=False)
    ] = None,
) -> Document:
    """Check every byte of the registry against its manifests, and the event log against its hashes."""
    from fdsearch.registry.store import Registry

    return Registry(Workspace(call.root).registry).verify(name)


def promote(
    call: Call,
    model: Annotated[
        str,
        typer.Argument(metavar="NAME:VERSION", help="The version that becomes champion; NAME@challenger works too."),
    ],
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the event log.")],
) -> Document:
    """Make a version the champion of its model."""
    from fdsearch.registry.store import Registry

    registry = Registry(Workspace(call.root).registry)
    version = registry.resolve(model)
    return registry.promote(version.name, version.version, by=by, reason=reason)


command(group, "list", example="fdsearch registry list", show=show.registry)(list_registry)
command(group, "show", example="fdsearch registry show magnetic_tile:1", show=show.facts)(show_version)
command(group, "verify", example="fdsearch registry verify", show=show.facts)(verify)
command(
    group,
    "promote",
    example='fdsearch registry promote magnetic_tile:2 --by "A. Weber" --reason "fewer escapes on lot 7"',
    show=show.facts,
)(promote)
