"""The whole job on a small real set: search, repeats, refit, holdout, registration, prediction, continuation."""

from __future__ import annotations

import csv
import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from small_set import PARTS, draw, study, write_set

import fdsearch
from fdsearch import pipeline
from fdsearch.registry import card_page
from fdsearch.registry.sealed import Sealed
from fdsearch.registry.store import Registry
from fdsearch.study_reader import parse_study

RUN_KEYS = {
    *(
        "study",
        "n_trials",
        "n_complete",
        "n_pruned",
        "n_failed",
        "best_value",
        "candidate",
        "champion",
        "promoted",
        "cv",
    ),
    *("baseline", "holdout", "headline", "optimism", "splits", "report", "seconds"),
}


@pytest.fixture(scope="module")
def pictures(finished: Any) -> Path:
    return Path(finished.pictures)


@pytest.fixture(scope="module")
def root(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished run's, for the tests of this module."""
    return Path(shutil.copytree(finished.root, tmp_path_factory.mktemp("copy") / "root"))


@pytest.fixture(scope="module")
def document(finished: Any) -> dict[str, Any]:
    return dict(finished.document)


def test_the_document_has_the_contracts_keys_and_is_plain_json(document: dict[str, Any]) -> None:
    assert document.keys() >= RUN_KEYS
    assert document["cv"].keys() >= {"macro_f1_mean", "macro_f1_ci", "n", "n_groups", "n_splits", "n_repeats"}
    assert document["baseline"].keys() >= {"macro_f1_mean", "macro_f1_ci", "gain", "gain_ci"}
    assert document["holdout"].keys() >= {"n", "n_groups", "macro_f1", "macro_f1_ci", "per_class"}
    assert document["headline"].keys() >= {"value", "ci", "source", "min_groups"}
    assert document["candidate"].keys() >= {"name", "version", "params", "alias", "gates"}
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_the_counts_are_the_studys(document: dict[str, Any], root: Path) -> None:
    states = [trial.state.name for trial in fdsearch.load_study("tiles", root).trials]
    assert document["n_trials"] == 3 == states.count("COMPLETE") + states.count("PRUNED")
    assert document["n_complete"] == states.count("COMPLETE")
    assert document["cv"]["n"] + document["holdout"]["n"] == 2 * sum(PARTS.values())
    assert document["cv"]["n_groups"] + document["holdout"]["n_groups"] == sum(PARTS.values())


def test_the_candidate_is_at_least_as_good_as_the_baseline_on_the_same_folds(document: dict[str, Any]) -> None:
    assert document["cv"]["macro_f1_mean"] >= document["baseline"]["macro_f1_mean"]
    gain = document["cv"]["macro_f1_mean"] - document["baseline"]["macro_f1_mean"]
    assert document["baseline"]["gain"] == pytest.approx(gain)
    low, high = document["baseline"]["gain_ci"]
    assert low <= document["baseline"]["gain"] <= high
    assert document["cv"]["macro_f1_mean"] > 0.6  # the marks are visible: far above chance, or the pipeline is broken


def test_no_part_is_on_two_sides(document: dict[str, Any]) -> None:
    sides = defaultdict(set)
    with Path(document["splits"]).open(newline="") as stream:
        for row in csv.DictReader(stream):
            sides[row["group"]].add((row["role"], row["fold"]))
    assert len(sides) == sum(PARTS.values())
    assert all(len(side) == 1 for side in sides.values())
    assert {role for side in sides.values() for role, _ in side} == {"development", "holdout"}


def test_the_version_is_whole_and_champion(document: dict[str, Any], root: Path) -> None:
    registry = Registry(root / "registry")
    verified = registry.verify()
    assert (verified["models"], verified["unchecked"]) == (1, []), "every link is beside the registry"
    assert document["champion"] == {"name": "tiles", "version": document["candidate"]["version"]}
    champion = registry.resolve("tiles@champion")
    assert champion.manifest.lineage["study"] == "tiles"
    assert champion.manifest.lineage["trial"] == document["candidate"]["trial"]


def test_the_card_says_what_the_run_found(document: dict[str, Any], root: Path) -> None:
    champion = Registry(root / "registry").resolve("tiles@champion")
    card = champion.read_json("card.json")
    assert champion.read("card.md").decode() == card_page.render(card)
    assert {label: row["parts"] for label, row in card["data"]["classes"].items()} == PARTS
    assert card["data"]["digest"] == champion.manifest.lineage["data"]["digest"]
    assert [card["partition"][role]["n"] for role in ("development", "holdout")] == [
        document[key]["n"] for key in ("cv", "holdout")
    ]
    assert {key: card["scores"][key] for key in ("headline", "cv", "baseline")} == {
        key: document[key] for key in ("headline", "cv", "baseline")
    }
    assert card["optimism"] == document["optimism"] and card["holdout_openings"]["openings"] == 1
    assert card["decision"]["rule"] == document["decision"] and card["gates"] == document["candidate"]["gates"]
    assert all(row["licence"] == "Apache-2.0" for row in card["weights"])


def test_the_predictor_repeats_the_holdouts_figures(document: dict[str, Any], root: Path, pictures: Path) -> None:
    predictor = fdsearch.Predictor.load("tiles@champion", root / "registry")
    with Path(document["splits"]).open(newline="") as stream:
        sealed = [row["filename"] for row in csv.DictReader(stream) if row["role"] == "holdout"]
    predictions = predictor.predict([pictures / name for name in sealed], [name[:-6] for name in sealed])
    right = sum(prediction.label == Path(prediction.filename).name.split("_")[0] for prediction in predictions)
    confusion = np.array(document["holdout"]["confusion"])
    assert right == np.trace(confusion)
    answers = Sealed.of(predictor.version)
    assert answers is not None and (answers.logits.argmax(1) == answers.labels).sum() == right
    assert len(sealed) == confusion.sum() == document["holdout"]["n"]
    folder = root / "registry" / "tiles" / "versions" / f"{document['candidate']['version']:04d}"
    copied = fdsearch.Predictor.load(shutil.copytree(folder, root / "deployed"))
    again = copied.predict([pictures / name for name in sealed], [name[:-6] for name in sealed])
    for one, other in zip(predictions, again, strict=True):
        assert (one.label, one.decision) == (other.label, other.decision)
        assert list(one.probabilities.values()) == pytest.approx(list(other.probabilities.values()), abs=1e-5)


def test_a_finished_study_prints_the_stored_result(document: dict[str, Any], root: Path, pictures: Path) -> None:
    before = sorted(path for path in (root / "registry").rglob("*"))
    openings = (root / "registry" / "holdouts.jsonl").read_text()
    again = pipeline.run(parse_study(study(pictures), "tiles", pictures), root)
    assert again == document
    assert sorted(path for path in (root / "registry").rglob("*")) == before
    assert (root / "registry" / "holdouts.jsonl").read_text() == openings


def test_the_run_folder_holds_what_the_design_names(document: dict[str, Any], root: Path) -> None:
    folder = root / "runs" / "tiles"
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "study.db",
        "study.yaml",
        "groups.csv",
        "splits.csv",
        "status.json",
        "trials",
        "report.html",
        "log.txt",
    }
    assert json.loads((folder / "status.json").read_text())["state"] == "finished"
    assert yaml.safe_load((folder / "study.yaml").read_text())["name"] == "tiles"
    assert pipeline.resolve_study("tiles", root).name == "tiles"
    page = (folder / "report.html").read_text()
    assert f"{document['headline']['value']:.3f}" in page
    assert "<script" not in page


