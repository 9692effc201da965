"""Random folds and left-out values: who is trained on what, and what is said where nothing can be."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from small_set import PARTS, study, write_set

from fdsearch.data.partition import repeat_folds
from fdsearch.errors import ConfigError
from fdsearch.execution.in_process import InProcess
from fdsearch.metrics import macro_f1
from fdsearch.pipeline.beside import left_out, random_folds
from fdsearch.pipeline.budget import Budget
from fdsearch.pipeline.folder import Running
from fdsearch.pipeline.interruption import Interruption
from fdsearch.pipeline.means import Means
from fdsearch.pipeline.question import Question, baseline_config, open_question
from fdsearch.pipeline.run_status import RunLog
from fdsearch.progress import Silent
from fdsearch.selection.cross_validation import cross_validate
from fdsearch.selection.scores import score
from fdsearch.study_reader import parse_study
from fdsearch.training.job import Job, Report, Result

SEEN: list[Job] = []
FOREVER = Budget(0.0, None)


def nearest(job: Job, report: Report) -> Result:
    """Stand in for the trainer: the label of the nearest training picture, which is the part's other one if it can."""
    SEEN.append(job)
    pixels = np.load(job.pixels, mmap_mode="r").reshape(len(job.labels), -1).astype(np.float32)
    distance = np.array([((pixels[job.train] - pixels[row]) ** 2).sum(axis=1) for row in job.validation])
    logits = np.eye(job.n_classes, dtype=np.float32)[job.labels[job.train][distance.argmin(axis=1)]]
    shares = (1 / job.n_classes,) * job.n_classes
    return Result(job.id, "done", logits, effective_shares=shares, seconds=3.0)


def fail(job: Job, report: Report) -> Result:
    return Result(job.id, "failed", failure="device_memory", message="no room")


def opened(folder: Path, root: Path, **changes: Any) -> Question:
    return open_question(parse_study(study(folder, **changes), "tiles", folder), root, (), Silent())


def running(question: Question, target: str = "nearest") -> Running:
    SEEN.clear()
    executor: Any = InProcess(target=f"{__name__}:{target}")
    return Running(RunLog(question.folder, "tiles", Silent()), executor, Interruption(), Means())


def contest(question: Question) -> Any:
    """What is left of a contest: the baseline, which won."""
    config, dataset, rows = baseline_config(question.space), question.dataset, question.partition.development.rows
    assert config is not None
    run_all = InProcess(target=f"{__name__}:nearest").run_all
    repeats = [repeat_folds(question.partition, 1)]
    validation = cross_validate([("baseline", config)], repeats, question.maker, run_all)
    made = validation["baseline"]
    found = score(dataset.labels[rows], made.predictions[:, rows], dataset.groups[rows], dataset.classes)
    return SimpleNamespace(validation=validation, scores={"baseline": found}, candidate=made, winner="baseline")


class TestRandomFolds:
    def test_recognising_parts_is_rewarded(self, pictures: Path, tmp_path: Path) -> None:
        question = opened(pictures, tmp_path)
        held = contest(question)
        found = random_folds(question, held, running(question), FOREVER)
        rows = question.partition.development.rows
        assert found["grouped"] == held.scores["baseline"].value
        assert found["macro_f1"] > found["grouped"] + 0.05
        assert found["n"] == len(rows) and found["why"] == ""
        assert "both sides" in found["words"]
        groups = question.dataset.groups
        assert any(set(groups[job.train]) & set(groups[job.validation]) for job in SEEN)
        assert sorted(np.concatenate([job.validation for job in SEEN])) == sorted(rows), "no sealed picture"

    def test_the_figure_is_that_of_the_pooled_predictions(self, pictures: Path, tmp_path: Path) -> None:
        question = opened(pictures, tmp_path)
        run = running(question)
        held = contest(question)
        SEEN.clear()
        found = random_folds(question, held, run, FOREVER)
        jobs = list(SEEN)
        logits = {row: line for job in jobs for row, line in zip(job.validation, nearest_logits(job), strict=True)}
        y_pred = [int(np.argmax(logits[row])) for row in sorted(logits)]
        assert found["macro_f1"] == macro_f1(question.dataset.labels[sorted(logits)], y_pred, 3)

    def test_a_finished_one_is_not_trained_again(self, pictures: Path, tmp_path: Path) -> None:
        question = opened(pictures, tmp_path)
        held = contest(question)
        first = random_folds(question, held, running(question), FOREVER)
        assert random_folds(question, held, running(question, "fail"), FOREVER) == first

    def test_parts_with_one_picture_make_no_difference(self, tmp_path: Path) -> None:
        write_set(tmp_path / "set", PARTS, shots=1)
        question = opened(tmp_path / "set", tmp_path)
        found = random_folds(question, contest(question), running(question), FOREVER)
        assert found["macro_f1"] is None and "its own part" in found["why"]
        assert SEEN == []

    def test_there_may_be_no_time_no_probe_and_no_luck(self, pictures: Path, tmp_path: Path) -> None:
        question = opened(pictures, tmp_path)
        held = contest(question)
        late = random_folds(question, held, running(question), Budget(time.monotonic(), 20.0))
        assert late["macro_f1"] is None and "no time" in late["why"] and SEEN == []
        none = random_folds(question, SimpleNamespace(scores={}), running(question), FOREVER)
        assert none["grouped"] is None and "no frozen probe" in none["why"]
        failed = random_folds(question, held, running(question, "fail"), FOREVER)
        assert failed["macro_f1"] is None and "no room" in failed["why"]
        assert failed["grouped"] == held.scores["baseline"].value


