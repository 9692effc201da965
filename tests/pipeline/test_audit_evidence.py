"""The splits that an audit holds the found parts against: a holdout rule, roles on file, folds, a validation part."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_set import PARTS, write_set

from fdsearch.config import DataSpec, SplitSpec
from fdsearch.data.audit import Evidence
from fdsearch.data.images import PixelStore
from fdsearch.data.load import load_dataset
from fdsearch.data.partition import assign
from fdsearch.data.parts.finding import Parts
from fdsearch.data.survey import survey
from fdsearch.pipeline import audit_evidence
from fdsearch.pipeline.audit_evidence import Look, Opened, Subject, whole_evidence
from fdsearch.progress import Silent
from fdsearch.training.job import JobMaker
from fdsearch.workspace import Workspace


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The small set; every second shot of a part was taken in the year after."""
    write_set(tmp_path, PARTS)
    path = tmp_path / "labels.csv"
    with path.open(newline="") as stream:
        rows = list(csv.reader(stream))
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([[*rows[0], "year"], *([*row, row[0][-5]] for row in rows[1:])])
    return path


def gather(table: Path, split: Mapping[str, Any], **data: Any) -> Evidence:
    """Evidence without a probe; the parts are those of the table."""
    spec = DataSpec.model_validate({"manifest": table, "label": "label", **data})
    subject = Subject("tiles", spec, SplitSpec.model_validate(split), Workspace(table.parent / "root"), "tiles", 0)
    store = PixelStore(subject.workspace.pixels)
    found, dataset = survey(spec, store, Silent()), load_dataset(spec, store)
    partition = assign(dataset, subject.split, subject.workspace.partition("tiles"))
    maker = JobMaker(dataset.labels, dataset.groups, len(dataset.classes), {}, dataset.digest, subject.workspace.prefix)
    names = [row.cells["part"] for row in found.manifest.rows]
    ids = np.unique(names, return_inverse=True)[1]
    parts = Parts(ids, np.ones(len(ids)), np.zeros((0, 2), np.int64), np.zeros(0), 0.5, ())
    opened = Opened(dataset, partition, maker, None)
    return whole_evidence(subject, found, opened, parts, Look(found, Silent()), None, Silent(), None)  # type: ignore[arg-type]


def crossed(evidence: Evidence, split: str) -> int:
    """Parts on several sides of a split."""
    sides: dict[int, set[str]] = {}
    for part, side in zip(evidence.parts.ids.tolist(), evidence.given[split], strict=True):
        sides.setdefault(part, set()).update([side] if side else [])
    return sum(len(found) > 1 for found in sides.values())


def test_groups_that_are_right_are_crossed_by_nothing(table: Path) -> None:
    evidence = gather(table, {"n_splits": 3}, group="part")
    assert list(evidence.given) == ["declared group", "role", "fold"]
    assert not any(crossed(evidence, split) for split in evidence.given)
    assert set(evidence.given["fold"]) == {"", "fold 0", "fold 1", "fold 2"}
    assert [side == "" for side in evidence.given["fold"]] == [role == "holdout" for role in evidence.given["role"]]


def test_pictures_that_are_dealt_one_by_one_leak(table: Path) -> None:
    evidence = gather(table, {"n_splits": 3})
    assert "declared group" not in evidence.given
    assert crossed(evidence, "role") and crossed(evidence, "fold")


def test_a_rule_is_crossed_though_it_seals_whole_groups(table: Path) -> None:
    rule = {"column": "year", "values": ["1"]}
    table.write_text(table.read_text().replace("free-0,1", "free-0,0"))
    lines = table.read_text().splitlines()
    lines[1:] = [line if "free-1," in line or "crack-1," in line else line[:-1] + "0" for line in lines[1:]]
    table.write_text("\n".join(lines) + "\n")
    evidence = gather(table, {"holdout": rule, "n_splits": 3}, group="part")
    assert crossed(evidence, "holdout rule") == 2 and not crossed(evidence, "role")


def test_a_validation_part_has_a_training_side(table: Path) -> None:
    evidence = gather(table, {"validation": 0.25})
    assert set(evidence.given["fold"]) == {"", "fold 0", "training"} and crossed(evidence, "fold")


def test_roles_on_file_are_what_leaked(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = gather(table, {"n_splits": 3})
    keep = audit_evidence.read_roles(table.parent / "root" / "partitions" / "tiles.csv")
    monkeypatch.setattr(audit_evidence, "read_roles", lambda path: keep)  # as `data audit`, which writes no roles
    joined = gather(table, {"n_splits": 3}, group="part")
    assert joined.given["role"] == alone.given["role"] and crossed(joined, "role")


def test_pictures_are_looked_at_once(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = DataSpec.model_validate({"manifest": table, "label": "label"})
    found = survey(spec, PixelStore(table.parent / "cache"), Silent())
    looks: list[int] = []
    plain = audit_evidence.glance
    monkeypatch.setattr(audit_evidence, "glance", lambda paths, progress: looks.append(1) or plain(paths, progress))
    look = Look(found, Silent())
    assert looks == []
    assert len(look.copies()) == len(look.traits()) == len(look.by_name()) == 2 * sum(PARTS.values())
    assert looks == [1]
