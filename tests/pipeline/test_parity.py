"""Which pictures the golden set holds, and when an export is said to tell what the model tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsearch.pipeline.parity import Golden, compare, golden_rows
from fdsearch.serving.contract import Contract
from fdsearch.serving.formats import LITERT_FLOAT16, ONNX
from fdsearch.serving.runtimes import Answer

CONTRACT = Contract.model_validate(
    {
        "input": {"size": 16, "resize": "pad"},
        "classes": ["bent", "free"],
        "pass_classes": ["free"],
        "calibration": {"temperature": 1.0, "bias": [0.0, 0.0]},
        "decision": {"pass_threshold": 0.9, "unit": "group"},
    }
)


def answer(*good: float) -> Answer:
    """What is said of pictures that are free with these probabilities."""
    scores = np.array([[1 - each, each] for each in good], np.float32)
    return Answer(np.log(scores), scores)


def golden(*good: float) -> Golden:
    return Golden(np.zeros((len(good), 16, 16, 1), np.uint8), answer(*good))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=200), st.data())
def test_the_golden_set_has_as_many_pictures_of_each_class_as_it_can(labels: list[int], data: st.DataObject) -> None:
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, len(labels) - 1), min_size=1))))
    chosen = golden_rows(np.array(labels), rows)
    assert set(chosen) <= set(rows) and len(set(chosen)) == len(chosen) == min(32, len(rows))
    assert chosen.tolist() == golden_rows(np.array(labels), rows).tolist()
    counts = {label: (np.array(labels)[chosen] == label).sum() for label in set(np.array(labels)[rows].tolist())}
    for label, count in counts.items():
        there = (np.array(labels)[rows] == label).sum()
        assert count == there or count >= max(counts.values()) - 1


@pytest.mark.parametrize(
    ("format", "told", "passes", "changes"),
    [
        (ONNX, (0.95, 0.5001, 0.2), True, 0),
        (ONNX, (0.95 + 5e-5, 0.5001, 0.2), True, 0),
        (ONNX, (0.95 + 2e-4, 0.5001, 0.2), False, 0),
        (ONNX, (0.2, 0.5001, 0.95), False, 2),
        (LITERT_FLOAT16, (0.945, 0.495, 0.2), True, 1),
        (LITERT_FLOAT16, (0.93, 0.5001, 0.2), False, 0),
    ],
)
def test_a_difference_is_measured_and_decisions_are_counted(
    format: str, told: tuple[float, ...], passes: bool, changes: int
) -> None:
    reference = golden(0.95, 0.5001, 0.2)
    found = compare(format, answer(*told), reference, CONTRACT)
    assert (found["passes"], found["decision_changes"]) == (passes, changes)
    largest = max(abs(one - other) for one, other in zip(told, (0.95, 0.5001, 0.2), strict=True))
    assert found["max_difference"] == pytest.approx(largest, abs=1e-7)
    assert (found["why"] is None) == passes


def test_an_answer_that_is_no_number_never_passes() -> None:
    found = compare(ONNX, answer(np.nan, 0.2), golden(0.95, 0.2), CONTRACT)
    assert (found["passes"], found["max_difference"], found["decision_changes"]) == (False, None, 1)
    assert "no number" in found["why"]


def test_a_golden_set_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = golden(0.9, 0.1)
    written.write(tmp_path / "golden.npz")
    read = Golden.read(tmp_path / "golden.npz")
    np.testing.assert_array_equal(read.pictures, written.pictures)
    np.testing.assert_array_equal(read.answer.logits, written.answer.logits)
    np.testing.assert_array_equal(read.answer.probabilities, written.answer.probabilities)
