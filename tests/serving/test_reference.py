"""``reference.npz``: what is stored of the development pictures, and what is refused when it is read."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drift_sets import CLASSES, draw, reference_of

from fdsearch.errors import IntegrityError
from fdsearch.serving import reference as module
from fdsearch.serving.reference import Reference, save


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    drawn = draw(60, np.random.default_rng(0))
    found = reference_of(drawn, tmp_path)
    assert found.classes == CLASSES
    np.testing.assert_array_equal(found.labels, drawn.labels)
    np.testing.assert_array_equal(found.groups, drawn.groups)
    np.testing.assert_array_equal(found.probabilities, drawn.probabilities)
    np.testing.assert_array_equal(found.traits, drawn.traits)
    assert found.embedding is not None and found.reduction is not None
    np.testing.assert_allclose(found.embedding, found.reduction.apply(drawn.embedding), atol=0.02)


def test_a_third_of_each_classs_parts_choose_the_directions(tmp_path: Path) -> None:
    drawn = draw(90, np.random.default_rng(0))
    found = reference_of(drawn, tmp_path)
    for label in range(len(CLASSES)):
        parts, basis = (np.unique(drawn.groups[mask]) for mask in (drawn.labels == label, found.basis))
        assert np.isin(parts, basis).sum() == round(len(parts) / 3)
    # A part is on one side with all its pictures.
    assert not set(drawn.groups[found.basis]) & set(drawn.groups[~found.basis])
    assert found.embedding is not None
    assert found.embedding[found.basis].std() == pytest.approx(1, abs=0.02)


def test_a_version_without_embedding_has_a_reference_too(tmp_path: Path) -> None:
    drawn = draw(10, np.random.default_rng(0))
    arrays = {name: getattr(drawn, name) for name in ("labels", "groups", "probabilities", "traits")}
    found = Reference.parse(save(tmp_path, embedding=None, classes=CLASSES, **arrays).read_bytes(), "here")
    assert found.embedding is found.reduction is None
    alike = np.ones((len(drawn.labels), 5), np.float32)
    found = Reference.parse(save(tmp_path, embedding=alike, classes=CLASSES, **arrays).read_bytes(), "here")
    assert found.embedding is found.reduction is None


def test_many_pictures_are_thinned_by_whole_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PICTURES", 100)
    found = reference_of(draw(60, np.random.default_rng(0), pictures=5), tmp_path)
    assert len(found.labels) == 100 and set(np.bincount(found.groups)) <= {0, 5}


def stored(tmp_path: Path, **changes: Any) -> bytes:
    """The bytes of a sound reference with some arrays exchanged, or left out (None)."""
    reference_of(draw(30, np.random.default_rng(0)), tmp_path)
    with np.load(tmp_path / module.REFERENCE) as arrays:
        found = {**{name: arrays[name] for name in arrays.files}, **changes}
    stream = io.BytesIO()
    np.savez(stream, **{name: array for name, array in found.items() if array is not None})
    return stream.getvalue()


@pytest.mark.parametrize(
    "changes",
    [
        {"format": np.array(2)},
        {"format": None},
        {"labels": np.full(90, 3)},
        {"labels": np.zeros(90)},
        {"labels": np.zeros(89, np.int64)},
        {"groups": np.zeros((90, 1), np.int64)},
        {"classes": np.array([b"bent", b"bent", b"free"])},
        {"classes": np.array([b"\xff", b"bent", b"free"])},
        {"probabilities": np.full((90, 3), 0.5)},
        {"probabilities": np.full((90, 3), [-1.0, 1.0, 1.0])},
        {"probabilities": np.full((90, 4), 0.25)},
        {"traits": np.full((90, 7), np.inf)},
        {"traits": np.zeros((90, 6))},
        {"embedding": np.full((90, 7), np.nan, np.float16)},
        {"mean": None},
        {"directions": np.zeros((200, 65), np.float32)},
        {"directions": np.zeros((0, 7), np.float32)},
        {"basis": np.zeros(90)},
        {"traits": np.array([["x"] * 7] * 90)},
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    Reference.parse(stored(tmp_path), "here")
    with pytest.raises(IntegrityError, match="cannot be read") as caught:
        Reference.parse(stored(tmp_path, **changes), "here")
    assert [fault.where for fault in caught.value.faults] == ["here"]


def test_hostile_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = stored(tmp_path)
    pickled = stored(tmp_path, labels=np.array([{}] * 90, dtype=object))
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.npy", bytes(module.MAX_BYTES + 1))
    for content in (b"", b"PK", good[: len(good) // 2], pickled, bomb.getvalue()):
        with pytest.raises(IntegrityError):
            Reference.parse(content, "here")
    monkeypatch.setattr(module, "MAX_BYTES", len(good) - 1)
    with pytest.raises(IntegrityError, match="cannot be read"):
        Reference.parse(good, "here")
