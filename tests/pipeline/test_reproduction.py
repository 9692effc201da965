"""The table of claims: which recipes are trained, on what, and what is said of those that cannot be."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from small_set import study

from fdsearch import pipeline
from fdsearch.cli import show_write_up
from fdsearch.config import Recipe
from fdsearch.pipeline.budget import Budget
from fdsearch.pipeline.candidates import Contest, hold_contest
from fdsearch.pipeline.first_points import first_points, is_trial
from fdsearch.pipeline.folder import running
from fdsearch.pipeline.means import Means
from fdsearch.pipeline.question import open_question
from fdsearch.pipeline.reproduction import RANDOM, claimed_recipes, protocol, reproduce_claims
from fdsearch.pipeline.search_stage import search_question
from fdsearch.progress import Silent
from fdsearch.report.html import render
from fdsearch.study_reader import parse_study

CLAIMS = [
    {"name": "no claim", "params": {"phases": "probe", "class_weighting": 0.5}},
    {"name": "the probe", "reported": 0.8, "params": {"phases": "probe", "class_weighting": 1.0}},
    {
        **{"name": "small network", "reported": 0.9},
        "params": {"backbone": "piston_cnn", "image_size": 32, "epochs": 2, "early_stopping": "loss", "patience": 1},
    },
    {"name": "InceptionV3", "reported": 0.93, "params": {"backbone": "inception_v3", "image_size": 75}},
    {
        **{"name": "from noise", "reported": 0.72},
        "params": {"backbone": "efficientnet_lite0", "weights": "random", "image_size": 32, "phases": "probe"},
    },
]
SPLIT = {"holdout": 0.2, "validation": 0.4, "random_state": 1}


def claiming(pictures: Path, claims: list[dict[str, Any]] = CLAIMS, **changes: Any) -> dict[str, Any]:
    """The study of the small set with recipes whose source claims a score."""
    search = {"n_trials": 2, "opening": "none", "enqueue": claims}
    return study(pictures, **{"search": search, "split": SPLIT, "audit": False, **changes})


@dataclass(frozen=True)
class Compared:
    """A contest and the rows that were made beside it."""

    contest: Contest
    rows: dict[str, dict[str, Any]]

    @property
    def candidate(self) -> dict[str, Any]:
        return self.contest.scores[self.contest.winner].to_json("f1")


@pytest.fixture(scope="module")
def compared(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    spec, root = parse_study(claiming(pictures), "s", pictures), tmp_path_factory.mktemp("claims")
    with running(spec, root, fresh=False, means=Means(), progress=Silent()) as run:
        question, budget = open_question(spec, root, (), run.log), Budget(time.monotonic(), None)
        contest = hold_contest(question, search_question(question, run, None).records, run, budget)
        rows = reproduce_claims(question, contest, run, budget)
    return Compared(contest, {row["name"]: row for row in rows})


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which nobody has fetched anything."""
    monkeypatch.setenv("FDSEARCH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))


def test_each_recipe_with_a_claim_is_a_row(compared: Compared) -> None:
    rows = compared.rows
    assert list(rows) == ["the probe", "small network", "InceptionV3", "from noise"]
    assert [row["reported"] for row in rows.values()] == [0.8, 0.9, 0.93, 0.72]
    assert rows["InceptionV3"]["why"] == "no weights" and rows["InceptionV3"]["f1"] is None
    assert rows["from noise"]["weights"] == RANDOM and not rows["from noise"]["why"]
    assert rows["small network"]["weights"] == ""  # it has none to start from


def test_rows_are_scored_on_the_candidates_pictures(compared: Compared) -> None:
    run = [row for row in compared.rows.values() if not row["why"]]
    assert len(run) == 3
    for row in run:
        assert (row["n"], row["n_groups"]) == (compared.candidate["n"], compared.candidate["n_groups"])
        assert row["champion"]["f1"] == compared.candidate["f1"]
        assert row["gain"] == pytest.approx(compared.candidate["f1"] - row["f1"])
        assert (row["gain_ci"] is None) == (row["min_groups"] < 5)
    assert compared.rows["from noise"]["gain"] > 0.2  # a probe of random features knows little


def test_a_recipe_that_was_compared_already_is_not_trained_again(compared: Compared) -> None:
    probe = compared.rows["the probe"]
    assert probe["seconds"] is None and probe["f1"] == compared.contest.scores["baseline"].value


def test_the_early_stopping_of_a_single_split_is_said(compared: Compared) -> None:
    words = {name: row["protocol"] for name, row in compared.rows.items()}
    assert "40% of the parts, dealt anew, 20% sealed" in words["the probe"] and "flatters" not in words["the probe"]
    assert "the scored part chose the epochs" in words["small network"]


def test_a_person_reads_the_table(compared: Compared, capsys: pytest.CaptureFixture[str]) -> None:
    table = json.loads(json.dumps({"write_up": list(compared.rows.values())}, allow_nan=False))
    show_write_up.write_up(table)
    printed, page = capsys.readouterr().out, render({"study": "tiles", **table})
    for out in (printed, page):
        for words in ("as reported", "as reproduced", "champion", "not run: no weights", RANDOM, "dealt anew"):
            assert words in out.replace("As reported", "as reported")


@pytest.mark.slow
def test_a_run_keeps_the_table(pictures: Path, tmp_path: Path) -> None:
    drift = {"manifest": "nobody_labelled_them.csv", "label": "Label", "novel": ["6"], "reported": 0.4}
    spec = parse_study(claiming(pictures, drift=drift), "s", pictures)
    document = pipeline.run(spec, tmp_path)
    assert [row["name"] for row in document["write_up"]] == [*(claim["name"] for claim in CLAIMS[1:]), "drift detector"]
    page = (tmp_path / "runs" / "tiles" / "report.html").read_text()
    assert "As reported, as reproduced, champion" in page and "not run: no weights" in page
    assert pipeline.run(spec, tmp_path)["write_up"] == document["write_up"]
    more = claiming(pictures, [{**CLAIMS[1], "reported": 0.81}], drift=drift)
    assert len(pipeline.run(parse_study(more, "s", pictures), tmp_path)["write_up"]) == 2


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize(
    ("params", "weights", "why"),
    [
        ({"backbone": "inception_v3"}, "imagenet", "no weights"),
        ({"backbone": "inception_v3", "weights": "random"}, "random", ""),
        ({"backbone": "efficientnet_v2s"}, "imagenet", "no weights"),
        ({"backbone": "s_cnn_02"}, "imagenet", ""),  # it is trained from scratch whatever is said
    ],
)
def test_random_weights_must_be_asked_for(
    pictures: Path, tmp_path: Path, params: dict[str, Any], weights: str, why: str
) -> None:
    spec = parse_study(claiming(pictures, [{"name": "x", "reported": 0.5, "params": params}]), "s", pictures)
    [found] = claimed_recipes(open_question(spec, tmp_path, (), Silent(), remember=False))
    assert (found.config.weights, found.why) == (weights, why)


def test_a_recipe_inside_the_space_takes_the_spaces_values(pictures: Path, tmp_path: Path) -> None:
    claims = [{"name": "x", "reported": 0.5, "params": {"phases": "head", "epochs": 3}}]
    spec = parse_study(claiming(pictures, claims), "s", pictures)
    [found] = claimed_recipes(open_question(spec, tmp_path, (), Silent(), remember=False))
    assert (found.config.image_size, found.config.pooling, found.config.epochs) == (64, "avg_max", 3)


def test_folds_are_said_too(pictures: Path, tmp_path: Path) -> None:
    folds = {"holdout": 0.2, "n_splits": 3, "random_state": 1}
    claims = [{"name": "x", "reported": 0.5, "params": {"backbone": "piston_cnn", "early_stopping": "both"}}]
    spec = parse_study(claiming(pictures, claims, split=folds), "s", pictures)
    question = open_question(spec, tmp_path, (), Silent(), remember=False)
    [found] = claimed_recipes(question)
    said = protocol(question, found.config, 2)
    assert (
        said == "3 folds of parts, 20% sealed, 2 times over, stopped early on an inner part of its own training parts"
    )


def test_a_claim_outside_the_space_is_no_trial_and_takes_none_from_the_search(pictures: Path) -> None:
    spec = parse_study(claiming(pictures), "s", pictures)
    outside = [recipe.name for recipe in spec.search.enqueue if not is_trial(recipe, spec.space)]
    assert outside == ["small network", "InceptionV3", "from noise"]
    queued = [name for name, _ in first_points(spec.search, spec.space, ()).points]
    assert queued == ["baseline", "no claim", "the probe"]
    typo = Recipe(name="typo", params={"phases": "probes"})
    assert is_trial(typo, spec.space)  # without a claim it is queued, and whoever queues it says what is wrong
