"""What a person sees of the registry's log, of a verification and of a promotion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fdsearch.cli.show import line, table
from fdsearch.report.words import plain, score

Document = Mapping[str, Any]

_COUNTED = ("models", "versions", "files", "bytes", "openings", "signatures", "links")


def log(document: Document) -> None:
    """Print the events of a model, oldest first."""
    rows = [
        (event["seq"], event["when"], event["kind"], event["version"], event["by"], event["why"])
        for event in document["events"]
    ]
    table(("event", "when", "what", "version", "by", "why"), rows, title=document["name"])


def heads(document: Document) -> None:
    """Print what the logs end with."""
    table(("log", "entries", "hash"), [(row["log"], row["seq"], row["hash"]) for row in document["heads"]])


def verified(document: Document) -> None:
    """Print what was found right, and what could not be checked."""
    line("whole", ", ".join(f"{document[key]} {key}" for key in _COUNTED))
    for row in document["heads"]:
        line("head", f"{row['hash'][:12]}... is entry {row['seq']} of {row['log']}, with {row['later']} after it")
    for name, key in (("unchecked", "unchecked"), ("left over", "unfinished")):
        for text in document[key]:
            line(name, text)


def moved(document: Document) -> None:
    """Print who is champion now, and by which gates."""
    before = "no version" if document["previous"] is None else f"version {document['previous']}"
    line("champion", f"{document['name']}:{document['version']}, before it {before}")
    line("generation", str(document["generation"]))
    for gate in document.get("gates", ()):
        verdict = "holds" if gate["holds"] else "does not hold, overridden"
        line("gate", f"{gate['name']} {plain(gate['threshold'])}: {score(gate['figure'])}, {verdict} ({gate['why']})")
