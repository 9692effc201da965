"""``fdsearch doctor``: prints what `fdsearch.doctor` finds on this machine."""

from __future__ import annotations

import typer

from fdsearch.cli import show
from fdsearch.cli.command import Call, Document, command


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    command(app, "doctor", example="fdsearch doctor", show=show.checks)(doctor)


def doctor(call: Call) -> Document:
    """Check devices, versions, weights, storage and disk. Findings exit 0."""
    from fdsearch.doctor import examine

    return {"checks": examine(call.root)}
