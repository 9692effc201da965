"""From flat parameters to phases."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsearch.errors import ConfigError
from fdsearch.parameters import FROM_SCRATCH, PHASES
from fdsearch.trial import PRESETS, TrialConfig


def phases(params: dict[str, Any]) -> list[tuple[str, int, float, int | None]]:
    config = TrialConfig.from_params(params)
    return [(phase.name, phase.epochs, phase.unfreeze, phase.unfreeze_layers) for phase in config.phases]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"phases": "probe"}, [("probe", 0, 0.0, None)]),
        ({"phases": "head", "epochs": 8}, [("probe", 0, 0.0, None), ("head", 8, 0.0, None)]),
        ({"phases": "head", "epochs": 8, "head_init": "random"}, [("head", 8, 0.0, None)]),
        (
            {"phases": "head_tail", "epochs": 12, "unfreeze": 0.3},
            [("probe", 0, 0.0, None), ("head", 3, 0.0, None), ("tail", 9, 0.3, None)],
        ),
        (
            {"phases": "head_mid_deep", "epochs": 20, "unfreeze_layers": [30, 100], "head_init": "random"},
            [("head", 4, 0.0, None), ("mid", 6, 0.0, 30), ("deep", 10, 0.0, 100)],
        ),
        ({"backbone": "s_cnn_02", "epochs": 5}, [("full", 5, 1.0, None)]),
    ],
)
def test_presets(params: dict[str, Any], expected: list[tuple[str, int, float, int | None]]) -> None:
    assert phases(params) == expected


def test_the_middle_phase_opens_a_third_of_the_deep_one() -> None:
    config = TrialConfig.from_params({"phases": "head_mid_deep", "unfreeze": 0.9, "epochs": 10})
    assert [phase.unfreeze for phase in config.phases] == pytest.approx([0, 0, 0.3, 0.9])


def test_rates_fall_from_phase_to_phase() -> None:
    params = {"phases": "head_mid_deep", "learning_rate": 1e-3, "phase_decay": 0.1, "epochs": 10}
    rates = [phase.learning_rate for phase in TrialConfig.from_params(params).phases[1:]]
    assert rates == pytest.approx([1e-3, 1e-4, 1e-5])


@given(st.sampled_from(PHASES), st.integers(1, 200))
def test_phases_share_exactly_the_epochs(preset: str, epochs: int) -> None:
    config = TrialConfig.from_params({"phases": preset, "epochs": epochs})
    assert config.epochs == (0 if preset == "probe" else epochs)
    assert all(phase.epochs > 0 for phase in config.phases if phase.name != "probe")


def test_every_preset_has_a_name() -> None:
    assert tuple(PRESETS) == PHASES


@pytest.mark.parametrize(
    ("backbone", "size"), [*FROM_SCRATCH.items(), ("inception_v3", 299), ("efficientnet_lite0", 224)]
)
def test_the_size_is_the_backbones_own(backbone: str, size: int) -> None:
    assert TrialConfig.from_params({"backbone": backbone}).image_size == size
    assert TrialConfig.from_params({"backbone": backbone, "image_size": 64}).image_size == 64


def test_all_wrong_parameters_are_listed() -> None:
    wrong = {"learning_rat": 1, "dropout": 2.0, "epochs": 2.5, "schedule": "cosin", "batch_size": True, "custom_x": 1}
    with pytest.raises(ConfigError) as caught:
        TrialConfig.from_params(wrong)
    assert [fault.where for fault in caught.value.faults] == [f"$.{name}" for name in wrong if name != "custom_x"]
    assert "learning_rate" in caught.value.faults[0].fix
