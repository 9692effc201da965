"""The group ``fdsearch registry``: what was registered, whether its bytes are whole, and who is champion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fdsearch.cli import registry_files, show, show_decisions
from fdsearch.cli.arguments import Model
from fdsearch.cli.command import Call, Document, command
from fdsearch.errors import ConfigError, Fault
from fdsearch.workspace import Workspace

group = typer.Typer(name="registry", help="The registry of model versions.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="A model.")]
OptionalName = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="One model; default all.", show_default=False)
]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the event log.")]
Generation = Annotated[
    int | None,
    typer.Option(
        "--generation",
        metavar="N",
        help="Only if the champion has not changed since `registry list` showed this generation; default: since the "
        "command began.",
        show_default=False,
    ),
]


def list_registry(call: Call) -> Document:
    """List the models with their versions, champion and challenger."""
    from fdsearch.registry.store import Registry

    return {"models": Registry(Workspace(call.root).registry).models()}


def show_version(call: Call, model: Model) -> Document:
    """Show one version: its scores, gates, lineage and files."""
    from fdsearch.registry.store import Registry

    return Registry(Workspace(call.root).registry).show(model)


def log(call: Call, name: Name) -> Document:
    """Show everything that happened to a model: by whom, when and why."""
    from fdsearch.registry.store import Registry

    events = Registry(Workspace(call.root).registry).events(name)
    return {"name": name, "events": [{**event.body(), "hash": event.hash} for event in events]}


def head(call: Call, name: OptionalName = None) -> Document:
    """Print the hash that each log ends with, to keep where nobody who writes the registry can change it."""
    from fdsearch.registry.store import Registry

    return {"heads": Registry(Workspace(call.root).registry).heads(name)}


def verify(
    call: Call,
    name: OptionalName = None,
    noted: Annotated[
        list[str] | None,
        typer.Option(
            "--head",
            metavar="HASH",
            help="From `registry head`, noted earlier: the log must still hold it. Repeatable.",
            show_default=False,
        ),
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option(
            "--public-key",
            envvar="FDSEARCH_PUBLIC_KEY",
            metavar="FILE",
            help="Ed25519 key in PEM: the champion's manifest must be signed.",
            show_default=False,
        ),
    ] = None,
) -> Document:
    """Check every byte of the registry against its manifests and logs, and every link to runs and partitions."""
    from fdsearch.registry.store import Registry

    return Registry(Workspace(call.root).registry).verify(name, noted=noted or (), public_key=public_key)


def promote(
    call: Call,
    model: Annotated[
        str,
        typer.Argument(metavar="NAME:VERSION", help="The version that becomes champion; NAME@challenger works too."),
    ],
    by: By,
    reason: Reason,
    generation: Generation = None,
    force: Annotated[
        bool, typer.Option("--force", help="Even if a gate does not hold; the log keeps which, and the reason.")
    ] = False,
) -> Document:
    """Make a version the champion of its model, if its gates hold."""
    from fdsearch.pipeline.promotion import judge_promotion
    from fdsearch.registry.store import Registry

    registry = Registry(Workspace(call.root).registry)
    version = registry.resolve(model)
    expected = registry.state(version.name).generation if generation is None else generation
    if version.path != registry.version(version.name, version.version).path:
        fix = (
            f"bring it in with `fdsearch registry import`, or promote {version.name}:{version.version} of this registry"
        )
        fault = Fault("MODEL", str(version.path), "a version of this registry, as NAME:VERSION", fix)
        raise ConfigError("a folder elsewhere cannot become champion", [fault])
    gates = judge_promotion(registry, version.name, version.version)
    document = registry.promote(
        version.name, version.version, by=by, reason=reason, expected_generation=expected, gates=gates, force=force
    )
    return {**document, "gates": gates, "forced": [gate["name"] for gate in gates if not gate["holds"]]}


def rollback(call: Call, name: Name, by: By, reason: Reason, generation: Generation = None) -> Document:
    """Make the champion before this one champion again."""
    from fdsearch.registry.store import Registry

    registry = Registry(Workspace(call.root).registry)
    expected = registry.state(name).generation if generation is None else generation
    return registry.rollback(name, by=by, reason=reason, expected_generation=expected)


command(group, "list", example="fdsearch registry list", show=show.registry)(list_registry)
command(group, "show", example="fdsearch registry show magnetic_tile:1", show=show.facts)(show_version)
command(group, "log", example="fdsearch registry log magnetic_tile", show=show_decisions.log)(log)
command(group, "head", example="fdsearch registry head", show=show_decisions.heads)(head)
command(group, "verify", example="fdsearch registry verify", show=show_decisions.verified)(verify)
command(
    group,
    "promote",
    example='fdsearch registry promote magnetic_tile:2 --by "A. Weber" --reason "fewer escapes on lot 7"',
    show=show_decisions.moved,
)(promote)
command(
    group,
    "rollback",
    example='fdsearch registry rollback magnetic_tile --by "A. Weber" --reason "glare on line 3"',
    show=show_decisions.moved,
)(rollback)
registry_files.register(group)
