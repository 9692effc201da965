"""A registered version made again: on more data as a challenger, on its own data with the score it had."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from small_set import PARTS, study, write_set

import fdsearch
from fdsearch import pipeline
from fdsearch.errors import ConfigError, DataError
from fdsearch.files import digest_file
from fdsearch.metrics import macro_f1
from fdsearch.pipeline.question import open_question
from fdsearch.pipeline.rivals import against_champion
from fdsearch.progress import Silent
from fdsearch.registry.sealed import Sealed
from fdsearch.registry.store import Registry
from fdsearch.study_reader import parse_study

MORE = {"crack": PARTS["crack"] + 4, "free": PARTS["free"] + 4, "hole": PARTS["hole"] + 4}
SHORT = {"audit": False, "search": {"n_trials": 1}, "selection": {"top_k": 1, "n_repeats": 1}}


def roles(splits: str) -> dict[str, str]:
    with Path(splits).open(newline="") as stream:
        return {row["group"]: row["role"] for row in csv.DictReader(stream)}


@pytest.fixture(scope="module")
def pictures(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the set, to which parts are added."""
    return Path(shutil.copytree(finished.pictures, tmp_path_factory.mktemp("copy") / "set"))


@pytest.fixture(scope="module")
def made(finished: Any, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A root with one champion, whose study reads the copy, and the document of its run."""
    root = Path(shutil.copytree(finished.root, tmp_path_factory.mktemp("copy") / "root"))
    resolved = root / "runs" / "tiles" / "study.yaml"
    resolved.write_text(resolved.read_text().replace(str(finished.pictures), str(pictures)))
    return root, finished.document


@pytest.fixture(scope="module")
def reproduced(made: tuple[Path, dict[str, Any]]) -> dict[str, Any]:
    return pipeline.reproduce("tiles@champion", made[0])


@pytest.fixture(scope="module")
def unchanged(made: tuple[Path, dict[str, Any]], reproduced: dict[str, Any]) -> dict[str, Any]:
    """A refit before there is anything new."""
    return pipeline.refit("tiles", made[0])


@pytest.fixture(scope="module")
def refitted(
    made: tuple[Path, dict[str, Any]], pictures: Path, unchanged: dict[str, Any]
) -> tuple[Path, dict[str, Any]]:
    """The same root after new parts have come and the champion was refitted."""
    write_set(pictures, MORE)
    return made[0], pipeline.refit("tiles", made[0])


def test_the_same_data_gives_the_recorded_score(reproduced: dict[str, Any], made: tuple[Path, dict[str, Any]]) -> None:
    assert reproduced["recorded"] == pytest.approx(made[1]["cv"]["macro_f1_mean"])
    assert reproduced["difference"] == pytest.approx(0, abs=1e-9)
    assert reproduced["value"] == pytest.approx(reproduced["recorded"])
    assert (reproduced["changed"], reproduced["n"]) == (0, made[1]["cv"]["n"])
    assert reproduced["largest_logit_difference"] < 1e-4
    assert reproduced["differences"] == []


def test_unchanged_data_trains_nothing_and_opens_nothing(
    unchanged: dict[str, Any], made: tuple[Path, dict[str, Any]]
) -> None:
    _, document = made
    assert unchanged["candidate"]["version"] == document["candidate"]["version"]
    assert unchanged["candidate"]["alias"] == "champion"
    assert unchanged["holdout"] == document["holdout"]
    assert unchanged["why"] == "the data has not changed: nothing was trained"
    assert unchanged.keys() >= document.keys()


def test_new_parts_make_a_challenger(refitted: tuple[Path, dict[str, Any]], made: tuple[Path, dict[str, Any]]) -> None:
    root, document = refitted
    before = made[1]
    assert document["candidate"]["alias"] == "challenger"
    assert document["candidate"]["version"] > before["candidate"]["version"]
    assert document["candidate"]["params"] == before["candidate"]["params"]
    assert document["champion"] == before["champion"]
    assert document["cv"]["n"] + document["holdout"]["n"] == 2 * sum(MORE.values())
    assert document.keys() >= before.keys()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    registry = Registry(root / "registry")
    lineage = registry.resolve("tiles@challenger").manifest.lineage
    assert {key: lineage["refitted_from"][key] for key in ("name", "version")} == before["champion"]
    assert registry.verify()["openings"] == document["holdout"]["openings"] == 2
    assert Path(document["report"]).is_file()


def test_roles_stay_and_the_run_is_left_alone(
    refitted: tuple[Path, dict[str, Any]], made: tuple[Path, dict[str, Any]]
) -> None:
    root, document = refitted
    before, after = roles(made[1]["splits"]), roles(document["splits"])
    assert {part: after[part] for part in before} == before
    assert {after[part] for part in after.keys() - before.keys()} == {"development", "holdout"}
    stored = json.loads((root / "runs" / "tiles" / "result.json").read_text())
    assert stored["document"] == made[1]


def test_champion_and_challenger_are_compared_on_the_same_sealed_parts(
    refitted: tuple[Path, dict[str, Any]], pictures: Path
) -> None:
    root, document = refitted
    version = Registry(root / "registry").resolve("tiles@challenger")
    sealed = Sealed.of(version)
    assert sealed is not None
    with Path(document["splits"]).open(newline="") as stream:
        names = [row["filename"] for row in csv.DictReader(stream) if row["role"] == "holdout"]
    assert sealed.content.tolist() == [digest_file(pictures / name) for name in names]
    predictor = fdsearch.Predictor.load("tiles@champion", root / "registry", format="keras")
    theirs = predictor.logits([pictures / name for name in names])
    scores = [macro_f1(sealed.labels, logits.argmax(axis=1), 3) for logits in (sealed.logits, theirs)]
    found = document["comparison"]
    assert (found["champion"], found["left_out"]) == (1, 0)
    assert (found["pictures"], found["parts"]) == (len(names), len(set(sealed.groups.tolist())))
    assert found["gain"] == pytest.approx(scores[0] - scores[1])
    assert version.read_json("metrics.json")["comparison"] == found


def test_parts_that_the_champion_knows_are_left_out(
    refitted: tuple[Path, dict[str, Any]], pictures: Path, tmp_path: Path
) -> None:
    root, document = refitted
    found = roles(document["splits"])
    known = next(part for part, role in found.items() if role == "development" and part.startswith("free"))
    question = open_question(parse_study(study(pictures), "tiles", pictures), root, (), Silent(), remember=False)
    dataset, rows = question.dataset, question.partition.holdout.rows
    parts = [dataset.group_names[dataset.groups[row]] for row in rows]
    part = next(part for part in parts if part.startswith("free"))
    # As if a part that was developed with had turned out to be one with a sealed one.
    learnt = [row for row, group in enumerate(dataset.groups) if dataset.group_names[group] == known]
    every = [*rows.tolist(), *learnt]
    sealed = Sealed(
        content=np.array([dataset.content[row] for row in every]),
        groups=np.array([*parts, *[part] * len(learnt)]),
        labels=dataset.labels[every],
        logits=np.eye(3, dtype=np.float32)[dataset.labels[every]],
        classes=dataset.classes,
    )
    sealed.write(tmp_path)
    compared = against_champion(question, tmp_path, 1)
    assert compared is not None
    assert (compared["left_out"], compared["parts"]) == (1, len(set(parts)) - 1)
    replace(sealed, classes=("crack", "free", "scratch")).write(tmp_path)
    other = against_champion(question, tmp_path, 1)
    assert other is not None
    assert (other["gain"], other["why"]) == (None, "tiles:0001 tells other classes apart")


def test_a_second_refit_prints_the_first(refitted: tuple[Path, dict[str, Any]]) -> None:
    root, document = refitted
    before = sorted((root / "registry").rglob("*"))
    assert pipeline.refit("tiles", root) == document
    assert sorted((root / "registry").rglob("*")) == before


def test_other_data_cannot_reproduce(refitted: tuple[Path, dict[str, Any]]) -> None:
    with pytest.raises(DataError) as caught:
        pipeline.reproduce("tiles:1", refitted[0])
    assert [fault.got.split(" (")[0] for fault in caught.value.faults] == [
        "other pictures",
        "other labels",
        "other parts",
    ]


def test_other_plugins_are_refused(refitted: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    plugin = tmp_path / "own.py"
    plugin.write_text("")
    for command in (pipeline.refit, pipeline.reproduce):
        with pytest.raises(ConfigError, match="made with other plugins"):
            command("tiles", refitted[0], plugins=[plugin])


@pytest.mark.slow
def test_a_killed_refit_goes_on(tmp_path: Path) -> None:
    """Killed when its first fits are on disk, a refit is finished by the same command, with one look at the holdout."""
    write_set(tmp_path, PARTS)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study(tmp_path, **SHORT), sort_keys=False))
    root = tmp_path / "root"
    pipeline.run(parse_study(study(tmp_path, **SHORT), "tiles", tmp_path), root)
    write_set(tmp_path, MORE)
    process = subprocess.Popen(
        [sys.executable, "-m", "fdsearch", "refit", "tiles", "--root", str(root)], stderr=subprocess.DEVNULL
    )
    while not list((root / "runs" / "tiles" / "refits").glob("*/repeats/*.npz")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    document = pipeline.refit("tiles", root)
    assert document["candidate"]["alias"] == "challenger"
    assert document["holdout"]["openings"] == 2
    assert Registry(root / "registry").verify()["versions"] == 2
    assert not list((root / "runs" / "tiles" / "refits").glob("*/repeats"))
