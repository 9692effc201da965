"""An automatic space stays with its run: under new data, by the run's name, and until `--fresh`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_set import PARTS, study, write_set

from fdsearch import pipeline
from fdsearch.config import StudySpec
from fdsearch.errors import ConfigError, StorageError
from fdsearch.execution.machine import Machine
from fdsearch.pipeline.auto_space import AutoSpace
from fdsearch.pipeline.auto_space_kept import FILE, KEPT, settle
from fdsearch.pipeline.means import Means
from fdsearch.pipeline.question import Question, open_question
from fdsearch.pipeline.run_files import write_run_files
from fdsearch.progress import Silent
from fdsearch.search.study import RECIPE
from fdsearch.space_reader import parse_space
from fdsearch.study_reader import parse_study

CPU = Machine(gpus=())


def left_open(pictures: Path, **changes: Any) -> StudySpec:
    raw = study(pictures, space="auto", **changes)
    return parse_study(
        {name: value for name, value in raw.items() if name != "search" or "search" in changes}, "s", pictures
    )


def opened(spec: StudySpec, root: Path, *, remember: bool = True) -> Question:
    return open_question(spec, root, (), Silent(), remember=remember, machine=CPU)


def answer(epochs: int, n_trials: int = 7) -> AutoSpace:
    space = parse_space({"phases": {"fixed": "head"}, "epochs": {"type": "int", "low": 2, "high": epochs}})
    return AutoSpace(space, (f"epochs: {epochs}",), (("mine", {"phases": "head", "epochs": 2}),), n_trials, 60.0)


def test_a_study_that_leaves_it_open(pictures: Path) -> None:
    spec = left_open(pictures)
    assert spec.undecided and spec.chosen == ("space", "n_trials", "budget")
    assert left_open(pictures, search={"n_trials": 4}, budget="5m").chosen == ("space",)
    again = parse_study(spec.to_json(), "again", pictures)
    assert (again.undecided, again.chosen) == (True, spec.chosen)


def test_it_is_chosen_once_and_kept(pictures: Path, tmp_path: Path) -> None:
    spec = left_open(pictures)
    first, why = settle(spec, tmp_path, lambda: answer(8), remember=True)
    assert (first.space, first.search.n_trials, first.budget) == (answer(8).space, 7, 60.0)
    assert why == answer(8)
    later, kept = settle(spec, tmp_path, lambda: answer(9, n_trials=20), remember=True)
    assert later.space == first.space and later.search.n_trials == 20
    assert kept is not None and kept.reasons == (KEPT, "epochs: 8") and kept.recipes == answer(8).recipes


def test_looking_keeps_nothing(pictures: Path, tmp_path: Path) -> None:
    settle(left_open(pictures), tmp_path / "run", lambda: answer(8), remember=False)
    assert not (tmp_path / "run").exists()


def test_what_a_study_states_stays(pictures: Path, tmp_path: Path) -> None:
    spec, _ = settle(
        left_open(pictures, search={"n_trials": 4}, budget="5m"), tmp_path, lambda: answer(8), remember=False
    )
    assert (spec.search.n_trials, spec.budget) == (4, 300.0)


def test_a_space_of_ones_own_is_nobodys_choice(pictures: Path, tmp_path: Path) -> None:
    spec = parse_study(study(pictures), "s", pictures)
    assert settle(spec, tmp_path, lambda: answer(8), remember=True) == (spec, None)
    assert spec.renewed() is spec


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"space": {"epochs": {"type": "int"}}}'])
def test_a_damaged_file_is_refused(pictures: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(StorageError) as caught:
        settle(left_open(pictures), tmp_path, lambda: answer(8), remember=True)
    assert "--fresh" in caught.value.faults[0].fix


def test_the_runs_own_study_says_what_was_chosen(pictures: Path, tmp_path: Path) -> None:
    question = opened(left_open(pictures), tmp_path)
    write_run_files(question)
    written = yaml.safe_load((question.folder / "study.yaml").read_text())
    assert written["chosen"] == ["space", "n_trials", "budget"]
    assert written["space"] == question.space.to_json()
    by_name = parse_study(written, "study.yaml", question.folder)
    assert not by_name.undecided
    again = opened(by_name, tmp_path)
    assert again.definition == question.definition and again.space_why == question.space_why
    assert again.spec.search.n_trials == question.spec.search.n_trials
    renewed = by_name.renewed()
    assert renewed.undecided and renewed.budget is None and "n_trials" not in renewed.search.model_fields_set


def test_new_data_continues_the_same_question(tmp_path: Path) -> None:
    """Three times the parts would be another tier; the space stays, and so the study is not refused."""
    pictures, root = tmp_path / "set", tmp_path / "root"
    write_set(pictures, PARTS, shots=1)
    first = opened(left_open(pictures), root)
    assert first.space.values("phases") == ("probe", "head")
    write_set(pictures, {name: 3 * count for name, count in PARTS.items()}, shots=1)
    later = opened(left_open(pictures), root)
    assert later.definition == first.definition and later.identity != first.identity
    assert later.space_why[0] == KEPT
    fresh = opened(left_open(pictures, name="anew"), root)
    assert fresh.space.values("phases") == ("probe", "tail")
    assert json.loads((first.folder / FILE).read_text())["space"] == first.space.to_json()


def test_what_a_plan_and_samples_say(pictures: Path, tmp_path: Path) -> None:
    spec = left_open(pictures)
    plan = pipeline.plan(spec, tmp_path)
    assert plan["space_why"] and plan["n_trials"] == 12
    assert plan["enqueued"] == ["recipe: a probe on several views"]
    samples = pipeline.space_samples(spec, 4, tmp_path)
    assert len(samples["configs"]) == 4 and samples["space_why"] == plan["space_why"]
    assert not (tmp_path / "runs").exists()


def test_close_names_of_spaces_include_auto(pictures: Path, tmp_path: Path) -> None:
    from fdsearch.study_reader import load_study

    file = tmp_path / "s.yaml"
    file.write_text(yaml.safe_dump(study(pictures, space="atuo")))
    with pytest.raises(ConfigError, match="did you mean auto"):
        load_study(file)


@pytest.mark.slow
def test_a_search_of_a_study_that_leaves_it_open(pictures: Path, tmp_path: Path) -> None:
    """It trains the baseline and its recipe, says why, and by its name goes on in the same space."""
    spec, means = left_open(pictures, search={"n_trials": 2}), Means(machine=CPU)
    document = pipeline.search(spec, tmp_path, means=means)
    assert document["space_why"][0].startswith("budget: 45 minutes")
    assert (document["n_complete"], document["n_failed"]) == (2, 0)
    trials = pipeline.load_study("tiles", tmp_path).get_trials()
    assert [trial.user_attrs[RECIPE] for trial in trials] == ["baseline", "recipe: a probe on several views"]
    by_name = pipeline.resolve_study("tiles", tmp_path)
    assert not by_name.undecided and by_name.search.n_trials == 2
    again = pipeline.search(by_name, tmp_path, means=means)
    assert (again["best_value"], again["space_why"]) == (document["best_value"], document["space_why"])
    assert len(pipeline.load_study("tiles", tmp_path).get_trials()) == 2
