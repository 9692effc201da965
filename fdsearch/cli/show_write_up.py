"""The table of claims on the terminal: as reported, as reproduced, champion; silent where a study reports nothing."""

from __future__ import annotations

from fdsearch.cli.show import Document, line, table
from fdsearch.report import words


def write_up(document: Document) -> None:
    """Print one row per claim, and under the table how the reproduced scores came about."""
    rows = document.get("write_up") or ()
    if not rows:
        return
    cells = [
        (
            row["name"],
            words.reported(row.get("reported")),
            words.reproduced(row),
            words.figure(row.get("champion")),
            words.gain(row),
        )
        for row in rows
    ]
    table(("recipe", "as reported", "as reproduced", "champion", "gain of the champion, paired"), cells)
    for protocol in dict.fromkeys(row.get("protocol") for row in rows if not row.get("why")):
        names = ", ".join(row["name"] for row in rows if row.get("protocol") == protocol and not row.get("why"))
        line("reproduced", f"{names}: {protocol}")
