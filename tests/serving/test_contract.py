"""contract.json: what may stand in it, and that reading returns what was written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fdsearch.errors import IntegrityError
from fdsearch.serving.contract import Contract


def test_reading_returns_what_was_written(contract: Contract, tmp_path: Path) -> None:
    contract.write(tmp_path / "contract.json")
    read = Contract.parse((tmp_path / "contract.json").read_bytes(), "contract.json")
    assert read == contract
    assert read.decision is not None
    assert read.decision.model_dump() == {"pass_threshold": 0.6, "unit": "group", "n_defective": 30}


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
        (change("format", 2), "$.format"),
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
        (change("calibration.bias", [0.0]), "$"),
        (change("decision.pass_threshold", 1.5), "$.decision.pass_threshold"),
        (change("decision.unit", "lot"), "$.decision.unit"),
        (change("decision.code", {"class_name": "Lambda"}), "$.decision.code"),
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
