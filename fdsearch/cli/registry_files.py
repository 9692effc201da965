"""The part of ``fdsearch registry`` that keeps files: compare two versions, remove, send and receive them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fdsearch.cli import show, show_registry
from fdsearch.cli.arguments import Model
from fdsearch.cli.command import Call, Document, command
from fdsearch.errors import ConfigError, Fault
from fdsearch.workspace import Workspace

By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who does this; kept in the event log.")]


def diff(call: Call, a: Model, b: Model) -> Document:
    """Compare two versions: parameters, data, scores with intervals, and the pictures whose decision flips."""
    from fdsearch.pipeline.promotion import compare_sealed
    from fdsearch.registry.difference import difference
    from fdsearch.registry.store import Registry

    registry = Registry(Workspace(call.root).registry)
    left, right = registry.resolve(a), registry.resolve(b)
    return {**difference(left, right), "gain": compare_sealed(right, left)}


def gc(
    call: Call,
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="NAME, or one version to remove: NAME:VERSION; default all models.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")] = False,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who removes; kept in the event log.")] = "",
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the event log.")
    ] = "nothing needs it any more",
) -> Document:
    """Remove the versions that nothing needs: no alias, no roll back, no version refitted from them."""
    from fdsearch.registry.collection import collect

    folders, only = _asked(call, model)
    rows = [collect(folder, only, by=by, reason=reason, dry_run=dry_run) for folder in folders]
    total = sum(row["bytes"] for each in rows for row in each["collected"])
    return {"models": rows, "bytes": total, "dry_run": dry_run}


def export(
    call: Call,
    model: Model,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="The archive; default NAME-VERSION.zip here.", show_default=False),
    ] = None,
) -> Document:
    """Write a version as one file, the same bytes whenever it is exported."""
    from fdsearch.registry.store import Registry
    from fdsearch.registry.transfer import archive_name, export_version

    version = Registry(Workspace(call.root).registry).resolve(model)
    return export_version(version, to or Path(archive_name(version)))


def import_(
    call: Call,
    archive: Annotated[Path, typer.Argument(metavar="FILE", help="What `fdsearch registry export` wrote.")],
    by: By,
) -> Document:
    """Register the version of an archive, after comparing every byte of it; no alias moves."""
    from fdsearch.registry.transfer import import_version

    return import_version(Workspace(call.root).registry, archive, by=by)


def _asked(call: Call, model: str | None) -> tuple[list[Any], list[int] | None]:
    """The models to clear, and the version that was named, if one was."""
    from fdsearch.registry.model import Model as Folder
    from fdsearch.registry.references import parse_reference
    from fdsearch.registry.store import Registry

    root = Workspace(call.root).registry
    registry = Registry(root)
    if model is None:
        return [Folder(root / row["name"]) for row in registry.models()], None
    if ":" not in model and "@" not in model:
        registry.state(model)  # refuses a name that is none
        return [Folder(root / model)], None
    asked = parse_reference(model)
    state = registry.state(asked.name)
    number = asked.version if asked.alias is None else getattr(state, asked.alias)
    if number is None:
        fault = Fault("MODEL", model, f"a model that has a {asked.alias}", "`fdsearch registry list` shows the aliases")
        raise ConfigError(f"{asked.name} has no {asked.alias}", [fault])
    return [Folder(root / asked.name)], [number]


def register(group: typer.Typer) -> None:
    """Add the commands to ``fdsearch registry``."""
    command(
        group, "diff", example="fdsearch registry diff magnetic_tile magnetic_tile:4", show=show_registry.difference
    )(diff)
    command(
        group,
        "gc",
        example='fdsearch registry gc magnetic_tile --by "A. Weber"',
        show=show_registry.collection,
    )(gc)
    command(group, "export", example="fdsearch registry export magnetic_tile --to champion.zip", show=show.facts)(
        export
    )
    command(group, "import", example='fdsearch registry import champion.zip --by "A. Weber"', show=show.facts)(import_)
