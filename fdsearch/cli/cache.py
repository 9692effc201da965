"""The group ``fdsearch cache``: what the caches under the root hold, and how to empty them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from fdsearch import pipeline
from fdsearch.cli import show_cache
from fdsearch.cli.command import Call, Document, command
from fdsearch.errors import ConfigError, Fault

group = typer.Typer(name="cache", help="Decoded pictures and outputs of frozen layers: list and clear them.")


def list_entries(call: Call) -> Document:
    """List what the caches hold, last used first, and the budget for outputs of frozen layers (FDSEARCH_CACHE_GB)."""
    found: Document = pipeline.list_caches(call.root)
    return found


def clear(
    call: Call,
    kind: Annotated[
        Literal["pixels", "prefix"] | None,
        typer.Option("--kind", help="Decoded pictures, or outputs of frozen layers; default both.", show_default=False),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="7d", help="Keep what was used since then.", show_default=False),
    ] = None,
) -> Document:
    """Remove what the caches hold and nobody uses; it is made again where it is needed."""
    age = None if older_than is None else _seconds(older_than)
    cleared: Document = pipeline.clear_caches(call.root, kind, age)
    return cleared


def _seconds(text: str) -> float:
    from fdsearch.spelling import seconds

    try:
        value: Any = seconds(text)
    except ValueError as error:
        fault = Fault("--older-than", repr(text), str(error), "write --older-than 7d")
        raise ConfigError("the age is no duration", [fault]) from error
    return float(value)


command(group, "list", example="fdsearch cache list", show=show_cache.entries)(list_entries)
command(group, "clear", example="fdsearch cache clear --kind prefix --older-than 7d", show=show_cache.cleared)(clear)
