"""contract.json: what may stand in it, and that reading returns what was written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fdsearch.decide import decide, probabilities
from fdsearch.errors import IntegrityError
from fdsearch.serving.contract import Contract


def test_reading_returns_what_was_written(contract: Contract, tmp_path: Path) -> None:
    contract.write(tmp_path / "contract.json")
    read = Contract.parse((tmp_path / "contract.json").read_bytes(), "contract.json")
    assert read == contract
    assert read.decision is not None
    assert read.decision.model_dump() == {"pass_threshold": 0.6, "unit": "group", "n_defective": 30}


FORMAT_1 = b"""{
 "format": 1,
 "input": {"size": 160, "resize": "pad", "decoder": "1", "dtype": "uint8", "layout": "NHWC", "channels": 1},
 "output": {"kind": "logits", "dtype": "float32"},
 "classes": ["bent", "free"],
 "pass_classes": ["free"],
 "calibration": {"temperature": 1.25, "bias": [-0.5, 0.25]},
 "decision": {
  "pass_threshold": 0.75, "unit": "group", "max_escape_rate": 0.1, "confidence": 0.95, "n_defective": 60,
  "n_escaped": 1, "escape_rate_bound": 0.0767, "n_good": 80, "n_good_passed": 70
 },
 "decision_why": null
}"""
"""As it was written before there was a format 2."""

NOVELTY = {
    "method": "vim",
    "threshold": 2.5,
    "false_alarm_rate": 0.05,
    "unit": "group",
    "cuts": ["block3_add"],
    "dimensions": 80,
    "why": None,
}


def test_contracts_of_format_1_stay_readable_and_decide_as_before() -> None:
    old = Contract.parse(FORMAT_1, "contract.json")
    assert (old.format, old.evidence) == (1, None)
    assert old.decision is not None
    rule = old.decision.model_dump()
    assert rule == json.loads(FORMAT_1)["decision"]
    scores = probabilities([[0.0, 1.0], [0.0, 3.0], [1.0, 0.0]], old.calibration.temperature, old.calibration.bias)
    # By hand: 1 / (1 + exp(-(x / 1.25 + 0.75))) for x = 1, 3, -1.
    assert scores[:, 1] == pytest.approx([0.8249, 0.9589, 0.4875], abs=1e-4)
    verdicts = decide(scores, old.pass_mask, {**rule, "pass_threshold": 0.9})
    assert [verdict.decision for verdict in verdicts] == ["review", "pass", "reject"]


def test_format_3_returns_what_was_written(contract: Contract, tmp_path: Path) -> None:
    whole = Contract.model_validate(
        {
            **contract.model_dump(),
            "calibration": {"temperature": [1.5, 2.0, 0.5], "bias": [0.0, 0.0, 1.0]},
            "decision": {"unit": "picture", "costs": [[9, 1, 0], [9, 1, 0], [0, 1, 2]], "cost_shift": [0.1, 0.2, -3.0]},
            "novelty": NOVELTY,
            "evidence": {"calibration": {"bins": {"before": [{"low": 0.9, "n": 3}], "after": None}}, "notes": ["so"]},
        }
    )
    whole.write(tmp_path / "contract.json")
    content = (tmp_path / "contract.json").read_bytes()
    assert Contract.parse(content, "contract.json") == whole
    written = json.loads(content)
    assert written["format"] == 3
    assert Contract.model_validate({**whole.model_dump(), "format": 2}).format == 2
    assert "pass_threshold" not in written["decision"]  # what a rule does not have is not written


def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(raw: dict[str, Any]) -> None:
        *parents, key = path.split(".")
        for parent in parents:
            raw = raw[parent]
        raw[key] = value

    return apply


@pytest.mark.parametrize(
    ("apply", "where"),
    [
        (change("format", 4), "$.format"),
        (change("novelty", {**NOVELTY, "threshold": None}), "$.novelty"),
        (change("novelty", {**NOVELTY, "threshold": -1.0}), "$.novelty.threshold"),
        (change("novelty", {**NOVELTY, "cuts": []}), "$.novelty.cuts"),
        (change("input.size", 0), "$.input.size"),
        (change("input.size", "24"), "$.input.size"),
        (change("input.resize", "squash"), "$.input.resize"),
        (change("input.dtype", "float32"), "$.input.dtype"),
        (change("output.kind", "probabilities"), "$.output.kind"),
        (change("classes", ["one"]), "$.classes"),
        (change("classes", ["a", "a", "b"]), "$"),
        (change("pass_classes", ["fine"]), "$"),
        (change("calibration", None), "$.calibration"),
        (change("calibration.temperature", 0), "$.calibration.temperature"),
        (change("calibration.temperature", float("nan")), "$.calibration.temperature"),
        (change("calibration.temperature", [1.0, 2.0]), "$"),
        (change("calibration.temperature", [1.0, 2.0, 0.0]), "$.calibration.temperature"),
        (change("calibration.bias", [0.0]), "$"),
        (change("decision.pass_threshold", 1.5), "$.decision.pass_threshold"),
        (change("decision.pass_threshold", None), "$.decision"),
        (change("decision.costs", [[0, 1, 2]] * 3), "$.decision"),
        (change("decision", {"unit": "group", "costs": [[0, 1, 2]] * 2}), "$"),
        (change("decision", {"unit": "group", "costs": [[0, 1]] * 3}), "$.decision.costs"),
        (change("decision", {"unit": "group", "costs": [[0, 1, -2]] * 3}), "$.decision.costs"),
        (change("decision", {"unit": "group", "costs": [[0, 1, 2]] * 3, "cost_shift": [0.0]}), "$"),
        (change("decision.unit", "lot"), "$.decision.unit"),
        (change("decision.code", {"class_name": "Lambda"}), "$.decision.code"),
        (change("evidence", {"rates": [float("nan")]}), "$"),
        (change("extra", 1), "$.extra"),
    ],
)
def test_what_cannot_stand_in_a_contract_exits_5(
    contract: Contract, apply: Callable[[dict[str, Any]], None], where: str
) -> None:
    raw = contract.model_dump(mode="json")
    apply(raw)
    with pytest.raises(IntegrityError) as caught:
        Contract.parse(json.dumps(raw).encode(), "contract.json")
    assert any(fault.where.startswith(f"contract.json: {where}") for fault in caught.value.faults)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b" " * 2_000_000])
def test_no_contract_at_all_exits_5(content: bytes) -> None:
    with pytest.raises(IntegrityError):
        Contract.parse(content, "contract.json")


def test_a_contract_above_the_limit_is_not_parsed(
    contract: Contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract.write(tmp_path / "contract.json")
    monkeypatch.setattr("fdsearch.serving.contract.MAX_BYTES", 100)
    with pytest.raises(IntegrityError, match="too large"):
        Contract.parse((tmp_path / "contract.json").read_bytes(), "contract.json")
