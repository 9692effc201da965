"""Gates are held against the bad end of what is known, and a figure that cannot be given does not hold."""

from __future__ import annotations

from typing import Any

import pytest

from fdsearch.config import Gates
from fdsearch.registry.gates import evaluate


@pytest.mark.parametrize(
    ("headline", "holds", "figure", "says"),
    [
        ({"value": 0.9, "ci": [0.4, 0.95]}, True, 0.4, "reaches 0.4"),
        ({"value": 0.9, "ci": [0.399, 0.95]}, False, 0.399, "below 0.4"),
        ({"value": 0.9, "ci": None, "why": "crack has 2 groups"}, False, None, "crack has 2 groups"),
        ({"value": 0.9, "ci": None}, False, None, "not computed"),
        ({}, False, None, "no interval"),
        (None, False, None, "no interval"),
    ],
)
def test_min_macro_f1(headline: dict[str, Any] | None, holds: bool, figure: float | None, says: str) -> None:
    [gate] = evaluate(Gates(min_macro_f1=0.4), {"headline": headline})
    assert (gate["name"], gate["holds"], gate["figure"], gate["threshold"]) == ("min_macro_f1", holds, figure, 0.4)
    assert says in gate["why"]


def test_no_gate_is_asked_where_none_is_set() -> None:
    assert evaluate(Gates(), {}) == []


def contract(
    promised: float | None, line: float | None = None, measured: float | None = None, costs: bool = False
) -> dict[str, Any]:
    rule = {"costs": [[0, 1, 1]]} if costs else {"max_escape_rate": promised}
    rates = {"training": {"escape": {"high": measured}}, "line": None if line is None else {"escape": {"high": line}}}
    decided = rule if costs or promised is not None else None
    return {"decision": decided, "decision_why": "too few parts", "evidence": {"decision": {"rates": rates}}}


@pytest.mark.parametrize(
    ("found", "figure", "holds", "says"),
    [
        (contract(0.05), 0.05, True, "within"),
        (contract(0.2), 0.2, False, "above"),
        # What was measured where the threshold was chosen is no bound; the promise is.
        (contract(0.05, measured=0.3), 0.05, True, "within"),
        (contract(0.05, line=0.3), 0.3, False, "shares of the line"),
        (contract(0.05, line=0.01), 0.05, True, "within"),
        (contract(None, measured=0.08, costs=True), 0.08, True, "within"),
        (contract(None, measured=0.01), None, False, "too few parts"),
        ({"decision": None, "evidence": None}, None, False, "no promise"),
        ({}, None, False, "no promise"),
    ],
)
def test_max_escape_rate(found: dict[str, Any], figure: float | None, holds: bool, says: str) -> None:
    [gate] = evaluate(Gates(max_escape_rate=0.1), {}, found)
    assert (gate["name"], gate["figure"], gate["threshold"], gate["holds"]) == ("max_escape_rate", figure, 0.1, holds)
    assert says in gate["why"]


def export(**told: Any) -> dict[str, Any]:
    return {"file": "x", "tolerance": 1e-4, "max_difference": 2e-5, "passes": True, "batch_1_ms": 8.0, **told}


@pytest.mark.parametrize(
    ("exports", "figure", "holds"),
    [
        ({"keras": export(batch_1_ms=99.0), "onnx": export()}, 8.0, True),
        ({"onnx": export(passes=False, batch_1_ms=1.0, why="differs"), "litert": export(batch_1_ms=12.0)}, 12.0, False),
        ({"onnx": export(batch_1_ms=None)}, None, False),
        ({}, None, False),
        (None, None, False),
    ],
)
def test_max_latency_is_of_the_fastest_export_that_passes(
    exports: dict[str, Any] | None, figure: float | None, holds: bool
) -> None:
    gate, *_ = evaluate(Gates(max_latency_ms=10.0), {}, {}, exports)
    assert (gate["name"], gate["figure"], gate["holds"]) == ("max_latency_ms", figure, holds)


@pytest.mark.parametrize(
    ("exports", "expected"),
    [
        (None, None),
        ({"onnx": export(file=None, max_difference=None, passes=False, why="onnx is not installed")}, None),
        ({"keras": export(tolerance=None, max_difference=None), "onnx": export()}, (pytest.approx(0.2), True)),
        ({"onnx": export(), "litert": export(max_difference=2e-4, passes=False)}, (pytest.approx(2.0), False)),
        ({"onnx": export(max_difference=None, passes=False, why="it does not run")}, (None, False)),
    ],
)
def test_an_export_that_tells_something_else_is_always_a_gate(exports: dict[str, Any] | None, expected: Any) -> None:
    found = evaluate(Gates(), {}, {}, exports)
    assert [(gate["name"], gate["figure"], gate["holds"]) for gate in found] == (
        [] if expected is None else [("export_parity", *expected)]
    )
