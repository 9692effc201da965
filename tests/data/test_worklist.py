"""The worklist: unedited it changes nothing, edited it changes what a person wrote, whatever the files are called."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from fdsearch.data.corrections import Correction, corrections_in_force
from fdsearch.data.dataset import Dataset
from fdsearch.data.worklist import findings, worklist

NAMES = ["=a.png", "+b.png", "-c.png", "@d.png", "'e.png", "ü f.png", "g, h.png", 'i"j.png', "k;l.png", "m.png"]


@pytest.fixture
def odd(folder: Any, picture: Any) -> Any:
    """Pictures of two classes whose names spreadsheets and tables could misread."""
    with folder.manifest.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["filename", "label"])
        for label in ("Crack", "Free"):
            writer.writerows((f"{name}" if label == "Crack" else f"x/{name}", label) for name in NAMES)
    for seed, name in enumerate([*NAMES, *(f"x/{name}" for name in NAMES)]):
        picture(folder.root / name, seed)
    return folder


def contents(dataset: Dataset) -> tuple[Any, ...]:
    groups = [dataset.group_names[group] for group in dataset.groups]
    return dataset.identity, dataset.filenames, dataset.labels.tolist(), groups


def edited(path: Path, filename: str, **cells: str) -> None:
    """Change a row as a person would in a spreadsheet, which shows and saves cells as they are."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    [row] = [row for row in rows if row["filename"] == filename]
    row.update(cells)
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(stream.getvalue(), encoding="utf-8")


def test_an_unedited_worklist_changes_nothing(odd: Any) -> None:
    path = odd.root / "worklist.csv"
    path.write_bytes(worklist({name: ["=looks odd; very, very"] for name in [*NAMES, "x/=a.png"]}, {}))
    assert contents(odd.load(corrections=path)) == contents(odd.load())
    assert "\n=" not in path.read_text(encoding="utf-8")


def test_an_edited_worklist_changes_what_was_written(odd: Any) -> None:
    path = odd.root / "worklist.csv"
    path.write_bytes(worklist({name: ["look"] for name in NAMES}, {}))
    edited(path, "'=a.png", exclude="1", by="Eva")
    edited(path, "'+b.png", group="'-c.png")  # copied from a table of groups
    edited(path, "g, h.png", label="Free")
    before, after = odd.load(), odd.load(corrections=path)
    assert after.filenames == before.filenames[1:]
    group = dict(zip(after.filenames, after.groups.tolist(), strict=True))
    assert group["+b.png"] == group["-c.png"] and len(set(group.values())) == len(group) - 1
    label = dict(zip(after.filenames, after.labels.tolist(), strict=True))
    assert label["g, h.png"] == after.classes.index("Free")


def test_it_goes_on_from_the_corrections_in_force(odd: Any) -> None:
    first, second = odd.root / "first.csv", odd.root / "second.csv"
    first.write_bytes(worklist({"=a.png": ["blurred"], "m.png": ["look"]}, {}))
    edited(first, "'=a.png", exclude="1")
    before = odd.load(corrections=first)
    earlier = corrections_in_force(first, before.filenames)
    second.write_bytes(worklist({"m.png": ["look", "look twice"]}, earlier))
    assert contents(odd.load(corrections=second)) == contents(before)
    kept = corrections_in_force(second, before.filenames)
    assert kept["=a.png"] == Correction("", True, "", "", "blurred")
    assert kept["m.png"].reason == "look; look twice"


REPORT: dict[str, Any] = {
    "unreadable": ["torn.png"],
    "conflicts": [
        {"kind": "exact", "filenames": ["a", "b", "sealed"], "labels": ["good", "bent", None]},
        {"kind": "near", "filenames": list("abcdefg"), "labels": ["good", *["bent"] * 6]},
    ],
    "label_suspects": [
        {"filename": "b", "label": "bent", "proposed": "good", "probability": 0.9, "given": 0.05, "mixed_part": True}
    ],
    "proposals": [
        {"group": "p1", "filenames": ["a", "q"], "now": ["p1", "q"], "confidence": 0.7, "in_use": False},
        {"group": "p2", "filenames": ["r", "s"], "now": ["p2", "p2"], "confidence": 0.8, "in_use": True},
        {"group": "p3", "filenames": ["t", "u"], "now": ["p3", "p3"], "confidence": 0.97, "in_use": True},
    ],
    "groups": {"source": "inferred"},
}


def test_findings_say_what_could_be_written() -> None:
    found = findings(REPORT)
    assert next(iter(found)) == "torn.png" and "sealed" not in found
    assert found["a"] == [
        "labelled good, but the same pixels elsewhere: b bent",
        "labelled good, but the same part elsewhere: b bent, c bent, d bent and 3 more",
    ]
    assert found["b"][-1] == "labelled bent, of a part with several labels, looks like good (0.90 against 0.05)"
    assert found["q"] == ["seems to show the same part as a (confidence 0.70): group p1"]
    assert found["s"] == ["taken for the same part as r (confidence 0.80): if it is not, write another group"]
    assert not {"r", "t", "u"} & set(found)


def test_groups_that_a_person_gave_are_not_asked_about() -> None:
    assert "s" not in findings({**REPORT, "groups": {"source": "given"}})


def test_nothing_found_is_nothing_to_do() -> None:
    empty = {"unreadable": [], "conflicts": [], "label_suspects": [], "proposals": []}
    assert findings({**empty, "groups": {"source": "inferred"}}) == {}
