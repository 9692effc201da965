"""Which points open a search: inside the space, each once, main effects first, and the best of them deeper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fdsearch.pipeline.question import baseline_point
from fdsearch.search.opening import (
    MAX_DEEPER,
    MAX_PROBES,
    VARIED,
    Probe,
    deeper_points,
    is_probe,
    opening,
    opening_points,
)
from fdsearch.shipped import shipped
from fdsearch.space import SearchSpace
from fdsearch.space_reader import parse_space
from fdsearch.yaml_reader import read_yaml


def space_of(**raw: Any) -> SearchSpace:
    return parse_space({"phases": {"type": "categorical", "choices": ["probe", "head_tail"]}, **raw})


def choice(*choices: Any, **when: list[Any]) -> dict[str, Any]:
    return {"type": "categorical", "choices": list(choices), **({"when": when} if when else {})}


def named(space: SearchSpace) -> Mapping[str, Any]:
    baseline = baseline_point(space)
    assert baseline is not None
    return baseline


SOME = {
    "backbone": ["efficientnet_lite0", "mobilenet_v3_large", "piston_cnn"],
    "image_size": [224, 160, 288],
    "resize": ["stretch", "pad", "crop"],
    "pooling": ["avg_max", "avg", "max"],
    "phases": ["probe", "head", "head_tail", "head_mid_deep", "full"],
    "weights": ["imagenet", "random"],
    "head_init": ["probe", "random"],
}
RANGES = {
    "class_weighting": {"type": "float", "low": 0.0, "high": 1.0},
    "probe_c": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
    "epochs": {"type": "int", "low": 2, "high": 9},
}
STEPPED = {"type": "float", "low": 0.0, "high": 1.0, "step": 0.3}


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Spaces with any of the parameters, fixed, free, or conditional on the backbone."""
    raw: dict[str, Any] = {}
    for name, choices in SOME.items():
        if draw(st.booleans()):
            kept = draw(st.lists(st.sampled_from(choices), min_size=1, unique=True))
            raw[name] = choice(*kept) if len(kept) > 1 else {"fixed": kept[0]}
    for name, distribution in RANGES.items():
        if draw(st.booleans()):
            raw[name] = dict(distribution)
    if draw(st.booleans()):
        raw["class_weighting"] = dict(draw(st.sampled_from([STEPPED, choice(1.0, 0.0), {"fixed": 0.3}])))
    if draw(st.booleans()):
        raw["image_size"] = {"type": "int", "low": 64, "high": 300, "step": draw(st.sampled_from([1, 32]))}
    conditional = draw(st.sets(st.sampled_from(["image_size", "pooling", "phases", "class_weighting"])))
    if raw.get("backbone", {}).get("type"):
        for name in conditional & raw.keys():
            raw[name]["when"] = {"backbone": [raw["backbone"]["choices"][0]]}
    return parse_space(raw or {"epochs": {"fixed": 3}})


