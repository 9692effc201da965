"""The audit: plain values for any data, good or bad."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fdsearch.data.audit import audit


def test_good_data(good: Any) -> None:
    found = audit(good.spec(), good.store)
    assert found["n"] == 12 and found["classes"] == {"Crack": 6, "Free": 6}
    assert found["problems"] == found["duplicate_groups"] == found["shortcuts"] == found["label_suspects"] == []
    assert found["shortcuts_why"] and found["label_suspects_why"]
    assert [row["filename"] for row in found["groups"]] == [
        f"{label}{n}.png" for label in ("Crack", "Free") for n in range(6)
    ]
    json.dumps(found, allow_nan=False)


def test_copies_are_found_whatever_the_groups_say(good: Any) -> None:
    (good.root / "Free0.png").write_bytes((good.root / "Crack0.png").read_bytes())
    found = audit(good.spec(group={"filename": r"(\w+)\d"}), good.store)
    assert found["duplicate_groups"] == [
        {"kind": "exact", "filenames": ["Crack0.png", "Free0.png"], "labels": ["Crack", "Free"]}
    ]
    groups = {row["filename"]: row for row in found["groups"]}
    assert groups["Free0.png"] == {"filename": "Free0.png", "group": "Crack0.png", "confidence": 1.0}
    assert groups["Free1.png"]["group"] == "Free1.png"


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: folder.manifest.unlink(),
        lambda folder: folder.manifest.write_text(""),
        lambda folder: folder.manifest.write_bytes(b"\xff\xfe\x00"),
        lambda folder: folder.manifest.write_text("filename,label\n../x,a\n/y,b\n,c\n"),
        lambda folder: (folder.root / "Free0.png").write_bytes(b""),
        lambda folder: (folder.root / "Free0.png").unlink(),
    ],
)
def test_bad_data_is_a_finding(good: Any, damage: Any) -> None:
    damage(good)
    found = audit(good.spec(group={"folder": 1}, corrections=good.root / "absent.csv"), good.store)
    assert found["problems"]
    assert all(set(problem) == {"where", "got", "expected", "fix"} for problem in found["problems"])
    assert found["n"] == len(found["groups"]) == sum(found["classes"].values())
    json.dumps(found, allow_nan=False)
