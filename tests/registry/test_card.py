"""The model card: every figure of the run, every reason for a missing one, and no markup from data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fdsearch.registry import card_page
from fdsearch.registry.card import model_card

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


SUBJECT: dict[str, Any] = {
    "data": {"n": 1120, "classes": {"crack": {"pictures": 120, "parts": 60}}, "digest": "abc"},
    "partition": {"name": "tiles", "development": {"n": 900, "n_groups": 300}, "holdout": {"n": 220, "n_groups": 70}},
    "groups": {"source": "inferred", "n": 370, "min_confidence": 0.71},
    "weights": [
        {"backbone": "lite0", "file": "a.pth", "digest": "sha256:1", "licence": "Apache-2.0", "trained_on": "ImageNet"}
    ],
}


def render(
    name: str, metrics: Mapping[str, Any], lineage: Mapping[str, Any], contract: Mapping[str, Any], *rest: Any
) -> str:
    """A card as people see it, which is the card that programs read."""
    card = model_card(name, metrics, lineage, contract, *rest)
    text = card_page.render(json.loads(json.dumps(card, allow_nan=False)))
    assert text == card_page.render(card)
    return text


def test_a_full_card_says_everything() -> None:
    gates = [{"name": "min_macro_f1", "figure": 0.7, "threshold": 0.4, "holds": True, "why": "reaches"}]
    exports = {"onnx": {"passes": True, "max_difference": 3e-7, "decision_changes": 0, "batch_1_ms": 19.0}}
    card = render("tiles", METRICS, {"trial": 7, "digests": {"data": "abc"}}, CONTRACT, gates, SUBJECT, exports)
    for text in (
        "# Model card: tiles",
        "**Macro F1 0.810 (0.700 to 0.900)** on the sealed holdout",
        "its smallest class has 16 parts",
        "| crack | 120 | 60 |",
        "| Parts | 370 |",
        "| Parts are | told from the pictures |",
        "| Least certain part | 0.710 |",
        "| Development | 900 pictures of 300 parts |",
        "| Holdout | 220 pictures of 70 parts |",
        "| lite0 | a.pth | sha256:1 | ImageNet | Apache-2.0 |",
        "| onnx | yes | 3e-07 | 0 | 19.0 ms |",
        "The unit of decision is the part.",
        "0.080 (0.020 to 0.140)",
        "| Openings of the holdout | 2 |",
        "| crack | 0.900 | not given | 0.800 | 20 | 16 |",
        "at most 0.1 of defective parts pass",
        "| digests.data | abc |",
        "| min\\_macro\\_f1 | 0.700 | 0.400 | yes | reaches |",
    ):
        assert text in card


def test_missing_figures_have_their_reason() -> None:
    cv = {"macro_f1_mean": 0.6, "macro_f1_ci": None, "why": "crack has 2 parts"}
    metrics = {"headline": {"value": 0.5, "ci": None, "why": "crack has 2 groups"}, "holdout": None, "cv": cv}
    contract = {"classes": ["a", "b"], "decision": None, "decision_why": "29 defective parts are needed"}
    card = render("tiles", metrics, {}, contract)
    assert "No interval can be given: crack has 2 groups." in card
    assert "Nothing passes without a person: 29 defective parts are needed." in card
    assert "| Holdout macro F1 | not given |" in card
    assert "| Cross-validated macro F1 | 0.600 (no interval: crack has 2 parts) |" in card
    assert "None were asked" in card and "Not given." in card


TRUST: dict[str, Any] = {
    **METRICS,
    "holdout": {
        **METRICS["holdout"],
        "independent": False,
        "words": "not independent: 2 candidates have seen this holdout",
    },
    "groups": {"source": "inferred", "n": 300},
    "random_folds": {"macro_f1": 0.92, "grouped": 0.52, "n": 900},
    "agreement": {"parts": 70, "same": 60, "share": 60 / 70, "shipped": "ensemble", "why": "60 of 70 sealed parts"},
}
RATES = {"escape": {"rate": 0.02, "low": 0.001, "high": 0.1}, "review": {"rate": None, "low": None, "high": None}}
EVIDENCE: dict[str, Any] = {
    "calibration": {"ece": {"before": 0.12, "after": 0.03}, "log_loss": {"before": 0.9, "after": None}},
    "decision": {
        "rates": {"training": RATES, "line": None},
        "per_class": {"crack|": {"parts": 60, "escaped": 1, "bound": 0.0769}},
        "curve": {"training": [{"threshold": 0.5}] * 278},
        "notes": ["the promise is about the development parts"],
    },
    "repeatability": {"share": 0.9, "n_parts": 40, "worst": [{"part": "t053"}]},
}


def test_what_weakens_a_score_stands_beside_it() -> None:
    card = render("tiles", TRUST, {}, {**CONTRACT, "evidence": EVIDENCE})
    for text in (
        "Not independent: 2 candidates have seen this holdout.",
        "Groups were inferred from pictures",
        "The model is the mean of its folds' models: 60 of 70 sealed parts.",
        "| Probe on random folds | 0.920 | wrong: with parts kept together 0.520 |",
        "| Optimism of having been chosen, at least | 0.013 |",
        "| Defective parts that pass, as photographed | 0.020 (0.001 to 0.100) |",
        "| Parts that go to a person, as photographed | not given |",
        "| crack\\|: defective parts that pass | 1 of 60, at most 0.0769 |",
        "| Calibration error, before and after calibration | 0.120, 0.030 |",
        "| Parts whose pictures all get one decision | 0.900 of 40 parts",
        "The promise is about the development parts.",
    ):
        assert text in card
    assert "threshold" not in card.split("Out of fold")[1], "a curve is for the report"
    assert "Log loss" not in card


def test_a_refused_claim_keeps_what_was_measured() -> None:
    refused = {**CONTRACT, "decision": None, "decision_why": "29 defective parts are needed", "evidence": EVIDENCE}
    card = render("tiles", METRICS, {}, refused)
    assert "Nothing passes without a person: 29 defective parts are needed." in card
    assert "| Defective parts that pass, as photographed | 0.020 (0.001 to 0.100) |" in card


def test_costs_decide_without_a_threshold() -> None:
    card = render("tiles", METRICS, {}, {**CONTRACT, "decision": {"unit": "group", "costs": [[0, 1, 5], [90, 1, 0]]}})
    assert "least expected cost" in card and "Promise" not in card


@given(st.text(max_size=40))
def test_labels_are_shown_and_never_obeyed(label: str) -> None:
    hostile = f"<script>|[x](y)`{label}"
    metrics = {"holdout": {"per_class": {hostile: {}}, "independent": False, "words": hostile}}
    about = {"data": {"classes": {hostile: {"pictures": 1, "parts": 1}}}}
    card = render("tiles", metrics, {"note": hostile}, {"classes": [hostile, "b"]}, (), about)
    assert "<" not in card
    rows = [line for line in card.splitlines() if "script" in line and line.startswith("|")]
    # The row keeps its number of columns: an unescaped bar would add one.
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [4, 7, 3]
    assert "\\[x\\](y)" in card
