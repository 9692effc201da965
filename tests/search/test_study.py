"""Identity of a study: definitions, new data, first points."""

from __future__ import annotations

from pathlib import Path

import pytest

from fdsearch.errors import ConfigError
from fdsearch.search import study as names
from fdsearch.search.storage import open_storage
from fdsearch.search.study import DEEPER, RECIPE, enqueue_first, open_study, previous_best, study_name
from fdsearch.space_reader import parse_space

SPACE = parse_space(
    {
        "phases": {"type": "categorical", "choices": ["probe", "head"]},
        "epochs": {"type": "int", "low": 2, "high": 8, "when": {"phases": ["head"]}},
        "batch_size": {"fixed": 16},
    }
)
DEFINITION = {"space": SPACE.to_json(), "split": {"n_splits": 5}}


@pytest.mark.parametrize(
    ("changed", "where", "old", "new"),
    [
        ({**DEFINITION, "split": {"n_splits": 4}}, "$.split.n_splits", "5", "4"),
        ({"space": DEFINITION["space"]}, "$.split.n_splits", "5", "nothing"),
        ({**DEFINITION, "objective": "loss"}, "$.objective", "nothing", '"loss"'),
    ],
)
def test_a_changed_definition_is_refused_with_the_difference(
    tmp_path: Path, changed: dict[str, object], where: str, old: str, new: str
) -> None:
    storage = open_storage(tmp_path / "study.db")
    open_study(storage, "tiles", "a" * 64, DEFINITION)
    for digest in ("a" * 64, "b" * 64):  # new data does not excuse a new definition
        with pytest.raises(ConfigError) as caught:
            open_study(storage, "tiles", digest, changed)
        [fault] = caught.value.faults
        assert fault.where == where
        assert fault.expected.startswith(old)
        assert fault.got.startswith(new)
        assert "--fresh" in fault.fix


def test_a_study_from_before_openings_goes_on_as_it_began(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "study.db")
    now = {**DEFINITION, "search": {"sampler": "tpe", "opening": "probes"}}
    study = open_study(storage, "old", "a" * 64, {**DEFINITION, "search": {"sampler": "tpe"}})
    enqueue_first(study, SPACE, [])
    again = open_study(storage, "old", "a" * 64, now)
    assert enqueue_first(again, SPACE, [("late", {"phases": "probe"})], n_deeper=2) == []
    assert (again.trials, again.user_attrs.get(DEEPER)) == ([], None)
    assert "opening" not in again.user_attrs[names.DEFINITION]
    open_study(storage, "new", "a" * 64, now)
    with pytest.raises(ConfigError) as caught:
        open_study(storage, "new", "a" * 64, {**DEFINITION, "search": {"sampler": "tpe", "opening": "none"}})
    assert [fault.where for fault in caught.value.faults] == ["$.search.opening"]


def test_changed_choices_range_and_condition_are_seen(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "study.db")
    open_study(storage, "tiles", "a" * 64, DEFINITION)
    raw = SPACE.to_json()
    raw["epochs"] = {**raw["epochs"], "high": 9}
    raw["phases"] = {**raw["phases"], "choices": ["probe"]}
    with pytest.raises(ConfigError) as caught:
        open_study(storage, "tiles", "a" * 64, {**DEFINITION, "space": raw})
    assert [fault.where for fault in caught.value.faults] == ["$.space.epochs.high", "$.space.phases.choices"]


def test_first_points_are_completed_queued_once_and_named(tmp_path: Path) -> None:
    study = open_study(open_storage(tmp_path / "study.db"), "tiles", "a" * 64, DEFINITION)
    points = [("baseline", {"phases": "probe"}), ("deep", {"phases": "head"}), ("again", {"phases": "probe"})]
    skipped = enqueue_first(study, SPACE, [*points, ("wild", {"epochs": 99, "phases": "head"})])
    assert len(skipped) == 1
    assert skipped[0].startswith("wild is outside the search space")
    assert enqueue_first(study, SPACE, points) == []
    queued = [(trial.user_attrs[RECIPE], trial.system_attrs["fixed_params"]) for trial in study.trials]
    assert queued == [("baseline", {"phases": "probe"}), ("deep", {"phases": "head", "epochs": 5})]


def test_new_data_starts_from_the_best_of_the_old(tmp_path: Path) -> None:
    storage = open_storage(tmp_path / "study.db")
    old = open_study(storage, "tiles", "a" * 64, DEFINITION)
    for value in (0.2, 0.9, 0.5):
        trial = old.ask()
        trial.suggest_int("epochs", 2, 8)
        trial.set_user_attr("value", value)
        old.tell(trial, value)
    new = study_name("tiles", "b" * 64)
    earlier = previous_best(storage, "tiles", new, 2)
    assert earlier == [dict(trial.params) for trial in sorted(old.trials, key=lambda t: -(t.value or 0))][:2]
    assert previous_best(storage, "other", new, 2) == []
