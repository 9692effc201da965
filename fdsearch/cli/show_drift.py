"""What a person sees of a look for drift: the verdict, what differs, class shares, and the oddest pictures."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from fdsearch.cli.show import line, table

Document = Mapping[str, Any]

_PICTURES = 10


def drift(document: Document) -> None:
    """Print what `fdsearch drift` found."""
    unit = f"{document['n_groups']} parts" if document["n_groups"] is not None else "each a part of its own"
    line("model", document["model"])
    line("batch", f"{document['n']} pictures, {unit}")
    line("reference", f"{document['n_reference']} pictures, {document['n_reference_groups']} parts")
    look = "the only look" if document["look"] is None else f"look {document['look']}"
    line("level", f"{document['level']:.2g} for {look}, of {document['false_alarm_rate']:g} for all")
    line("drifted", "yes" if document["drifted"] else "no")
    for note in document["notes"]:
        line("note", note)
    rows = [
        (test["name"], f"{test['p']:.2g}", f"{test['p_adjusted']:.2g}", test["words"] or "as in the reference")
        for test in document["tests"]
    ]
    table(("test", "p", "adjusted", ""), rows)
    _shares(document)
    odd = [row for row in document["pictures"] if row["unlike"] > 1]
    if odd:
        table(
            ("picture", "unlike", ""),
            [(row["filename"], f"{row['unlike']:.1f}", row["words"]) for row in odd[:_PICTURES]],
        )
    if len(odd) > _PICTURES:
        sys.stdout.write(f"and {len(odd) - _PICTURES} more beyond what 99 % of the reference are; --json lists all\n")


def _shares(document: Document) -> None:
    if document["label_shift_why"] is not None:
        line("class shares", f"none: {document['label_shift_why']}")
        return
    rows = [
        (
            row["name"],
            _percent(row["training"]),
            _span(row["share"], row["interval"]),
            _span(row["bbse"], row["bbse_interval"]),
            "changed" if row["claimed"] else "",
        )
        for row in document["label_shift"]
    ]
    table(("class", "reference", "batch (likelihood)", "batch (confusion)", ""), rows)


def _span(share: float, interval: tuple[float, float]) -> str:
    return f"{_percent(share)} [{_percent(interval[0])}, {_percent(interval[1])}]"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
