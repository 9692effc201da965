"""Figures are SVG in a data URI, drawn from numbers alone; where there is nothing to draw there is none."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from fdsearch.report.figures import confusion_svg, latency_front, learning_curves, trial_history

PREFIX = "data:image/svg+xml;base64,"


def svg(uri: str | None) -> ET.Element:
    assert uri is not None and uri.startswith(PREFIX)
    return ET.fromstring(base64.b64decode(uri.removeprefix(PREFIX)))


def test_curves_are_drawn() -> None:
    rows = [{"epoch": epoch, "loss": 1.0, "accuracy": 0.5, "val_loss": 1.1, "val_macro_f1": 0.4} for epoch in range(3)]
    assert svg(learning_curves({"fold 0": rows, "fold 1": rows})).tag.endswith("svg")


@pytest.mark.parametrize("curves", [{}, {"fold 0": []}])
def test_a_probe_has_no_curve(curves: dict[str, Any]) -> None:
    assert learning_curves(curves) is None


@pytest.mark.parametrize(
    "rows",
    [
        [{"epoch": 0, "loss": 1.0}],
        [{"epoch": 0, "loss": None, "val_macro_f1": 0.5}, {"epoch": 1, "loss": 0.5}],
        [{"epoch": 0}],
        [{"epoch": 0, "loss": float("inf"), "val_loss": float("nan")}],
    ],
)
def test_gaps_are_left_open(rows: list[dict[str, Any]]) -> None:
    svg(learning_curves({"fold 0": rows}))


def test_names_of_folds_never_reach_the_figure() -> None:
    rows = [{"epoch": 0, "loss": 1.0}]
    assert learning_curves({"$\\frac{": rows}) == learning_curves({"fold": rows})


def test_history_takes_what_has_a_value() -> None:
    trials = [
        {"number": 0, "state": "COMPLETE", "value": 0.5, "params": {}},
        {"number": 1, "state": "PRUNED", "value": None, "params": {}},
        {"number": 2, "state": "FAIL", "params": {}},
    ]
    svg(trial_history(trials))
    assert trial_history(trials[1:]) is None
    assert trial_history([]) is None


@pytest.mark.parametrize("counts", [[[3]], [[3, 1], [0, 0]], [[10_000] * 20] * 20])
def test_a_confusion_matrix_of_any_size(counts: list[list[int]]) -> None:
    assert ET.fromstring(confusion_svg(counts)).tag.endswith("svg")
    assert confusion_svg(counts) == confusion_svg(counts)


TRIALS = [
    {"number": 0, "value": 0.5, "latency_ms": 4.0, "feasible": True},
    {"number": 1, "value": 0.7, "latency_ms": 30.0, "feasible": False},
    {"number": 2, "value": 0.6, "latency_ms": None, "feasible": True},
    {"number": 3, "value": None, "latency_ms": 4.0, "feasible": True},
]


@pytest.mark.parametrize("trials", [TRIALS, TRIALS[:1], TRIALS[1:2]])
def test_trials_too_slow_are_drawn_with_the_others(trials: list[dict[str, Any]]) -> None:
    assert svg(trial_history(trials)).tag.endswith("svg")
    front = [{"trial": trials[0]["number"], **trials[0]}]
    assert svg(latency_front(trials, front)).tag.endswith("svg")


def test_without_measurements_there_is_no_front() -> None:
    assert latency_front(TRIALS[2:], []) is None
    assert latency_front([{"number": 0, "value": 0.5}], []) is None