def nearest_logits(job: Job) -> Any:
    return nearest(job, lambda epoch, row: True).logits


@pytest.fixture(scope="module")
def lots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small set with a column ``lot``: A and B, a part photographed in both, and all the holes in D."""
    folder = tmp_path_factory.mktemp("lots")
    write_set(folder, PARTS)
    with (folder / "labels.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        label, number = row["part"].split("-")
        row["lot"] = "D" if label == "hole" else "AB"[int(number) % 2]
        if label == "free" and row["filename"].endswith("_1.png") and int(number) < 6:
            row["lot"] = "B"  # the second picture of parts 0, 2 and 4, whose first ones are of lot A
    with (folder / "labels.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


SPLIT = {"holdout": 0.25, "n_splits": 3, "random_state": 1, "leave_out": "lot"}


class TestLeftOut:
    def test_nothing_is_asked_without_a_column(self, pictures: Path, tmp_path: Path) -> None:
        question = opened(pictures, tmp_path)
        assert left_out(question, SimpleNamespace(), running(question), FOREVER) == []

    def test_a_value_is_met_by_a_model_that_never_saw_it(self, lots: Path, tmp_path: Path) -> None:
        question = opened(lots, tmp_path, split=SPLIT)
        found = left_out(question, contest(question), running(question), FOREVER)
        assert [entry["value"] for entry in found] == ["A", "B", "D"]
        assert {entry["column"] for entry in found} == {"lot"}
        dataset, cells = question.dataset, np.array(question.dataset.metadata["lot"])
        development = set(question.partition.development.rows.tolist())
        assert [job.id for job in SEEN] == ["without-0", "without-1"]
        for job, value in zip(SEEN, "AB", strict=True):
            assert set(cells[job.validation]) == {value} and value not in cells[job.train]
            assert not set(dataset.groups[job.train]) & set(dataset.groups[job.validation])
            assert set(job.train.tolist()) | set(job.validation.tolist()) <= development
        both = [set(dataset.groups[cells == value]) for value in "AB"]
        assert both[0] & both[1], "a part of two lots is what the test is about"

    def test_its_score_counts_the_classes_that_occur(self, lots: Path, tmp_path: Path) -> None:
        question = opened(lots, tmp_path, split=SPLIT)
        held = contest(question)
        found = left_out(question, held, running(question), FOREVER)
        rows, cells = question.partition.development.rows, np.array(question.dataset.metadata["lot"])
        for entry, value in zip(found, "ABD", strict=True):
            test = rows[cells[rows] == value]
            assert entry["n"] == len(test)
            assert entry["n_groups"] == len(set(question.dataset.groups[test]))
            same = macro_f1(question.dataset.labels[test], held.candidate.predictions[0, test], 3)
            assert entry["same_rows_cv"] == pytest.approx(same)
        assert 0 <= found[0]["macro_f1"] <= 1
        # Few parts of cracks in a lot: a score without an interval says why, and names no class that does not occur.
        for entry in found[:2]:
            assert (entry["macro_f1_ci"] is None) == bool(entry["why"])
            assert "hole" not in entry["why"]

    def test_a_class_that_nothing_else_shows_is_refused(self, lots: Path, tmp_path: Path) -> None:
        question = opened(lots, tmp_path, split=SPLIT)
        refused = left_out(question, contest(question), running(question), FOREVER)[2]
        assert refused["macro_f1"] is None and refused["macro_f1_ci"] is None
        assert refused["why"] == "only parts with this value show hole: nothing else could teach it"

    def test_a_budget_without_time_leaves_reasons(self, lots: Path, tmp_path: Path) -> None:
        question = opened(lots, tmp_path, split=SPLIT)
        found = left_out(question, contest(question), running(question), Budget(time.monotonic(), 20.0))
        assert ["no time" in entry["why"] for entry in found] == [True, True, False]
        assert SEEN == []

    def test_an_unknown_column_is_refused_with_its_likes(self, lots: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            opened(lots, tmp_path, split={**SPLIT, "leave_out": "lots"})
        assert not (tmp_path / "partitions").exists(), "a study that is refused deals no roles"
        [fault] = caught.value.faults
        assert (fault.where, fault.got) == ("$.split.leave_out", "lots")
        assert "lot" in fault.fix
