"""Stored proposals: the same question gets the same answer, another one a new answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fdsearch.data.parts import proposals
from fdsearch.data.parts.evidence import Clues
from fdsearch.data.parts.finding import Parts
from fdsearch.data.parts.proposals import proposal_key, proposed
from fdsearch.errors import StorageError


def parts(confidence: float = 1 / 3) -> Parts:
    links = np.array([[0, 2]], np.int64)
    return Parts(
        np.array([0, 1, 0]), np.array([confidence, 1, confidence]), links, np.array([confidence]), 9.5, ("ä note",)
    )


def forbidden() -> Parts:
    raise AssertionError("made again")


def test_an_answer_is_made_once_and_read_back_as_it_was_given(tmp_path: Path) -> None:
    first = proposed(tmp_path / "groups", "k", parts)
    again = proposed(tmp_path / "groups", "k", forbidden)
    for name in ("ids", "confidence", "links", "scores"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert (again.threshold, again.notes, again.n) == (9.5, ("ä note",), 2)
    assert again.ids.dtype == again.links.dtype == np.int64


def test_nothing_found_can_be_stored(tmp_path: Path) -> None:
    empty = Parts(np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 2), np.int64), np.zeros(0), None, ())
    proposed(tmp_path, "k", lambda: empty)
    found = proposed(tmp_path, "k", forbidden)
    assert found.n == 0 and found.links.shape == (0, 2) and found.threshold is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"ids": [0, 0], "confidence": [1]}'])
def test_a_torn_file_is_made_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "k.json").write_bytes(content)
    assert proposed(tmp_path, "k", parts).n == 2
    assert proposed(tmp_path, "k", forbidden).n == 2


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert proposed(None, "k", parts).n == 2
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "groups").write_text("a file")
    with pytest.raises(StorageError):
        proposed(tmp_path / "groups", "k", parts)


def test_whatever_a_proposal_follows_from_changes_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def key(content: object = ("x", None), names: tuple[str, ...] = ("a", "b"), moments: object = None) -> str:
        return proposal_key(content, Clues(names, moments))  # type: ignore[arg-type]

    keys = [
        key(),
        key(("y", None)),
        key((None, "x")),
        key(names=("a", "c")),
        key(moments=np.array([1.0, np.nan])),
        key(moments=np.array([2.0, np.nan])),
    ]
    assert len(set(keys)) == len(keys) and key() == keys[0]
    monkeypatch.setattr(proposals, "GROUPER_VERSION", "next")
    assert key() != keys[0]
