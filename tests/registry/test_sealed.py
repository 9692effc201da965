"""``holdout.npz``: what was written is read, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fdsearch.errors import IntegrityError
from fdsearch.registry.draft import Draft
from fdsearch.registry.sealed import HOLDOUT, Sealed
from fdsearch.registry.store import Registry


def test_answers_come_back_from_a_registered_version(
    registry: Registry, make_draft: Callable[..., Draft], answers: Sealed
) -> None:
    draft = make_draft()
    answers.write(draft.folder)
    assert Sealed.read(draft.folder / HOLDOUT).classes == ("crack", "free")
    found = Sealed.of(registry.register("tiles", draft, "test"))
    assert found is not None
    for name in ("content", "groups", "labels", "logits"):
        np.testing.assert_array_equal(getattr(found, name), getattr(answers, name))


def test_a_version_of_before_has_none(filled: Registry) -> None:
    assert Sealed.of(filled.resolve("tiles")) is None


def test_parts_are_left_out_whole(answers: Sealed) -> None:
    left = answers.without_parts_of([f"{1:064x}"])
    assert left.groups.tolist() == ["part 1"] * 2 and len(left.logits) == 2
    assert len(answers.without_parts_of([]).content) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"labels": np.array([0, 1, 0, 2])},
        {"labels": np.array([0, 1, 0, -1])},
        {"logits": np.full((4, 2), np.nan, np.float32)},
        {"logits": np.zeros((4, 3), np.float32)},
        {"groups": np.array(["a"])},
        {"content": np.array([["a"]] * 4)},
        {"classes": np.array([{"code": "here"}], dtype=object)},
        {"classes": None},
    ],
)
def test_what_is_no_answer_is_refused(tmp_path: Path, answers: Sealed, change: dict[str, np.ndarray | None]) -> None:
    arrays = {**vars(answers), "classes": np.array(["crack", "free"]), **change}
    np.savez(tmp_path / HOLDOUT, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(IntegrityError, match="sealed pictures cannot be read"):
        Sealed.read(tmp_path / HOLDOUT)
