"""Recipes of models that are registered here: which are tried, in which order, and that nothing of it stops a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_set import study

from fdsearch.pipeline.known_recipes import MAX_RECIPES, known_recipes, recipe_in
from fdsearch.pipeline.question import Question, open_question
from fdsearch.progress import Silent
from fdsearch.registry.draft import Draft
from fdsearch.registry.store import Registry
from fdsearch.space_reader import parse_space
from fdsearch.study_reader import parse_study
from fdsearch.trial import TrialConfig


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def lineage(params: dict[str, Any], data: str = "ab") -> dict[str, Any]:
    """As `bundle.lineage` writes it; a sampled trial does not name what its space fixes."""
    config = TrialConfig.from_params({"image_size": 64, "pooling": "avg_max", **params})
    return {"study": "other", "params": params, "config": config.to_json(), "data": {"digest": data}}


def register(question: Question, name: str, params: dict[str, Any], *, alias: str = "champion", data: str = "") -> None:
    folder = question.workspace.root / "draft"
    folder.mkdir(exist_ok=True)
    for file, text in {"model.keras": "w", "contract.json": "{}", "card.md": "#", "metrics.json": "{}"}.items():
        (folder / file).write_text(text)
    np.savez(folder / "oof.npz", logits=np.zeros((3, 2), np.float32))
    registry = Registry(question.workspace.registry)
    version = registry.register(name, Draft(folder, lineage(params, data or "ab")), "test").version
    if alias == "champion":
        registry.promote(name, version, by="kim", reason="good")
    elif alias:
        registry.set_challenger(name, version, by="kim", reason="nearly as good")


@pytest.fixture
def question(pictures: Path, tmp_path: Path) -> Question:
    spec = parse_study(study(pictures, search={"n_trials": 40}), "s", pictures)
    return open_question(spec, tmp_path, (), Silent())


PROBE = {"phases": "probe", "class_weighting": 0.5}
HEAD = {"phases": "head", "class_weighting": 0.25, "learning_rate": 2e-3, "epochs": 3}


def test_champions_and_challengers_of_other_models(question: Question) -> None:
    register(question, "bonds", PROBE)
    register(question, "bonds", HEAD, alias="challenger")
    register(question, "bonds", {**PROBE, "class_weighting": 0.1}, alias="")
    register(question, "tiles", {**PROBE, "class_weighting": 0.9})
    told = Told()
    found = dict(known_recipes(question, told))
    assert found.keys() == {"recipe of bonds:0001", "recipe of bonds:0002"}
    assert found["recipe of bonds:0002"] == {"image_size": 64, "pooling": "avg_max", **HEAD}
    assert known_recipes(question, told) == list(found.items())
    assert told.lines == []


def test_equal_recipes_come_once_and_no_more_than_some(question: Question) -> None:
    for number in range(6):
        register(question, f"model-{number}", {**PROBE, "class_weighting": 0.1 * max(1, number)})
    found = known_recipes(question, Silent())
    assert len(found) == MAX_RECIPES
    assert len({point["class_weighting"] for _, point in found}) == MAX_RECIPES


def test_a_recipe_that_was_chosen_on_these_pictures_is_pointed_out(question: Question) -> None:
    register(question, "bonds", PROBE, data=question.dataset.digest)
    told = Told()
    assert [name for name, _ in known_recipes(question, told)] == ["recipe of bonds:0001"]
    assert "chosen on these very pictures" in told.lines[0] and told.lines[0].endswith("bonds:0001")


def test_a_registry_that_cannot_be_read_stops_nothing(question: Question) -> None:
    register(question, "bonds", PROBE)
    events = next(question.workspace.registry.glob("bonds/events.jsonl"))
    events.write_text(events.read_text().replace("kim", "eve"))
    told = Told()
    assert known_recipes(question, told) == []
    assert len(told.lines) == 1 and "cannot be read" in told.lines[0] and "\n" not in told.lines[0]


SPACE = parse_space(study(Path())["space"])


@pytest.mark.parametrize(
    ("made_from", "expected"),
    [
        (lineage(PROBE), True),
        (lineage(HEAD), True),
        (lineage({**HEAD, "epochs": 9}), False),
        (lineage({**PROBE, "image_size": 96}), False),
        (lineage({**PROBE, "mixup": 0.2}), False),
        (lineage({**PROBE, "custom_width": 3}), False),
        ({}, False),
        ({"config": {"backbone": 3}, "params": None}, False),
        ({"config": {**lineage(PROBE)["config"], "of_tomorrow": 1}, "params": PROBE}, False),
    ],
)
def test_only_what_lies_in_the_space_whole(made_from: dict[str, Any], expected: bool) -> None:
    point = recipe_in(SPACE, made_from)
    assert (point is not None) is expected
    if point is not None:
        assert TrialConfig.from_params(point) == TrialConfig.from_json(made_from["config"])
