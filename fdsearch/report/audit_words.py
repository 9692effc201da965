"""The findings of an audit in sentences, alike on the terminal and on the contact sheets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fdsearch.report import words
from fdsearch.report.words import interval, score

Entry = Mapping[str, Any]

_SHOWN = 6
"""Pictures of a set that a sentence names."""


def duplicate(entry: Entry) -> str:
    """A set of pictures that are the same or show one part.

    Examples
    --------
    >>> duplicate({"kind": "exact", "filenames": ["a.png", "b.png"], "labels": ["good", "bad"], "confidence": 1.0})
    'exact: a.png, b.png (bad, good)'
    >>> duplicate({"kind": "near", "filenames": ["a.png", "b.png"], "labels": [None, "bad"], "confidence": 0.81})
    'near: a.png, b.png (bad), confidence 0.81'
    """
    labels = sorted({str(label) for label in entry["labels"] if label is not None})
    sure = f", confidence {entry['confidence']:.2f}" if entry["kind"] != "exact" and "confidence" in entry else ""
    return f"{entry['kind']}: {_names(entry['filenames'])}" + (f" ({', '.join(labels)})" if labels else "") + sure


def leaks(entries: Sequence[Entry]) -> list[str]:
    """The parts on several sides of a split: a sentence per split.

    Examples
    --------
    >>> leaks([{"split": "column set", "filenames": ["a", "b"], "sides": ["train", "test"]}] * 3)
    ['column set: 3 parts lie on several sides (test, train), the first with a, b']
    """
    by_split: dict[str, list[Entry]] = {}
    for entry in entries:
        by_split.setdefault(entry["split"], []).append(entry)
    found = []
    for split, crossing in by_split.items():
        sides = sorted({side for entry in crossing for side in entry["sides"]})
        lie = "1 part lies" if len(crossing) == 1 else f"{len(crossing)} parts lie"
        where = f"on several sides ({_names(sides)})"
        found.append(f"{split}: {lie} {where}, the first with {_names(crossing[0]['filenames'])}")
    return found


def shortcut(entry: Entry) -> str:
    """What one feature alone predicts.

    Examples
    --------
    >>> found = {"feature": "size", "score": 0.9, "chance": 0.5, "ci": [0.8, 0.95], "reason": "width is 9"}
    >>> shortcut(found)
    'size alone reaches a macro F1 of 0.900 (0.800 to 0.950), chance 0.500: width is 9'
    >>> shortcut({**found, "class": "bent", "measure": "AUC", "reason": ""})
    'size alone reaches an AUC of bent of 0.900 (0.800 to 0.950), chance 0.500'
    """
    why = f": {entry['reason']}" if entry.get("reason") else ""
    what = f"an {entry['measure']} of {entry['class']}" if entry.get("class") is not None else "a macro F1"
    bounds = interval(entry["ci"])
    return (
        f"{entry['feature']} alone reaches {what} of {score(entry['score'])} ({bounds}), "
        f"chance {score(entry['chance'])}{why}"
    )


def suspects_by_part(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Suspects of one part that are accused of the same together, in the order of the first of each."""
    found: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in entries:
        found.setdefault((entry["group"], entry["label"], entry["proposed"]), []).append(entry)
    return list(found.values())


def suspects(entries: Sequence[Entry]) -> str:
    """Labels of one part that a model contradicts.

    Examples
    --------
    >>> words = {"label": "good", "proposed": "bent", "probability": 0.931, "given": 0.02, "mixed_part": False}
    >>> suspects([{"filename": "a.png", **words}])
    'a.png is labelled good and looks like bent (0.93 against 0.02)'
    >>> suspects([{"filename": "a.png", **words}, {"filename": "b.png", **words}])
    'a.png and 1 more of its part are labelled good and look like bent (0.93 against 0.02)'
    """
    first, more = entries[0], len(entries) - 1
    who = f"{first['filename']} and {more} more of its part are" if more else f"{first['filename']} is"
    looks = "look" if more else "looks"
    mixed = "; its part carries several labels" if first.get("mixed_part") else ""
    margin = f"{first['probability']:.2f} against {first['given']:.2f}"
    return f"{who} labelled {first['label']} and {looks} like {first['proposed']} ({margin}){mixed}"


def alarms(document: Mapping[str, Any]) -> str:
    """What an audit found, counted, on one line; the shortcuts by name.

    Examples
    --------
    >>> row = {"feature": "size"}
    >>> alarms({"problems": [], "conflicts": [1], "leaks": [], "shortcuts": [row], "label_suspects": [1, 2]})
    '1 set of pictures with conflicting labels, 1 shortcut (size), 2 labels to look at'
    >>> alarms({})
    'nothing to worry about'
    """
    kinds = (
        ("problems", "problem", "problems"),
        ("conflicts", "set of pictures with conflicting labels", "sets of pictures with conflicting labels"),
        ("leaks", "part on several sides of a split", "parts on several sides of a split"),
        ("shortcuts", "shortcut", "shortcuts"),
        ("label_suspects", "label to look at", "labels to look at"),
    )
    found = []
    for key, one, many in kinds:
        entries = document.get(key) or ()
        if entries:
            names = f" ({', '.join(entry['feature'] for entry in entries)})" if key == "shortcuts" else ""
            found.append(f"{len(entries)} {one if len(entries) == 1 else many}{names}")
    return ", ".join(found) or "nothing to worry about"


def lists(document: Mapping[str, Any]) -> dict[str, list[str]]:
    """Findings that sentences say completely, by heading; headings without any are left out.

    Examples
    --------
    >>> lists({"groups": {"source": "given", "n": 3}, "problems": [], "leaks": []})
    {'Groups': ['given by the study, 3 parts']}
    """
    found = {
        "Groups": [words.groups(document["groups"])],
        "Problems": [problem(fault) for fault in document["problems"]],
        "Parts on several sides of a split": leaks(document["leaks"]),
    }
    return {heading: sentences for heading, sentences in found.items() if sentences}


def remarks(document: Mapping[str, Any]) -> list[str]:
    """Which checks were not made, or not of everything, and why; then the notes.

    Examples
    --------
    >>> remarks({"shortcuts_why": "", "label_suspects_why": "no pretrained weights", "notes": ["a picture was turned"]})
    ['labels not checked: no pretrained weights', 'a picture was turned']
    >>> remarks({"shortcuts_why": "classes with fewer than 5 groups take no part: b (4)", "shortcuts": [], "notes": []})
    ['shortcuts: classes with fewer than 5 groups take no part: b (4)']
    """
    found = []
    if why := document.get("shortcuts_why"):
        found.append(f"shortcuts: {why}")
    if why := document.get("label_suspects_why"):
        found.append(f"labels not checked: {why}")
    return [*found, *document["notes"]]


def problem(fault: Entry) -> str:
    """What stands in the way of a run, and what to do about it."""
    return f"{fault['where']}: got {fault['got']}; expected {fault['expected']}. {fault['fix']}"


def _names(filenames: Sequence[str]) -> str:
    more = f" and {len(filenames) - _SHOWN} more" if len(filenames) > _SHOWN else ""
    return ", ".join(filenames[:_SHOWN]) + more
