"""The audit of real pictures, by itself and inside a run: what it writes, what it leaves alone."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_set import CLASSES, PARTS, study, write_set

from fdsearch import pipeline
from fdsearch.config import DataSpec
from fdsearch.data.dataset import Dataset
from fdsearch.data.images import PixelStore
from fdsearch.data.load import load_dataset
from fdsearch.execution.supervisor import Supervisor
from fdsearch.pipeline import auditing
from fdsearch.pipeline.audit_files import stored_audit, write_audit
from fdsearch.pipeline.auditing import COUNTED, audit_question, audit_summary
from fdsearch.pipeline.question import open_question
from fdsearch.progress import Silent

COPIES = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small set with some cracks that are also called free, under names that a spreadsheet would calculate."""
    folder = tmp_path_factory.mktemp("copied")
    write_set(folder, PARTS)
    with (folder / "labels.csv").open("a", newline="") as stream:
        for part in range(COPIES):
            shutil.copy(folder / f"crack_{part:02d}_0.png", folder / f"=free{part}.png")
            csv.writer(stream).writerow([f"=free{part}.png", "free", f"free-copy-{part}"])
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    """A study of the set."""
    path = folder / "tiles.yaml"
    path.write_text(yaml.safe_dump(study(folder)))
    return path


@pytest.fixture(scope="module")
def document(file: Path, root: Path) -> dict[str, Any]:
    """What a run's audit found, shared by the tests of this module."""
    question = open_question(pipeline.resolve_study(str(file), root), root, [], Silent(), remember=False)
    with Supervisor(log=root / "workers.txt") as executor:
        return audit_question(question, executor, Silent())


def load(document: dict[str, Any], file: Path, root: Path, **changes: Any) -> Dataset:
    data = pipeline.resolve_study(str(file), root).data
    return load_dataset(
        DataSpec.model_validate({**data.model_dump(), **changes}), PixelStore(root / "cache" / "pixels")
    )


def test_the_document_has_the_contracts_keys_and_is_plain_json(document: dict[str, Any]) -> None:
    assert document.keys() >= {
        *("n", "classes", "problems", "duplicate_groups", "shortcuts", "label_suspects", "groups_csv"),
        *("leaks", "conflicts", "missing_parts", "proposals", "worklist", "html", "json", "seconds", "groups"),
    }
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["n"] == 2 * sum(PARTS.values()) + COPIES and set(document["classes"]) == set(CLASSES)
    assert document["problems"] == [] and document["label_suspects_why"] == ""
    summary = audit_summary(document)
    assert all(summary[key] == len(document[key]) for key in COUNTED) and summary["html"] == document["html"]


def test_copies_with_another_label_are_conflicts(document: dict[str, Any]) -> None:
    exact = [entry for entry in document["duplicate_groups"] if entry["kind"] == "exact"]
    assert {tuple(entry["filenames"]) for entry in exact} == {
        (f"crack_{part:02d}_0.png", f"=free{part}.png") for part in range(COPIES)
    }
    labels = [set(entry["labels"]) for entry in exact]
    assert all(found in ({"crack", "free"}, {None}) for found in labels)  # of sealed parts the labels are not told
    assert [entry["conflict"] for entry in exact] == [None not in found for found in labels]
    assert {"crack", "free"} in labels


def test_looking_binds_nobody(document: dict[str, Any], root: Path) -> None:
    assert not (root / "partitions" / "tiles.csv").exists()
    assert not (root / "runs" / "tiles" / "study.db").exists()


def test_the_command_reads_back_what_the_run_has_found(document: dict[str, Any], file: Path, root: Path) -> None:
    again = pipeline.audit(str(file), root)
    assert {**again, "seconds": 0} == {**document, "seconds": 0}
    assert not (root / "audits" / "tiles" / "workers.txt").exists()  # nothing was trained