def test_one_configuration_scores_as_its_trial_did(document: dict[str, Any], root: Path, pictures: Path) -> None:
    spec = parse_study(study(pictures), "tiles", pictures)
    trial = fdsearch.load_study("tiles", root).best_trial
    trained = pipeline.train(spec, root, trial=trial.number)
    assert trained["value"] == pytest.approx(trial.value)
    assert trained["per_class"].keys() == {"crack", "free", "hole"}


@pytest.mark.slow  # a second run of the whole study
def test_another_decision_is_another_version(
    document: dict[str, Any], root: Path, pictures: Path, tmp_path: Path
) -> None:
    shutil.copytree(root, tmp_path / "root")
    raw = study(pictures, decision={"max_escape_rate": 0.5}, audit=False)
    again = pipeline.run(parse_study(raw, "tiles", pictures), tmp_path / "root")
    registry = Registry(tmp_path / "root" / "registry")
    before, after = (registry.version("tiles", each["candidate"]["version"]) for each in (document, again))
    assert after.manifest.version > before.manifest.version
    bounds = [json.loads(version.read("contract.json"))["decision"]["max_escape_rate"] for version in (before, after)]
    assert bounds == [0.3, 0.5]
    assert again["holdout"]["openings"] == document["holdout"]["openings"]  # the same candidate looks once more


def test_new_pictures_keep_old_roles_and_start_from_the_old_best(
    document: dict[str, Any], root: Path, tmp_path: Path
) -> None:
    write_set(tmp_path, {**PARTS, "free": PARTS["free"] + 3}, shots=2)
    _add_third_shot(tmp_path, "crack", 2)
    raw = study(tmp_path, selection={"top_k": 1, "n_repeats": 1}, search={"n_trials": 2})
    with Path(document["splits"]).open(newline="") as stream:
        before = {row["group"]: row["role"] for row in csv.DictReader(stream)}
    best = fdsearch.load_study("tiles", root).best_trial.params
    second = pipeline.run(parse_study(raw, "tiles", tmp_path), root)
    with Path(second["splits"]).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["group"]: row["role"] for row in rows if row["group"] in before} == before
    assert len({row["role"] for row in rows if row["group"] == "crack-2"}) == 1
    assert sum(row["group"] == "crack-2" for row in rows) == 3
    study_ = fdsearch.load_study("tiles", root)
    assert best in [trial.params for trial in study_.trials[:2]]
    assert second["candidate"]["alias"] == "challenger"
    [compared] = [gate for gate in second["candidate"]["gates"] if gate["name"] == "better_than_champion"]
    assert compared["comparison"]["champion"] == second["champion"]["version"]
    assert compared["comparison"]["pictures"] > 0
    assert second["champion"]["version"] == document["champion"]["version"]
    assert second["holdout"]["openings"] == 2
    assert not second["holdout"]["independent"]
    assert second["holdout"]["words"] == "not independent: 2 candidates have seen this holdout"
    assert Registry(root / "registry").verify()["openings"] == 2


def _add_third_shot(folder: Path, label: str, part: int) -> None:
    filename = draw(folder, label, part, shot=2)
    with (folder / "labels.csv").open("a", newline="") as stream:
        csv.writer(stream).writerow([filename, label, f"{label}-{part}"])
