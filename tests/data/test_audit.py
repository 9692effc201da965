"""The audit: plain values for any data, good or bad, and sealed labels unread."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fdsearch.data.audit import Evidence, audit
from fdsearch.data.parts.finding import Parts
from fdsearch.data.parts.glance import glance
from fdsearch.data.support import Wanted
from fdsearch.data.survey import Survey, survey
from fdsearch.data.worklist import findings
from fdsearch.progress import Silent


def parts_of(ids: Sequence[int], sure: float = 1.0) -> Parts:
    none = np.zeros((0, 2), np.int64)
    return Parts(np.array(ids, np.int64), np.full(len(ids), sure), none, np.zeros(0), 0.5, ())


def look(folder: Any, **changes: Any) -> Survey:
    return survey(folder.spec(**changes), folder.store, Silent())


def evidence(
    found: Survey,
    ids: Sequence[int] | None = None,
    *,
    development: Sequence[int] | None = None,
    given: Mapping[str, Sequence[str]] | None = None,
    probabilities: NDArray[np.float64] | None = None,
    sure: float = 1.0,
    **rest: Any,
) -> Evidence:
    """Evidence about a survey: by default every picture a part of its own, and every label open."""
    rows = found.manifest.rows
    readable = [row for row, picture in enumerate(found.pictures) if picture is not None]
    _, seen = glance([path for row in readable if (path := rows[row].path) is not None], Silent())
    traits = dict(zip(readable, seen, strict=True))
    return Evidence(
        parts_of(range(len(rows)) if ids is None else ids, sure),
        tuple(traits.get(row) for row in range(len(rows))),
        np.arange(len(rows)) if development is None else np.array(development, np.int64),
        given or {},
        probabilities,
        **rest,
    )


def test_good_data(good: Any) -> None:
    found = look(good)
    report = audit(found, evidence(found))
    assert report["n"] == 12 and report["classes"] == {"Crack": 6, "Free": 6}
    for key in ("problems", "duplicate_groups", "conflicts", "leaks", "proposals", "shortcuts", "label_suspects"):
        assert report[key] == [], key
    assert [row["filename"] for row in report["parts"]] == [
        f"{label}{n}.png" for label in ("Crack", "Free") for n in range(6)
    ]
    assert findings(report) == {}
    json.dumps(report, allow_nan=False)


def test_copies_are_found_whatever_the_groups_say(good: Any) -> None:
    (good.root / "Free0.png").write_bytes((good.root / "Crack0.png").read_bytes())
    found = look(good, group={"filename": r"(\w+)\d"})
    report = audit(found, evidence(found, [0, 1, 2, 3, 4, 5, 0, 7, 8, 9, 10, 11]))
    [entry] = report["duplicate_groups"]
    assert (entry["kind"], entry["filenames"]) == ("exact", ["Crack0.png", "Free0.png"])
    assert entry["labels"] == ["Crack", "Free"] and entry["conflict"] and report["conflicts"] == [entry]
    groups = {row["filename"]: row for row in report["parts"]}
    assert groups["Free0.png"] == {"filename": "Free0.png", "group": "Crack0.png", "confidence": 1.0, "label": "Free"}
    assert groups["Free1.png"]["group"] == "Free1.png"


def test_parts_that_cross_given_splits(folder: Any) -> None:
    rows = [(f"{label}{n}.png", f"{label},{'train' if n % 2 else 'test'}") for label in "ab" for n in range(4)]
    folder.write(rows, header="filename,label,Split")
    found = look(folder)
    ids = [0, 0, 1, 2, 3, 4, 5, 6]
    roles = ["development"] * 4 + ["holdout"] * 4
    report = audit(found, evidence(found, ids, given={"role": roles}, sure=0.75))
    [leak] = report["leaks"]
    assert leak["split"] == "column Split" and leak["filenames"] == ["a0.png", "a1.png"]
    assert leak["sides"] == ["test", "train"] and leak["confidence"] == 0.75
    [proposal] = report["proposals"]
    assert proposal["group"] == "a0.png" and not proposal["in_use"]
    assert report["groups"] == {"source": "none", "n": 8, "min_confidence": None, "proposals": 1}
    assert findings(report)["a1.png"] == ["seems to show the same part as a0.png (confidence 0.75): group a0.png"]


def test_labels_that_a_model_contradicts_have_names(good: Any) -> None:
    found = look(good)
    chances = np.tile([0.9, 0.1], (12, 1))
    chances[6:] = [0.1, 0.9]
    chances[2] = [0.05, 0.95]
    report = audit(found, evidence(found, probabilities=chances))
    [suspect] = report["label_suspects"]
    assert (suspect["filename"], suspect["label"], suspect["proposed"]) == ("Crack2.png", "Crack", "Free")
    assert suspect["group"] == "Crack2.png" and suspect["probability"] == pytest.approx(0.95)


@pytest.fixture
def forty(folder: Any) -> Any:
    """Forty pictures, the last ten of which are sealed in the test below; file names that say nothing."""
    folder.write([(f"{n:02d}.png", "Crack" if n % 2 else "Free") for n in range(40)])
    return folder


def test_sealed_labels_decide_nothing(forty: Any) -> None:
    chances = np.random.default_rng(0).dirichlet([1, 1], 40)
    ids = [0, 1, 2, *range(3, 35), 0, 36, 1, 38, 38]  # two parts on both sides, one that is sealed

    def report() -> dict[str, Any]:
        found = look(forty)
        return audit(found, evidence(found, ids, development=range(30), probabilities=chances))

    before = report()
    lines = forty.manifest.read_text().splitlines()
    swap = {"Crack": "Free", "Free": "Crack"}
    lines[31:] = [f"{name},{swap[label]}" for name, _, label in (line.partition(",") for line in lines[31:])]
    forty.manifest.write_text("\n".join(lines) + "\n")
    after = report()
    assert before["shortcut_checks"] and before["label_suspects"] and before["duplicate_groups"]
    assert before == after
    labels = [label for entry in before["duplicate_groups"] for label in entry["labels"]]
    assert labels.count(None) == 4 and not before["conflicts"]
    assert [row["label"] for row in before["parts"]][30:] == [None] * 10


def test_what_tells_the_part_is_no_shortcut_though_no_groups_are_given(folder: Any) -> None:
    parts = np.repeat(np.arange(10), 12)
    folder.write([(f"{row:03d}.png", "aaabbbabba"[part]) for row, part in enumerate(parts.tolist())])
    found = look(folder)
    [alarm] = audit(found, evidence(found))["shortcuts"]  # every picture for itself: its place tells the part
    assert alarm["feature"] == "order"
    report = audit(found, evidence(found, parts.tolist()))
    assert report["shortcuts"] == [] and report["group_counts"] == {"development": {"a": 5, "b": 5}}


def test_missing_parts_are_counted_where_they_are_needed(good: Any) -> None:
    found = look(good)
    roles = ["development"] * 5 + ["holdout"] + ["development"] * 6
    wanted = (Wanted("development", 6, "an interval"), Wanted("holdout", 1, "a headline"))
    rows = [row for row, role in enumerate(roles) if role == "development"]
    report = audit(found, evidence(found, development=rows, given={"role": roles}), wanted=wanted, share=0.2)
    needed = {(entry["class"], entry["role"]): entry["missing"] for entry in report["missing_parts"]}
    assert needed == {("Crack", "development"): 1, ("Free", "holdout"): 1}
    assert report["group_counts"] == {"development": {"Crack": 5, "Free": 6}, "holdout": {"Crack": 1, "Free": 0}}


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
    found = look(good, group={"folder": 1}, corrections=good.root / "absent.csv")
    report = audit(found, evidence(found, why="mend the problems first"))
    assert report["problems"]
    assert all(set(problem) == {"where", "got", "expected", "fix"} for problem in report["problems"])
    assert report["n"] == len(report["parts"]) == sum(report["classes"].values())
    assert report["shortcuts_why"] == report["label_suspects_why"] == "mend the problems first"
    assert set(findings(report)) >= set(report["unreadable"])
    json.dumps(report, allow_nan=False)
