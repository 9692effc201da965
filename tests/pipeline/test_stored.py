"""The stored result of a finished run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fdsearch.config import SearchSpec, SelectionSpec
from fdsearch.pipeline.stored import store_result, stored_result


def question(folder: Path, n_trials: int = 3, definition: str = "a") -> Any:
    """What `stored` reads of a question."""
    spec = SimpleNamespace(search=SearchSpec(n_trials=n_trials), selection=SelectionSpec())
    return SimpleNamespace(folder=folder, spec=spec, definition={"space": definition}, identity="0" * 64)


def test_a_result_answers_its_own_question_with_no_more_trials(tmp_path: Path) -> None:
    store_result(question(tmp_path), {"best_value": 0.5})
    assert stored_result(question(tmp_path)) == {"best_value": 0.5}
    assert stored_result(question(tmp_path, n_trials=2)) == {"best_value": 0.5}
    assert stored_result(question(tmp_path, n_trials=4)) is None
    assert stored_result(question(tmp_path, definition="b")) is None


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_half_a_result_is_none(tmp_path: Path, share: float) -> None:
    store_result(question(tmp_path), {"best_value": 0.5})
    file = tmp_path / "result.json"
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    assert stored_result(question(tmp_path)) is None
