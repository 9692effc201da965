"""What a person sees of the files of the registry: how two versions differ, and what was removed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from fdsearch.cli.show import line, table
from fdsearch.report.words import interval, score

Document = Mapping[str, Any]

_SECTIONS = {
    "parameters": "parameter",
    "data": "data",
    "policy": "input, calibration, decision",
    "origin": "origin",
}
_PICTURES = {"holdout": "sealed pictures", "out_of_fold": "development pictures, out of fold"}


def difference(document: Document) -> None:
    """Print how two versions differ; what is the same is not said."""
    names = [document[side]["reference"] for side in ("a", "b")]
    for name, side in zip(names, ("a", "b"), strict=True):
        aliases = ", ".join(document[side]["aliases"])
        line(side, f"{name}, {document[side]['created']}{f', {aliases}' if aliases else ''}")
    rows = [(row["name"], _score(row["a"]), _score(row["b"])) for row in document["scores"]]
    table(("macro F1", *names), rows)
    _gain(document.get("gain"), *names)
    for key, title in _SECTIONS.items():
        if document[key]:
            table((title, *names), [(row["name"], row["a"], row["b"]) for row in document[key]])
    changed = ", ".join(row["name"] for row in document["files"])
    line("files", changed or "the same, byte for byte")
    for key, title in _PICTURES.items():
        _flips(document["decisions"][key], title, names)


def collection(document: Document) -> None:
    """Print what was removed, or would be, and what stays and why."""
    verb = "would be removed" if document["dry_run"] else "removed"
    for model in document["models"]:
        rows = [(row["version"], "stays", row["why"]) for row in model["kept"]]
        rows += [(row["version"], verb, f"{row['bytes'] / 1e6:.1f} MB") for row in model["collected"]]
        rows += [(row["version"], *_orphan(row["removed"], verb)) for row in model["unregistered"]]
        table(("version", "", ""), [(f"{model['name']}:{row[0]:04d}", *row[1:]) for row in sorted(rows)])
    count = sum(len(model["collected"]) for model in document["models"])
    sys.stdout.write(f"{count} versions, {document['bytes'] / 1e6:.1f} MB {verb}\n")


def _orphan(named: bool, verb: str) -> tuple[str, str]:
    why = "a folder that no event knows"
    return (verb, why) if named else ("stays", f"{why}; look at it, then remove it by its number")


def _score(figures: Document) -> str:
    if figures["value"] is None:
        return f"none: {figures['why']}"
    return f"{score(figures['value'])}, {interval(figures['ci'], figures['why'], figures['level'])}"


def _gain(gain: Document | None, a: str, b: str) -> None:
    if gain is None:
        line("gain", "not known: the two have no answers on the same sealed pictures")
        return
    bounds = interval(gain["ci"], gain["why"], gain["level"])
    line("gain", f"{b} over {a}: {score(gain['gain'], signed=True)}, {bounds}; on {gain['parts']} sealed parts of both")


def _flips(found: Document, title: str, names: list[str]) -> None:
    if found["pictures"] is None:
        line("pictures", f"{title}: not compared, {found['why']}")
        return
    counts = f"{found['n_flipped']} of {found['n']} get another decision, {found['n_relabelled']} another label"
    line("pictures", f"{title}: {counts}")
    rows = [
        (row["filename"] or row["content"][:12], row["true"], *(_answer(row[side]) for side in ("a", "b")))
        for row in found["pictures"]
    ]
    if rows:
        table(("picture", "is", *names), rows)


def _answer(answer: Document) -> str:
    return f"{answer['decision']} ({answer['label']})"
