"""Opening the holdout: logged first, counted across names, and said in words."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_set import study

from fdsearch.errors import IntegrityError
from fdsearch.pipeline.holdout import Opened, noted_earlier, open_holdout
from fdsearch.pipeline.question import Question, open_question
from fdsearch.pipeline.registration import believable
from fdsearch.progress import Silent
from fdsearch.registry.holdouts import HoldoutLog
from fdsearch.registry.store import Registry
from fdsearch.selection.intervals import Interval
from fdsearch.selection.scores import Score
from fdsearch.study_reader import parse_study


def question(folder: Path, root: Path, name: str = "tiles", **split: Any) -> Question:
    raw = study(folder, name=name, split={"holdout": 0.25, "n_splits": 3, "random_state": 1, **split})
    return open_question(parse_study(raw, name, folder), root, (), Silent())


def test_the_same_candidate_is_the_same_opening(pictures: Path, tmp_path: Path) -> None:
    asked = question(pictures, tmp_path)
    assert open_holdout(asked, "trial-1-ab") == open_holdout(asked, "trial-1-ab") == Opened(1)
    assert Registry(tmp_path / "registry").verify()["openings"] == 1


def test_a_second_candidate_is_not_independent(pictures: Path, tmp_path: Path) -> None:
    asked = question(pictures, tmp_path)
    open_holdout(asked, "trial-1-ab")
    second = open_holdout(asked, "trial-2-cd")
    assert (second.openings, second.independent) == (2, False)
    assert second.words == "not independent: 2 candidates have seen this holdout"


def test_no_name_makes_sealed_pictures_new(pictures: Path, tmp_path: Path) -> None:
    first = question(pictures, tmp_path)
    open_holdout(first, "trial-1-ab")
    copied = shutil.copytree(pictures, tmp_path / "copied")
    renamed = question(pictures, tmp_path, name="others", partition="anew", holdout=0.4)
    elsewhere = question(copied, tmp_path, name="third")
    assert open_holdout(renamed, "trial-1-ef").openings == 2
    assert open_holdout(elsewhere, "trial-1-gh").openings == 3


def test_sealed_pictures_are_known_beside_new_ones_to_train_on(pictures: Path, tmp_path: Path) -> None:
    """A copied set with another picture has another digest and, dealt by the same hashes, the same sealed parts."""
    asked = question(pictures, tmp_path)
    open_holdout(asked, "trial-1-ab")
    other = replace(asked.dataset, digest="0" * 64)
    spec = asked.spec.model_copy(update={"split": asked.spec.split.model_copy(update={"partition": "copy"})})
    assert not open_holdout(replace(asked, dataset=other, spec=spec), "trial-1-ij").independent


def test_what_older_versions_noted_is_not_forgotten(pictures: Path, tmp_path: Path) -> None:
    asked = question(pictures, tmp_path)
    note = {"when": "2025-01-01T00:00:00+00:00", "study": "tiles", "model": "tiles", "data": "other"}
    path = tmp_path / "partitions" / "tiles.openings.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in (note, note, {**note, "candidate": "trial-1-ab"})))
    assert open_holdout(asked, "trial-1-ab").openings == 3, "its own killed scoring among them"
    assert open_holdout(asked, "trial-2-cd").openings == 4
    assert [each.when for each in HoldoutLog(tmp_path / "registry").read()][:3] == [note["when"]] * 3


@pytest.mark.parametrize("line", ["{", "[]", "{}", '"text"'])
def test_a_note_that_cannot_be_read_keeps_the_holdout_closed(pictures: Path, tmp_path: Path, line: str) -> None:
    asked = question(pictures, tmp_path)
    (tmp_path / "partitions" / "tiles.openings.jsonl").write_text(f"{line}\n")
    with pytest.raises(IntegrityError, match=r"openings\.jsonl, line 1"):
        open_holdout(asked, "trial-1-ab")
    assert HoldoutLog(tmp_path / "registry").read() == ()


def test_a_changed_log_keeps_the_holdout_closed(pictures: Path, tmp_path: Path) -> None:
    asked = question(pictures, tmp_path)
    open_holdout(asked, "trial-1-ab")
    log = tmp_path / "registry" / "holdouts.jsonl"
    log.write_bytes(log.read_bytes().replace(b"trial-1", b"trial-9"))
    with pytest.raises(IntegrityError, match="the log of the holdouts"):
        open_holdout(asked, "trial-2-cd")


def test_there_may_be_no_notes_at_all(pictures: Path, tmp_path: Path) -> None:
    assert noted_earlier(question(pictures, tmp_path).workspace) == []


def contest(monitor: str = "none") -> Any:
    config = SimpleNamespace(early_stopping=SimpleNamespace(monitor=monitor))
    score = Score(0.8, Interval(0.7, 0.9, "approximately 95 %", 12), 300, 80)
    return SimpleNamespace(scores={"a": score}, validation={"a": SimpleNamespace(config=config)})


LUCK = {"corrected": 0.77, "ci": [0.7, 0.84], "level": "approximately 95 %", "why": "", "words": "flatters by .03"}


@pytest.mark.parametrize("min_groups", [10, 40])
@pytest.mark.parametrize("openings", [1, 2])
def test_the_headline_says_who_has_seen_the_holdout(min_groups: int, openings: int) -> None:
    sealed = Score(0.75, Interval(0.6, 0.85, "95 %", min_groups), 80, 40)
    found = believable(SimpleNamespace(single_split=False), contest(), "a", LUCK, sealed, Opened(openings))
    first, second = (found, found["beside"]) if min_groups >= 15 else (found["beside"], found)
    assert (first["source"], second["source"]) == ("holdout", "out_of_fold")
    assert ("not independent: 2 candidates" in first["words"]) == (openings == 2)
    assert second["words"] == "flatters by .03"


@pytest.mark.parametrize(
    ("single", "monitor", "luck", "reason"),
    [(True, "loss", LUCK, "its epochs were chosen"), (False, "none", {"corrected": None, "why": "gone"}, "unknown")],
)
def test_a_score_that_cannot_be_corrected_is_no_headline(
    single: bool, monitor: str, luck: dict[str, Any], reason: str
) -> None:
    sealed = Score(0.75, Interval(0.6, 0.85, "approximately 95 %", 6), 80, 40)
    found = believable(SimpleNamespace(single_split=single), contest(monitor), "a", luck, sealed, Opened(2))
    assert found["source"] == "holdout" and reason in found["note"]
    assert "not independent" in found["words"]