@given(spaces(), st.integers(0, 40), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_every_point_is_a_probe_of_the_space_and_new(space: SearchSpace, n_trials: int, n_others: int) -> None:
    baseline = baseline_point(space)
    if baseline is None:
        return
    others = [(f"recipe {i}", {}) for i in range(n_others)]
    begun = opening(space, baseline, others, n_trials)
    assert begun == opening(space, baseline, others, n_trials)
    probes = begun.probes
    points = [baseline, *(dict(point) for _, point in probes)]
    for point in points:
        assert space.complete(point) == point
        assert is_probe(point)
        varied = {name: value for name, value in point.items() if value != baseline.get(name)}
        assert all(optuna_allows(space, name, value) for name, value in varied.items())
    assert not any(point in points[:index] for index, point in enumerate(points))
    assert len({name for name, _ in probes}) == len(probes)
    assert len(probes) <= min(MAX_PROBES, max(0, n_trials - 1 - n_others) // 3)
    assert 0 <= begun.n_deeper <= MAX_DEEPER
    assert 1 + len(probes) + n_others + begun.n_deeper <= max(n_trials, 1 + n_others)


def optuna_allows(space: SearchSpace, name: str, value: Any) -> bool:
    """As Optuna judges it: inside, and on the grid of a step."""
    distribution = space.get(name)
    assert distribution is not None
    if distribution.step is None or distribution.kind in ("fixed", "categorical"):
        return distribution.holds(value)
    steps = (value - distribution.low) / distribution.step
    return distribution.holds(value) and abs(steps - round(steps)) < 1e-8


@given(spaces(), st.integers(1, 3), st.data())
@settings(max_examples=60, deadline=None)
def test_deeper_points_train_more_of_what_a_probe_looked_at(
    space: SearchSpace, limit: int, data: st.DataObject
) -> None:
    baseline = baseline_point(space)
    if baseline is None:
        return
    points = [baseline, *(dict(point) for _, point in opening_points(space, [baseline], 4))]
    values = [data.draw(st.floats(0, 1)) for _ in points]
    probes = [Probe(i, value, point) for i, (value, point) in enumerate(zip(values, points, strict=True))]
    found = deeper_points(space, probes, limit)
    assert len(found) <= limit
    for index, (name, point) in enumerate(found):
        assert space.complete(point) == point
        assert not is_probe(point)
        assert point not in [other for _, other in found[:index]]
        probe = probes[int(name.rpartition(" ")[2])]
        assert {key: point.get(key) for key in VARIED} == {key: probe.params.get(key) for key in VARIED}


QUICK = parse_space(read_yaml(shipped("search_spaces") / "quick.yaml"))
TRANSFER = parse_space(read_yaml(shipped("search_spaces") / "transfer.yaml"))


@pytest.mark.parametrize(("space", "n"), [(QUICK, 2), (TRANSFER, 4)], ids=["quick", "transfer"])
def test_main_effects_come_first_and_pairs_after_them(space: SearchSpace, n: int) -> None:
    """The dimension with most choices needs one point a choice; no design shows all of them with fewer."""
    baseline = named(space)
    points = [baseline, *(point for _, point in opening_points(space, [baseline], 12))]
    varied = [name for name in VARIED if name in baseline]
    choices = {name: {point[name] for point in points} for name in varied}
    shown = {name: {point[name] for point in points[: n + 1]} for name in varied}
    assert shown == choices
    assert [len(choices[name]) for name in varied] == [n + 1 if space is TRANSFER else 1, 3, 2, 2, 3]
    assert {(point["resize"], point["pooling"]) for point in points} == {
        (resize, pooling) for resize in ("stretch", "pad") for pooling in ("avg_max", "avg")
    }


def test_a_recipe_of_a_person_is_not_probed_again() -> None:
    space = space_of(pooling=choice("avg_max", "avg"), image_size=choice(224, 160))
    point = {"phases": "probe", "image_size": 160, "pooling": "avg"}
    without = [params for _, params in opening(space, named(space), [], 30).probes]
    begun = [params for _, params in opening(space, named(space), [("mine", point)], 30).probes]
    assert space.complete(point) in without
    assert begun == [params for params in without if params != space.complete(point)]
    assert len(begun) == 2


@pytest.mark.parametrize(
    ("n_trials", "n_probes", "n_deeper"), [(1, 0, 0), (3, 0, 0), (4, 1, 0), (15, 4, 2), (60, 8, 3)]
)
def test_an_opening_takes_a_modest_share(n_trials: int, n_probes: int, n_deeper: int) -> None:
    begun = opening(QUICK, named(QUICK), [], n_trials)
    assert (len(begun.probes), begun.n_deeper) == (n_probes, n_deeper)


def test_deeper_points_begin_with_the_best_probe_and_the_middle_of_the_ranges() -> None:
    probes = [
        Probe(number, value, {"phases": "probe", "image_size": size, "probe_c": 0.01, "class_weighting": 0.0})
        for number, value, size in ((0, 0.4, 224), (1, 0.5, 160), (2, 0.5, 160), (3, 0.45, 288))
    ]
    found = deeper_points(QUICK, probes, 3)
    assert [name for name, _ in found] == [
        "head_tail after trial 1",
        "head_tail after trial 3",
        "head_tail after trial 0",
    ]
    point = found[0][1]
    assert (point["image_size"], point["probe_c"], point["class_weighting"]) == (160, 0.01, 0.0)
    assert (point["epochs"], point["unfreeze"], point["batch_size"]) == (8, pytest.approx(0.19), 32)


@pytest.mark.parametrize(
    ("presets", "expected"),
    [
        (["probe", "head"], ["head"]),
        (["probe", "head", "head_mid_deep", "head_tail"], ["head_mid_deep", "head_tail"]),
        (["probe", "full"], []),
        (["probe"], []),
    ],
)
def test_which_presets_are_deeper(presets: list[str], expected: list[str]) -> None:
    space = parse_space({"phases": choice(*presets), "head_init": choice("random", "probe")})
    found = deeper_points(space, [Probe(7, 0.5, {"phases": "probe"})], 3)
    assert [name for name, _ in found] == [f"{preset} after trial 7" for preset in expected]
    assert all(point["head_init"] == "probe" for _, point in found)


def test_a_network_that_cannot_be_probed_is_left_out() -> None:
    pistons = parse_space(read_yaml(shipped("search_spaces") / "pistons.yaml"))
    found = opening_points(pistons, [named(pistons)], 12)
    assert found
    assert {point["backbone"] for _, point in found} == {"efficientnet_lite0"}
