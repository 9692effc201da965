"""Studies from YAML: the catalogue's configuration faults, paths, shorthands."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from fdsearch.config import StudySpec
from fdsearch.errors import ConfigError
from fdsearch.shipped import shipped
from fdsearch.study_reader import load_study, parse_study
from fdsearch.yaml_reader import MAX_BYTES, parse_yaml, read_yaml

STUDIES = sorted(shipped("studies").glob("*.yaml"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "labels.csv").write_text("filename,label\n")
    (tmp_path / "groups.csv").write_text("filename,part\n")
    return tmp_path


def study(**changes: Any) -> dict[str, Any]:
    raw = {
        "name": "tiles",
        "data": {"manifest": "labels.csv", "label": "label"},
        "space": {"phases": {"type": "categorical", "choices": ["probe", "head"]}},
    }
    return {**raw, **changes}


def faults(raw: Any, folder: Path) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        parse_study(raw, "s.yaml", folder)
    assert caught.value.exit_code == 2
    return {
        fault.where.removeprefix("s.yaml: "): f"{fault.got} | {fault.expected} | {fault.fix}"
        for fault in caught.value.faults
    }


def test_four_keys_are_enough(folder: Path) -> None:
    spec = parse_study(study(), "s.yaml", folder)
    assert (spec.split.n_splits, spec.split.holdout, spec.search.n_trials) == (5, 0.2, 20)
    assert spec.data.manifest == folder / "labels.csv"
    assert spec.data.images == folder


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (None, {}),
        ("auto", {"auto": True}),
        ("part", {"column": "part"}),
        ({"filename": r"lot(\d+)_"}, {"filename": r"lot(\d+)_"}),
        ({"folder": 1}, {"folder": 1}),
        ({"time": "taken_at", "gap": "60s"}, {"time": "taken_at", "gap": 60.0}),
    ],
)
def test_group_shorthands(folder: Path, raw: Any, kind: dict[str, Any]) -> None:
    data = {"manifest": "labels.csv", "label": "label", "group": raw}
    spec = parse_study(study(data=data), "s.yaml", folder)
    assert spec.data.group.model_dump(exclude_defaults=True) == kind


@pytest.mark.parametrize(
    ("changes", "where", "words"),
    [
        ({"nmae": "x"}, "$.nmae", "did you mean name"),
        ({"name": "x" * 600}, "$.name", "at most 64"),
        ({"name": "../x"}, "$.name", "lower case"),
        ({"split": {"n_splits": 5, "validation": 0.2}}, "$.split", "either"),
        ({"split": {"n_split": 5}}, "$.split.n_split", "did you mean n_splits"),
        ({"split": {"n_splits": 1}}, "$.split.n_splits", "greater than or equal to 2"),
        ({"search": {"sampler": "tpee"}}, "$.search.sampler", "tpe"),
        ({"search": {"opening": "probe"}}, "$.search.opening", "probes"),
        ({"search": {"max_latency_ms": 0}}, "$.search.max_latency_ms", "greater than 0"),
        ({"search": {"max_latency_ms": float("inf")}}, "$.search.max_latency_ms", "finite"),
        ({"budget": "4 parsecs"}, "$.budget", "40m"),
        ({"space": {"lr": 3}}, "$.space.lr", "unknown parameter"),
        ({"space": {"dropout": {"type": "float", "low": 0, "high": 3}}}, "$.space.dropout", "0 to 0.95"),
        ({"space": {"epochs": {"type": "int", "low": 9, "high": 3}}}, "$.space.epochs.low", "at most high"),
        ({"data": {"manifest": "gone.csv", "label": "label"}}, "$.data.manifest", "FDSEARCH_DATA"),
        (
            {"data": {"manifest": "labels.csv", "label": "label", "group": {"csv": "groups.csv"}}},
            "$.data.group",
            "column",
        ),
        ({"search": {"enqueue": [{"name": "a", "params": {"lr": 1}}]}}, "$.search.enqueue[0].params.lr", "unknown"),
    ],
)
def test_faults_name_key_and_remedy(folder: Path, changes: dict[str, Any], where: str, words: str) -> None:
    found = faults(study(**changes), folder)
    assert where in found
    assert words in found[where]


def test_all_faults_of_study_space_and_paths_come_at_once(folder: Path) -> None:
    raw = study(bugdet="1h", split={"n_splits": 0}, space={"lr": 1, "epochs": {"type": "int", "low": 9, "high": 3}})
    assert {"$.bugdet", "$.split.n_splits", "$.space.epochs.low"} <= set(faults(raw, folder))


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        (b"name: !!python/object/apply:os.system [true]", "$.name", "cannot run code"),
        (b"a: 1\nb: 2\na: 3", "$.a", "again in line 3"),
        (b"a: {b: 1, b: 2}", "$.a.b", "again in line 1"),
        (b"a: &x [1]\nb: *x", "line 1", "alias"),
        (b"a: .nan", "$.a", "finite"),
        (b"a: 1e400", "$.a", "finite"),
        (b"a: -.inf", "$.a", "finite"),
        (b"a: [1", "line 1", "plain YAML"),
        (b"a: \xff", "s.yaml", "UTF-8"),
        (b"? [a, b]\n: 1", "$.?", "plain key"),
        (b"#" * (MAX_BYTES + 1), "s.yaml", "1 MB"),
        (b"[" * 20000, "line 1", "50 levels"),
    ],
)
def test_hostile_yaml(text: bytes, where: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "s.yaml")
    assert where in str(caught.value)
    assert words in str(caught.value)


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    started = time.process_time()
    with pytest.raises(ConfigError, match="alias"):
        parse_yaml("\n".join(lines).encode(), "s.yaml")
    assert time.process_time() - started < 1.0  # the catalogue's bound; the bomb itself would take hours


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 0.001), ("1.0e-3", 0.001), ("5", 5), ("2026-09-01", None), ("yes", True)]
)
def test_numbers_are_numbers(text: str, value: Any) -> None:
    read = parse_yaml(f"a: {text}".encode(), "s.yaml")["a"]
    assert value is None or (read == value and type(read) is type(value))


@pytest.mark.parametrize("file", STUDIES, ids=lambda path: path.stem)
def test_every_shipped_study_loads_once_its_data_is_there(file: Path, tmp_path: Path) -> None:
    raw = read_yaml(file)
    for path in (
        raw["data"]["manifest"],
        raw["data"]["group"]["csv"] if isinstance(raw["data"]["group"], dict) else None,
    ):
        if path:
            place = tmp_path / path.replace("*", "abc")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
    (tmp_path / raw["data"]["images"]).mkdir(parents=True, exist_ok=True)
    spec = load_study(file, data_root=tmp_path)
    assert spec.name == file.stem
    again = parse_study(yaml.safe_load(yaml.safe_dump(spec.to_json(), sort_keys=False)), "resolved", Path("/"))
    assert again == spec
    assert again.rules() == spec.rules()


@pytest.mark.parametrize("name", ["valeo_write_up", "valeo_write_up_generated"])
def test_absent_data_names_the_command_that_draws_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FDSEARCH_DATA", str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        load_study(shipped("studies") / f"{name}.yaml")
    assert {fault.where.rpartition("$.")[2] for fault in caught.value.faults} >= {"data.manifest", "data.images"}
    assert all("--layout challenge" in fault.fix for fault in caught.value.faults if "$.data" in fault.where)


def test_labels_of_drift_may_be_absent_and_are_found_where_they_are(folder: Path, tmp_path: Path) -> None:
    drift = {"manifest": "later/seen.csv", "label": "Label", "novel": [6], "images": "later"}
    spec = parse_study(study(drift=drift), "s.yaml", folder, tmp_path)
    assert spec.drift is not None and (spec.drift.manifest, spec.drift.novel) == (Path("later/seen.csv"), ("6",))
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "seen.csv").touch()
    found = parse_study(study(drift=drift), "s.yaml", folder, tmp_path)
    assert found.drift is not None and found.drift.manifest == (tmp_path / "later" / "seen.csv").resolve()
    assert found.drift.images == (tmp_path / "later").resolve()
    assert parse_study(found.to_json(), "again", Path("/")) == found
    assert found.rules() == parse_study(study(), "s.yaml", folder).rules()


def test_rules_leave_out_what_does_not_change_a_score(folder: Path) -> None:
    plain = parse_study(study(), "s.yaml", folder)
    same = study(budget="2h", search={"n_trials": 99}, selection={"top_k": 9}, registry={"model": "other"})
    assert parse_study(same, "s.yaml", folder).rules() == plain.rules()
    others = [{name: value} for name, value in (("opening", "none"), ("max_latency_ms", 9), ("random_state", 1))]
    for other in ({"search": {"sampler": "random"}}, {"split": {"n_splits": 4}}, *({"search": key} for key in others)):
        assert parse_study(study(**other), "s.yaml", folder).rules() != plain.rules()


def test_an_opening_counts_only_where_there_is_one(folder: Path) -> None:
    grids = [{"sampler": "grid"}, {"sampler": "grid", "opening": "none"}]
    first, second = (parse_study(study(search=search), "s.yaml", folder).rules() for search in grids)
    assert first == second


def test_bare_names_of_spaces_are_the_shipped_ones(folder: Path) -> None:
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(study(space="quikc")))
    with pytest.raises(ConfigError, match=r"\$\.space.*did you mean quick\?"):
        load_study(file)
    file.write_text(yaml.safe_dump(study(space="quick")))
    spec: StudySpec = load_study(file)
    assert "unfreeze" in spec.space.names
