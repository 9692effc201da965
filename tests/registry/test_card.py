"""The model card: every figure of the run, every reason for a missing one, and no markup from data."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fdsearch.registry.card import render

METRICS: dict[str, Any] = {
    "headline": {"value": 0.81, "ci": [0.7, 0.9], "source": "holdout", "min_groups": 16, "level": "approximately 95 %"},
    "cv": {"macro_f1_mean": 0.83, "macro_f1_ci": [0.8, 0.86], "n": 900, "n_groups": 300, "n_splits": 5, "n_repeats": 2},
    "baseline": {"macro_f1_mean": 0.75, "macro_f1_ci": [0.7, 0.8], "gain": 0.08, "gain_ci": [0.02, 0.14]},
    "holdout": {
        "n": 220,
        "n_groups": 70,
        "macro_f1": 0.81,
        "macro_f1_ci": [0.7, 0.9],
        "openings": 2,
        "per_class": {"crack": {"precision": 0.9, "recall": None, "f1": 0.8, "support": 20, "groups": 16}},
    },
    "optimism": 0.013,
}
CONTRACT: dict[str, Any] = {
    "classes": ["crack", "free"],
    "pass_classes": ["free"],
    "input": {"size": 224, "resize": "pad"},
    "decision": {
        "pass_threshold": 0.97,
        "unit": "group",
        "max_escape_rate": 0.1,
        "confidence": 0.95,
        "n_defective": 60,
    },
    "decision_why": None,
}


def test_a_full_card_says_everything() -> None:
    gates = [{"name": "min_macro_f1", "figure": 0.7, "threshold": 0.4, "holds": True, "why": "reaches"}]
    card = render("tiles", METRICS, {"trial": 7, "digests": {"data": "abc"}}, CONTRACT, gates)
    for text in (
        "# Model card: tiles",
        "**Macro F1 0.810 (0.700 to 0.900)** on the sealed holdout",
        "its smallest class has 16 groups",
        "0.080 (0.020 to 0.140)",
        "| Openings of the holdout | 2 |",
        "| crack | 0.900 | not given | 0.800 | 20 | 16 |",
        "at most 0.1 of defective parts pass",
        "| digests.data | abc |",
        "| min\\_macro\\_f1 | 0.700 | 0.400 | yes | reaches |",
    ):
        assert text in card


def test_missing_figures_have_their_reason() -> None:
    metrics = {"headline": {"value": 0.5, "ci": None, "why": "crack has 2 groups"}, "holdout": None}
    contract = {"classes": ["a", "b"], "decision": None, "decision_why": "29 defective parts are needed"}
    card = render("tiles", metrics, {}, contract)
    assert "No interval can be given: crack has 2 groups." in card
    assert "Nothing passes without a person: 29 defective parts are needed." in card
    assert "| Holdout macro F1 | not given |" in card
    assert "The study sets none." in card


@given(st.text(max_size=40))
def test_labels_are_shown_and_never_obeyed(label: str) -> None:
    hostile = f"<script>|[x](y)`{label}"
    card = render("tiles", {"holdout": {"per_class": {hostile: {}}}}, {"note": hostile}, {"classes": [hostile, "b"]})
    assert "<" not in card
    rows = [line for line in card.splitlines() if "script" in line and line.startswith("|")]
    # The row keeps its number of columns: an unescaped bar would add one.
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [7, 3]
    assert "\\[x\\](y)" in card
