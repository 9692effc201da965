"""What a candidate's out-of-fold predictions become in its contract, and what the contract tells the run's document."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fdsearch.config import DecisionSpec
from fdsearch.errors import ConfigError
from fdsearch.pipeline.bundle import decision_document, write_contract
from fdsearch.serving.contract import Contract
from fdsearch.trial import TrialConfig

CLASSES = ("bent", "free")
CONFIG = {"backbone": "piston_cnn", "weights": "random", "image_size": 16, "phases": "full", "epochs": 2}


def question(decision: dict[str, Any], *, n_parts: int = 40, single_split: bool = False) -> Any:
    """The values of a question that a contract is made of: two pictures a part; the last four rows are sealed."""
    labels = np.repeat([0, 1], n_parts)
    rows = np.arange(2 * n_parts - 4)
    dataset = SimpleNamespace(
        labels=labels,
        groups=np.arange(2 * n_parts) // 2,
        classes=CLASSES,
        pass_classes=("free",),
        group_names=tuple(f"part {number}" for number in range(n_parts)),
        filenames=tuple(f"{row}.png" for row in range(2 * n_parts)),
        content=tuple(f"{row:064x}" for row in range(2 * n_parts)),
    )
    return SimpleNamespace(
        dataset=dataset,
        partition=SimpleNamespace(development=SimpleNamespace(rows=rows)),
        spec=SimpleNamespace(decision=DecisionSpec.model_validate(decision)),
        single_split=single_split,
    )


def candidate(labels: np.ndarray, **config: Any) -> Any:
    """Two repeats that know the class, but for the first picture of all, which looks free."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(2, len(labels), 2)) + 8 * np.eye(2)[labels]
    logits[:, 0] = [0.0, 8.0]
    logits[:, -4:] = np.nan
    trained = TrialConfig.from_params({**CONFIG, **config})
    return SimpleNamespace(logits=logits.astype(np.float32), effective_shares=np.array([0.5, 0.5]), config=trained)


def written(asked: Any, folder: Path, **config: Any) -> Contract:
    contract = write_contract(asked, candidate(asked.dataset.labels, **config), folder)
    assert Contract.parse((folder / "contract.json").read_bytes(), "contract.json") == contract
    return contract


def test_a_contract_holds_the_rule_and_its_evidence(tmp_path: Path) -> None:
    contract = written(question({"max_escape_rate": 0.2, "line_shares": {"bent": 0.05, "free": 0.95}}), tmp_path)
    document = decision_document(contract)
    assert document["decision"]["max_escape_rate"] == 0.2 and document["decision_why"] is None
    assert document["calibration"]["method"] == "temperature"
    assert set(document["calibration"]["log_loss"]) == {"before", "after"}
    evidence = document["decision_evidence"]
    assert (evidence["n_good"], evidence["n_defective"]) == (18, 20)
    assert evidence["per_class"]["bent"]["parts"] == 20
    assert evidence["rates"]["line"]["review"]["rate"] is not None and evidence["curve"]["line"]
    repeatable = document["repeatability"]
    assert repeatable["n_parts"] == 38 and repeatable["share"] <= 37 / 38
    assert repeatable["worst"][0]["part"] == "part 0"
    assert [picture["filename"] for picture in repeatable["worst"][0]["pictures"]] == ["0.png", "1.png"]


def test_thirty_parts_a_class_carry_vector_scaling(tmp_path: Path) -> None:
    contract = written(question({"max_escape_rate": 0.2}, n_parts=80), tmp_path)
    assert isinstance(contract.calibration.temperature, tuple)
    assert decision_document(contract)["calibration"]["method"] == "vector"


def test_a_refused_claim_leaves_the_evidence(tmp_path: Path) -> None:
    document = decision_document(written(question({"max_escape_rate": 0.001}), tmp_path))
    assert document["decision"] is None and "2995" in document["decision_why"]
    assert document["decision_evidence"]["needed"] == 2995


def test_a_validation_part_that_chose_the_epochs_promises_nothing(tmp_path: Path) -> None:
    asked = question({"max_escape_rate": 0.2}, single_split=True)
    contract = written(asked, tmp_path, early_stopping="macro_f1")
    assert contract.decision is None and "chose the epochs" in str(contract.decision_why)


def test_costs_stand_in_the_contract(tmp_path: Path) -> None:
    costs = {"free": {"pass": 0, "review": 1, "reject": 5}, "bent": {"pass": 50, "review": 1, "reject": 0}}
    contract = written(question({"costs": costs}), tmp_path)
    assert contract.decision is not None and contract.decision.costs == ((50, 1, 0), (0, 1, 5))
    assert decision_document(contract)["decision_evidence"]["costs"]["training"]["if_all"]["review"] == pytest.approx(1)


def test_shares_that_do_not_name_the_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="classes of the study"):
        write_contract(question({"line_shares": {"free": 1.0}}), candidate(np.repeat([0, 1], 40)), tmp_path)


def test_a_contract_of_format_1_tells_what_it_has() -> None:
    old = Contract.model_validate(
        {
            "format": 1,
            "input": {"size": 16, "resize": "pad"},
            "classes": list(CLASSES),
            "calibration": {"temperature": 1.0, "bias": [0.0, 0.0]},
            "decision_why": "no pass class",
        }
    )
    assert decision_document(old) == {
        "decision": None,
        "decision_why": "no pass class",
        "novelty": None,
        "novelty_why": None,
        "novelty_evidence": None,
        "calibration": None,
        "decision_evidence": None,
        "repeatability": None,
    }
