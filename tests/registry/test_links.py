"""Links from a version to what lies beside the registry: followed, and told where they cannot be."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fdsearch.errors import IntegrityError
from fdsearch.files import digest_file, digest_json
from fdsearch.registry.draft import Draft
from fdsearch.registry.holdouts import HoldoutLog, Opening, holdout_digest
from fdsearch.registry.sealed import Sealed
from fdsearch.registry.store import Registry

DEFINITION = {"space": {"phases": ["probe"]}, "search": {"sampler": "tpe"}}
CONFIG = {"backbone": "small", "epochs": 3}
DEVELOPED = [f"{number:064x}" for number in range(100, 106)]


def write_study(path: Path, definition: dict[str, Any] = DEFINITION, config: dict[str, Any] = CONFIG) -> None:
    """The tables of Optuna's storage that are read here, with one study and its trial 7."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE study_user_attributes (study_id, key, value_json)")
        database.execute("CREATE TABLE trials (trial_id, number, study_id)")
        database.execute("CREATE TABLE trial_user_attributes (trial_id, key, value_json)")
        stored = json.dumps(json.dumps(definition))
        database.execute("INSERT INTO study_user_attributes VALUES (1, 'fdsearch:definition', ?)", (stored,))
        database.execute("INSERT INTO trials VALUES (11, 7, 1)")
        stored = json.dumps(json.dumps(config))
        database.execute("INSERT INTO trial_user_attributes VALUES (11, 'fdsearch:config', ?)", (stored,))


def write_roles(path: Path, sealed: Sealed, role: str = "holdout", more: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{content},part,{role},2026-01-01" for content in sealed.content]
    rows += [f"{content},part,development,2026-01-01" for content in DEVELOPED]
    rows += [f"{number:064x},part,development,2026-01-02" for number in range(200, 200 + more)]
    path.write_text("\n".join(["content,group,role,first_seen", *rows, ""]))


@pytest.fixture
def linked(registry: Registry, make_draft: Callable[..., Draft], answers: Sealed) -> Registry:
    """A version beside everything that it refers to."""
    root, sealed = registry.root.parent, answers
    write_study(root / "runs" / "tiles" / "study.db")
    write_roles(root / "partitions" / "tiles.csv", sealed)
    opening = Opening("tiles", "data", holdout_digest(sealed.content.tolist()), "tiles", "tiles", "trial-7-ab")
    HoldoutLog(registry.root).open(opening)
    draft = make_draft()
    sealed.write(draft.folder)
    np.savez(draft.folder / "oof.npz", logits=np.zeros((1, 6, 2), np.float32), content=np.array(DEVELOPED))
    lineage = {
        "study": "tiles",
        "trial": 7,
        "config": CONFIG,
        "definition": digest_json(DEFINITION),
        "partition": {"name": "tiles", "digest": digest_file(root / "partitions" / "tiles.csv")},
    }
    registry.register("tiles", Draft(draft.folder, lineage), "test")
    return registry


def test_every_link_holds(linked: Registry) -> None:
    found = linked.verify()
    assert (found["links"], found["unchecked"]) == (5, [])


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "the run folder is elsewhere": (lambda root: shutil.rmtree(root / "runs"), "study: there is no"),
    "the run answers another definition": (
        lambda root: write_study(root / "runs" / "tiles" / "study.db", {"space": {}}),
        "study: .* another definition",
    ),
    "the trial is another one": (
        lambda root: write_study(root / "runs" / "tiles" / "study.db", config={"backbone": "large"}),
        "trial: trial 7 is not there",
    ),
    "the study's file is none": (
        lambda root: (root / "runs" / "tiles" / "study.db").write_bytes(b"no database" * 99),
        "study: .* cannot be read",
    ),
    "the partition is elsewhere": (lambda root: shutil.rmtree(root / "partitions"), "partition: there is no"),
    "the partition names other pictures": (
        lambda root: (root / "partitions" / "tiles.csv").write_text("content,group,role,first_seen\n"),
        "no longer names 10 of its pictures",
    ),
    "the partition's file is none": (
        lambda root: (root / "partitions" / "tiles.csv").write_text("a,b\n1,2\n"),
        "partition: .* cannot be read",
    ),
    "the openings are another registry's": (
        lambda root: [(root / "registry" / f"holdouts.{each}").unlink() for each in ("jsonl", "head", "lock")],
        "no opening of these pictures",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_link_that_cannot_be_followed_is_told_and_no_fault(linked: Registry, change: str) -> None:
    alter, says = CHANGES[change]
    alter(linked.root.parent)
    found = linked.verify()
    assert len(found["unchecked"]) == 1
    assert found["unchecked"][0].startswith("tiles:0001, ")
    assert re.search(says, found["unchecked"][0])


def test_a_partition_that_grew_still_holds(linked: Registry, answers: Sealed) -> None:
    write_roles(linked.root.parent / "partitions" / "tiles.csv", answers, more=3)
    assert linked.verify()["unchecked"] == []


def test_a_sealed_picture_that_became_one_to_train_on_exits_5(linked: Registry, answers: Sealed) -> None:
    write_roles(linked.root.parent / "partitions" / "tiles.csv", answers, role="development")
    with pytest.raises(IntegrityError, match="4 pictures to train on that tiles:0001 was judged by") as caught:
        linked.verify()
    assert caught.value.exit_code == 5


def test_a_version_that_says_little_is_whole_all_the_same(filled: Registry) -> None:
    found = filled.verify()
    assert [each.split(": ")[0] for each in found["unchecked"]] == [
        f"tiles:{number}, {name}" for number in ("0001", "0002") for name in ("study", "data and partition")
    ]


@pytest.mark.parametrize("name", ["../../etc", "A B", 5, None])
def test_names_in_a_lineage_lead_nowhere_else(registry: Registry, make_draft: Callable[..., Draft], name: Any) -> None:
    lineage = {"study": name, "definition": "x", "partition": {"name": name, "digest": "x"}}
    registry.register("tiles", Draft(make_draft().folder, lineage), "test")
    assert sum("does not say which" in each for each in registry.verify()["unchecked"]) == 2
