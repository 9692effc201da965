"""The stored result of a finished run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fdsearch.config import DecisionSpec, Gates, RegistrySpec, SearchSpec, SelectionSpec, SplitSpec
from fdsearch.pipeline.stored import store_result, stored_result
from fdsearch.unseen import DriftSpec, NoveltySpec


def question(folder: Path, n_trials: int = 3, definition: str = "a", **changes: Any) -> Any:
    """What `stored` reads of a question."""
    said = {
        **{"selection": SelectionSpec(), "split": SplitSpec(), "decision": DecisionSpec(), "registry": RegistrySpec()},
        **{"novelty": NoveltySpec(), "drift": None},
        **changes,
    }
    spec = SimpleNamespace(search=SearchSpec(n_trials=n_trials), **said)
    return SimpleNamespace(folder=folder, spec=spec, definition={"space": definition}, identity="0" * 64)


def test_a_result_answers_its_own_question_with_no_more_trials(tmp_path: Path) -> None:
    store_result(question(tmp_path), {"best_value": 0.5})
    assert stored_result(question(tmp_path)) == {"best_value": 0.5}
    assert stored_result(question(tmp_path, n_trials=2)) == {"best_value": 0.5}
    assert stored_result(question(tmp_path, n_trials=4)) is None
    assert stored_result(question(tmp_path, definition="b")) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"selection": SelectionSpec(top_k=1)},
        {"split": SplitSpec(leave_out="lot")},
        {"decision": DecisionSpec(max_escape_rate=0.1)},
        {"registry": RegistrySpec(gates=Gates(min_macro_f1=0.5))},
        {"novelty": NoveltySpec(false_alarm_rate=0.01)},
        {"drift": DriftSpec(manifest=Path("drift.csv"), label="Label", novel=("6",), reported=0.4)},
    ],
)
def test_what_is_promised_and_shown_is_part_of_the_question(tmp_path: Path, changes: dict[str, Any]) -> None:
    store_result(question(tmp_path), {"best_value": 0.5})
    assert stored_result(question(tmp_path, **changes)) is None


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_half_a_result_is_none(tmp_path: Path, share: float) -> None:
    store_result(question(tmp_path), {"best_value": 0.5})
    file = tmp_path / "result.json"
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    assert stored_result(question(tmp_path)) is None
