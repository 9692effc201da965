"""Which pictures of an audit are shown together, in which order, and with what beside them."""

from __future__ import annotations

from typing import Any

import pytest

from fdsearch.report.audit_sheets import EXAMPLES_SHOWN, SUSPECTS_SHOWN, sheets
from fdsearch.report.contact_sheets import Sheet

SUSPECT = {"label": "good", "proposed": "bent", "probability": 0.9, "given": 0.05, "mixed_part": False}
DOCUMENT: dict[str, Any] = {
    "classes": {"bent": 4, "good": 3},
    "conflicts": [{"kind": "near", "filenames": ["a", "b"], "labels": ["good", "bent"], "confidence": 0.8}],
    "leaks": [{"split": "column set", "filenames": ["a", "b"], "sides": ["train", "test"], "confidence": 0.8}],
    "label_suspects": [{**SUSPECT, "filename": name, "group": "p"} for name in ("c", "d")],
    "proposals": [
        {"group": "a", "filenames": ["a", "b"], "now": ["a", "b"], "confidence": 0.8, "in_use": False},
        {"group": "c", "filenames": ["c", "d"], "now": ["c", "c"], "confidence": 0.9, "in_use": True},
    ],
}
LABELS = {"a": "good", "b": "bent", "c": "good", "d": "good", "e": "bent", "f": "bent", "g": None, "h": "bent"}
PARTS = [
    {"filename": name, "group": "f" if name == "h" else name, "label": label, "confidence": 1.0}
    for name, label in LABELS.items()
]


def laid_out(document: dict[str, Any] = DOCUMENT, parts: Any = PARTS) -> dict[str, list[Sheet]]:
    found: dict[str, list[Sheet]] = {}
    for sheet in sheets(document, parts, lambda name: f"data:{name}"):
        found.setdefault(sheet.section, []).append(sheet)
    return found


def test_what_is_surest_to_be_wrong_comes_first() -> None:
    assert [section.split(",")[0] for section in laid_out()] == [
        "Labels that differ within a part",
        "Parts on several sides of a split",
        "Pictures of each class",
        "Labels to look at",
        "Parts found",
    ]


@pytest.mark.parametrize(
    ("section", "title", "remarks"),
    [
        ("Labels that differ within a part", "The same part, confidence 0.80", ["good", "bent"]),
        ("Parts on several sides of a split", "column set, confidence 0.80", ["train", "test"]),
        ("Labels to look at, the surest first", "Labelled good, looks like bent", ["bent 0.90, good 0.05"] * 2),
        ("Parts found, the least certain first", "a, confidence 0.80; now in a, b", ["good", "bent"]),
    ],
)
def test_pictures_stand_beside_what_they_are_shown_for(section: str, title: str, remarks: list[str]) -> None:
    sheet = laid_out()[section][0]
    assert sheet.title == title and [picture.remark for picture in sheet.pictures] == remarks
    assert all(picture.src == f"data:{picture.name}" for picture in sheet.pictures)


def test_examples_are_of_different_parts_and_nobody_doubts_or_seals_them() -> None:
    shown = {sheet.title: [picture.name for picture in sheet.pictures] for sheet in laid_out()[EXAMPLES]}
    assert shown == {"bent": ["e", "f"]}  # good ones are all in doubt; the label of g must not be looked at
    many = [{"filename": f"{n}", "group": f"{n}", "label": "good", "confidence": 1.0} for n in range(50)]
    [sheet] = laid_out(parts=many)[EXAMPLES]
    assert len(sheet.pictures) == EXAMPLES_SHOWN


EXAMPLES = "Pictures of each class, to compare with"


def test_without_suspects_there_is_nothing_to_compare() -> None:
    assert EXAMPLES not in laid_out({**DOCUMENT, "label_suspects": []})


def test_the_surest_suspects_are_shown() -> None:
    many = [{**SUSPECT, "filename": f"{n}", "group": f"{n}"} for n in range(SUSPECTS_SHOWN + 20)]
    found = laid_out({**DOCUMENT, "label_suspects": many})["Labels to look at, the surest first"]
    assert [sheet.pictures[0].name for sheet in found] == [f"{n}" for n in range(SUSPECTS_SHOWN)]


def test_a_sealed_label_is_not_shown() -> None:
    sealed = [{**row, "label": None} for row in PARTS]
    for sheet in laid_out(parts=sealed)["Parts found, the least certain first"]:
        assert all(picture.remark == "" for picture in sheet.pictures)
