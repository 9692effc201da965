"""What a person reads of an audit: the alarms with their reasons, and where the rest lies."""

from __future__ import annotations

from typing import Any

import pytest

from fdsearch.cli import show_audit

PROBLEM = {"where": "labels.csv, row 3", "got": "x.png", "expected": "a picture", "fix": "remove it"}
SHORTCUT = {
    **{"feature": "brightness", "score": 0.91, "chance": 0.5, "ci": [0.8, 0.95], "alarm": True, "visible": True},
    "reason": "mean gray is 50 in bad on average, 90 in the others; a network sees it",
}
SUSPECT = {"label": "good", "proposed": "bad", "probability": 0.93, "given": 0.02, "mixed_part": False}
DOCUMENT: dict[str, Any] = {
    "n": 7,
    "classes": {"good": 4, "b\x1b[2Jad": 3},
    "groups": {"source": "inferred", "n": 5, "min_confidence": 0.61, "proposals": 0},
    "problems": [PROBLEM] * 2,
    "duplicate_groups": [
        {"kind": "exact", "filenames": ["a.png", "b.png"], "labels": ["good", "bad"], "confidence": 1.0},
        {"kind": "near", "filenames": ["c.png", "d.png"], "labels": ["good", None], "confidence": 0.7},
    ],
    "conflicts": [{"kind": "near", "filenames": ["c.png", "e.png"], "labels": ["good", "bad"], "confidence": 0.7}],
    "leaks": [{"split": "column set", "filenames": ["a", "b"], "sides": ["train", "test"], "confidence": 0.9}],
    "shortcuts": [SHORTCUT],
    "shortcuts_why": "classes with fewer than 5 groups take no part: fray (4)",
    "label_suspects": [{"filename": f"{n}.png", "group": f"p{n // 2}", **SUSPECT} for n in range(60)],
    "label_suspects_why": "",
    "missing_parts": [
        {"class": "fray", "role": "holdout", "groups": 1, "wanted": 15, "missing": 14, "collect": 66, "purpose": "it"}
    ],
    "notes": ["a picture was turned"],
    "groups_csv": "/r/groups.csv",
    "html": "/r/audit.html",
    "worklist": "/r/worklist-0.csv",
    "seconds": 41.3,
}


@pytest.mark.parametrize(
    "words",
    [
        "2 problems, 1 set of pictures with conflicting labels, 1 part on several sides of a split, 1 shortcut (br",
        "inferred from pictures, names, order and time, 5 parts, the least certain with confidence 0.61",
        "exact: a.png, b.png (bad, good)",
        "parts with several pictures: 1",
        "labels that differ, near: c.png, e.png (bad, good), confidence 0.70",
        "column set: 1 part lies on several sides (test, train), the first with a, b",
        "brightness alone reaches a macro F1 of 0.910 (0.800 to 0.950), chance 0.500: mean gray is 50",
        "0.png and 1 more of its part are labelled good and look like bad (0.93 against 0.02)",
        "and 10 more",
        "shortcuts: classes with fewer than 5 groups take no part: fray (4)",
        "fray",
        "66",
        "a picture was turned",
        "/r/groups.csv",
        "/r/audit.html",
        "/r/worklist-0.csv (edit it, and name it as `corrections` in the study)",
        "41.3 s",
        "b?[2Jad",
    ],
)
def test_an_audit_is_told_completely(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_audit.audit(DOCUMENT)
    assert words in capsys.readouterr().out


def test_every_problem_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    show_audit.audit(DOCUMENT)
    assert capsys.readouterr().out.count("labels.csv, row 3: got x.png; expected a picture. remove it") == 2


def test_nothing_found_is_soon_said(capsys: pytest.CaptureFixture[str]) -> None:
    empty = {key: [] for key, value in DOCUMENT.items() if isinstance(value, list)}
    show_audit.audit({**DOCUMENT, **empty, "shortcuts_why": "", "worklist": None})
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 8
    assert "worklist" not in out