def test_an_unedited_worklist_changes_nothing(document: dict[str, Any], file: Path, root: Path) -> None:
    before = load(document, file, root)
    after = load(document, file, root, corrections=document["worklist"])
    assert after.identity == before.identity and after.filenames == before.filenames
    with Path(document["worklist"]).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["filename", "label", "exclude", "group", "by", "reason"]
    assert any(row["filename"].startswith("'=free") for row in rows)
    assert all(row["reason"] and not row["label"] + row["exclude"] + row["group"] + row["by"] for row in rows)


def test_an_edited_worklist_is_never_written_over(document: dict[str, Any], tmp_path: Path) -> None:
    found = {**document, "parts": []}
    worklist = Path(write_audit(tmp_path, "tiles", None, found, {}, {})["worklist"])
    edited = worklist.read_text().replace(",,,,,", ",,1,,Eva,", 1)
    worklist.write_text(edited)
    assert write_audit(tmp_path, "tiles", None, found, {}, {})["worklist"] == str(worklist)
    assert ",,1,,Eva," in edited and worklist.read_text() == edited
    other = write_audit(tmp_path, "tiles", None, {**found, "unreadable": ["torn.png"]}, {}, {})["worklist"]
    assert other != str(worklist) and worklist.read_text() == edited


def test_what_cannot_be_read_back_is_found_again(document: dict[str, Any], tmp_path: Path) -> None:
    whole = write_audit(tmp_path, "tiles", "key", {**document, "parts": []}, {}, {})
    assert stored_audit(tmp_path, "key") == whole
    assert stored_audit(tmp_path, "another key") is None
    findings = (tmp_path / "audit.json").read_bytes()
    (tmp_path / "audit.json").write_bytes(findings[: len(findings) // 2])
    assert stored_audit(tmp_path, "key") is None
    (tmp_path / "audit.json").write_bytes(findings)
    (tmp_path / "audit.html").unlink()
    assert stored_audit(tmp_path, "key") is None
    write_audit(tmp_path, "tiles", None, {**document, "parts": []}, {}, {})
    assert stored_audit(tmp_path, "key") is None


def test_the_groups_can_be_given_back(document: dict[str, Any], file: Path, root: Path) -> None:
    with Path(document["groups_csv"]).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == document["n"] and all(0 <= float(row["confidence"]) <= 1 for row in rows)
    given = load(document, file, root, group={"csv": document["groups_csv"], "column": "group"})
    group = dict(zip(given.filenames, given.groups.tolist(), strict=True))
    assert all(group[f"=free{part}.png"] == group[f"crack_{part:02d}_0.png"] for part in range(COPIES))


def test_contact_sheets_show_the_pictures_and_run_nothing(document: dict[str, Any]) -> None:
    page = Path(document["html"]).read_text()
    assert page.count("data:image/jpeg;base64,") >= 2 and "=free0.png" in page
    assert "<script" not in page and "default-src 'none'" in page


def test_a_bare_table_is_audited_without_weights_too(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "baseline_config", lambda space: None)  # a machine without pretrained weights
    first = pipeline.audit(str(folder), tmp_path)
    second = pipeline.audit(str(folder / "labels.csv"), tmp_path)
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    assert first["n"] == 2 * sum(PARTS.values()) + COPIES and first["problems"] == []
    assert first["label_suspects_why"] == "no pretrained weights on this machine" and first["shortcut_checks"]
    assert set(first["group_counts"]) == {"development", "holdout"}  # dealt as a study would, and forgotten again
    assert not list((tmp_path / "partitions").glob("*.csv"))


def test_a_later_command_finds_what_an_audit_has_found(document: dict[str, Any], file: Path, root: Path) -> None:
    question = open_question(pipeline.resolve_study(str(file), root), root, [], Silent(), remember=False)
    known = auditing.known_audit(question)
    assert known is not None and {**known, "seconds": 0} == {**document, "seconds": 0}
    other = replace(question, spec=question.spec.model_copy(update={"name": "others"}))
    assert auditing.known_audit(other) is None
