"""What `space: auto` chooses by its tables, and that whatever it chooses can be searched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fdsearch.parameters import PARAMETERS
from fdsearch.pipeline.auto_space import AutoSpace, auto_space
from fdsearch.pipeline.auto_space_facts import Facts
from fdsearch.pipeline.auto_space_tables import (
    DEVICES,
    METHODS,
    MIN_TRIALS,
    RECIPES,
    RELATIVE_COST,
    SIZES,
    SMALL_NETWORKS,
    TIERS,
)
from fdsearch.pipeline.question import baseline_point
from fdsearch.pipeline.resolving import check_losses
from fdsearch.trial import TrialConfig

TILES = Facts(
    pictures={"Blowhole": 92, "Break": 68, "Crack": 46, "Fray": 26, "Free": 771, "Uneven": 83},
    parts={"Blowhole": 16, "Break": 13, "Crack": 7, "Fray": 6, "Free": 125, "Uneven": 14},
    height=324,
    width=271,
    backbones=("efficientnet_lite0",),
    device="cpu",
    n_devices=2,
    n_fits=5,
    train_share=0.8,
    budget_s=3600.0,
)
FEW = replace(TILES, pictures=dict.fromkeys("abcdef", 24), parts=dict.fromkeys("abcdef", 4))
MANY = replace(TILES, pictures={"a": 6000, "b": 2000}, parts={"a": 600, "b": 200}, device="gpu", n_devices=1)


def said(found: AutoSpace, beginning: str) -> str:
    return " ".join(why for why in found.reasons if why.startswith(beginning))


def test_the_known_recipe_is_the_first_deep_point_on_the_tiles() -> None:
    found = auto_space(TILES)
    names = [name for name, _ in found.recipes]
    assert names == list(RECIPES)
    config = TrialConfig.from_params(found.recipes[1][1])
    [probe, tail] = config.phases
    assert (probe.name, tail.name, tail.epochs, tail.unfreeze, tail.learning_rate) == ("probe", "tail", 10, 0.28, 3e-4)
    assert (config.optimizer, config.schedule, config.label_smoothing) == ("adamw", "cosine", 0.05)
    assert (config.class_weighting, config.exposure, config.probe_views) == (0.75, "standardise", 8)
    assert found.space.values("image_size") == (224, 288)
    assert "30 parts of a class in the mean, 6 of Fray" in said(found, "phases:")


def test_few_parts_stay_with_the_probe_and_say_what_cannot_be_claimed() -> None:
    found = auto_space(FEW)
    assert found.space.values("phases") == ("probe", "head")
    assert found.space.get("unfreeze") is None
    assert "fewer than 5 parts to develop with of every class" in said(found, "not to be")
    one = auto_space(replace(TILES, parts={**TILES.parts, "Fray": 4}))
    assert "fewer than 5 parts to develop with of Fray" in said(one, "not to be")
    assert [name for name, _ in found.recipes] == ["a probe on several views"]
    assert found.n_trials <= 12


def test_many_parts_on_a_gpu_open_the_whole_backbone() -> None:
    here = ("efficientnet_lite0", "efficientnet_v2s", "convnext_tiny")
    many = replace(MANY, backbones=here, budget_s=12 * 3600.0)
    found = auto_space(many)
    unfreeze = found.space.get("unfreeze")
    assert found.space.values("backbone") == here
    assert found.space.values("phases") == ("probe", "tail", "head_mid_deep")
    assert unfreeze is not None and unfreeze.high == 1.0
    assert found.space.get("augmentation") is not None
    # Ten times as many pictures leave the dear ones no time.
    larger = auto_space(replace(many, pictures={"a": 60_000, "b": 20_000}))
    assert larger.space.values("backbone") == here[:1]
    assert "tail of efficientnet_v2s, convnext_tiny takes too long" in said(larger, "backbone:")


@pytest.mark.parametrize(
    ("change", "parameter", "expected"),
    [
        ({"height": 80, "width": 80}, "image_size", (224, 160)),
        ({"height": 224, "width": 224}, "image_size", (224,)),
        ({"height": 3000, "width": 2000}, "image_size", (224, 288)),
        ({"height": 3000, "width": 2000, "device": "gpu"}, "image_size", (224, 512)),
        ({"height": 300, "width": 100}, "resize", ("stretch", "pad")),
        ({"bounded": True}, "test_views", (1, 4)),
        ({"pictures": {"a": 199, "b": 100}, "parts": {"a": 99, "b": 50}}, "class_weighting", (1.0,)),
        ({"pictures": {"a": 200, "b": 100}, "parts": {"a": 99, "b": 50}}, "class_weighting", ()),
        ({"pictures": {"a": 40_000}, "parts": {"a": 400}}, "probe_views", (1,)),
        ({"pictures": {"a": 40_000}, "parts": {"a": 400}}, "phases", ("probe", "head")),
    ],
    ids=str,
)
def test_what_a_fact_changes(change: dict[str, Any], parameter: str, expected: tuple[Any, ...]) -> None:
    assert auto_space(replace(TILES, **change)).space.values(parameter) == expected


def test_what_is_stated_is_not_chosen() -> None:
    stated = auto_space(replace(TILES, n_trials=33))
    assert stated.n_trials == 33
    assert not said(stated, "n_trials")
    assert auto_space(replace(TILES, budget_s=None)).budget_s == DEVICES["cpu"].budget_s


def test_more_time_carries_more_trials_and_a_little_time_no_tail() -> None:
    short, usual, long = (auto_space(replace(TILES, budget_s=seconds)) for seconds in (300.0, 3600.0, 36_000.0))
    assert short.space.values("phases") == ("probe", "head")
    assert "a larger budget or a GPU" in said(short, "phases:")
    assert usual.n_trials < long.n_trials == TIERS[1].max_trials


def test_without_weights_small_networks_are_trained_and_it_is_said() -> None:
    found = auto_space(replace(TILES, backbones=()))
    assert found.space.values("backbone") == SMALL_NETWORKS
    assert "no pretrained weights are here" in said(found, "backbone:")
    assert found.recipes == ()


counts = st.dictionaries(st.sampled_from("abcdefg"), st.integers(2, 50_000), min_size=2)


@settings(max_examples=60, deadline=None)
@given(
    counts,
    st.integers(1, 8),
    st.tuples(st.integers(16, 8000), st.integers(16, 8000)),
    st.sets(st.sampled_from(sorted(RELATIVE_COST))),
    st.sampled_from(sorted(DEVICES)),
    st.integers(1, 64),
    st.sampled_from((None, 60.0, 2400.0, 1e6)),
    st.booleans(),
)
def test_whatever_the_facts_the_space_can_be_searched(
    parts: dict[str, int],
    shots: int,
    size: tuple[int, int],
    backbones: set[str],
    device: str,
    n_devices: int,
    budget_s: float | None,
    bounded: bool,
) -> None:
    pictures = {name: shots * count for name, count in parts.items()}
    facts = Facts(pictures, parts, *size, tuple(sorted(backbones)), device, n_devices, 5, 0.8, budget_s, None, bounded)
    found = auto_space(facts)
    assert found == auto_space(facts)
    assert MIN_TRIALS <= found.n_trials <= TIERS[-1].max_trials
    check_losses(found.space)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(5):
        assert TrialConfig.from_params(found.space.sample(study.ask())).image_size > 0
    for _, point in found.recipes:
        assert found.space.complete(point) == point
    usable = set(DEVICES[device].backbones) & backbones
    baseline = baseline_point(found.space)
    assert (baseline is None) == (not usable)
    if baseline is not None:
        config = TrialConfig.from_params(baseline)
        plain = (config.exposure, config.probe_views, config.test_views, config.image_size, config.class_weighting)
        assert plain == ("none", 1, 1, 224, 1.0)


def test_the_tables_name_what_training_knows() -> None:
    from fdsearch.models.builders import BUILDERS

    named = {name for device in DEVICES.values() for name in device.backbones}
    assert named <= set(RELATIVE_COST)
    assert named | set(SMALL_NETWORKS) <= set(BUILDERS)
    assert set(METHODS) <= set(PARAMETERS)
    assert list(SIZES) == sorted(SIZES)
    assert TIERS[-1].below == float("inf")
