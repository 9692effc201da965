"""What a person sees of the caches; `show` prints the tables."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from fdsearch.cli.show import Document, line, table


def entries(document: Document) -> None:
    """Print what the caches hold."""
    from rich.filesize import decimal

    rows = document["entries"]
    if rows:
        _table(rows, "last used (UTC)", [row["last_used"][:16].replace("T", " ") for row in rows])
    else:
        sys.stdout.write("the caches are empty\n")
    line("total", decimal(document["total_bytes"]))
    held, budget = decimal(document["prefix_bytes"]), decimal(document["prefix_budget_bytes"])
    line("budget", f"outputs of frozen layers (prefix) hold {held} of {budget}; FDSEARCH_CACHE_GB changes it")
    line("free", f"{decimal(document['free_bytes'])} on the disk")


def cleared(document: Document) -> None:
    """Print what was removed and what was kept."""
    from rich.filesize import decimal

    kept = document["kept"]
    if kept:
        _table(kept, "kept, because", [row["why"] for row in kept])
    line("removed", f"{len(document['removed'])} files")
    line("freed", decimal(document["freed_bytes"]))


def _table(rows: Sequence[Mapping[str, Any]], last: str, cells: Sequence[str]) -> None:
    from rich.filesize import decimal

    values = [(row["kind"], row["what"], decimal(row["bytes"]), cell) for row, cell in zip(rows, cells, strict=True)]
    table(("cache", "what", "size", last), values)
