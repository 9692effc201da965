"""Gates are held against the lower end of the interval, and a figure that cannot be given does not hold."""

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
