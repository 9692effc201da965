"""A batch against the reference: false alarms where nothing changed, an alarm where something did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drift_sets import draw, reference_of

from fdsearch.serving.drift import EMBEDDING, look
from fdsearch.serving.observed import Batch
from fdsearch.serving.reference import Reference
from fdsearch.serving.traits import TRAITS


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    return reference_of(draw(150, np.random.default_rng(0)), tmp_path_factory.mktemp("reference"))


def batch(seed: int = 5, n_parts: int = 40, **shift: float) -> Batch:
    return draw(n_parts, np.random.default_rng(seed), **shift).batch()  # type: ignore[arg-type]


def test_nothing_is_found_where_nothing_changed(reference: Reference) -> None:
    found = look(reference, batch(), 0.01)
    assert not found.drifted and found.unit == "part" and found.notes == ()
    assert {test.name for test in found.tests} == {EMBEDDING, *TRAITS} - {"width", "height", "black"}
    assert all(test.words == "" and test.p_adjusted >= test.p for test in found.tests)
    assert not any(row.claimed for row in found.label_shift)


def test_a_brighter_line_is_called_brighter(reference: Reference) -> None:
    found = look(reference, batch(gray=10.0), 0.01)
    assert [test.name for test in found.tests if test.drifted] == ["mean_gray"]
    assert found.tests[0].words.startswith("brighter: median mean gray 1")


def test_what_only_the_model_sees_is_found(reference: Reference) -> None:
    found = look(reference, batch(moved=0.5), 0.01)
    assert [test.name for test in found.tests if test.drifted] == [EMBEDDING]


def test_another_camera_is_found_by_the_size_alone(reference: Reference) -> None:
    seen = batch()
    traits = seen.traits.copy()
    traits[:, 3] = 1280
    found = look(reference, replace(seen, traits=traits), 0.01)
    assert found.tests[0].name == "width" and found.tests[0].drifted
    assert all(row.trait == "width" and row.unlike == 99 for row in found.pictures)


def test_the_same_pictures_get_the_same_answer(reference: Reference) -> None:
    assert look(reference, batch(gray=4.0), 0.01).to_json() == look(reference, batch(gray=4.0), 0.01).to_json()


def test_pictures_without_parts_are_said_to_be_parts(reference: Reference) -> None:
    seen = draw(60, np.random.default_rng(3), pictures=1)
    found = look(reference, seen.batch(grouped=False), 0.01)
    assert found.unit == "picture" and "without --group" in found.notes[0]
    assert {test.n_batch for test in found.tests} == {60}


def test_too_few_parts_are_said_to_be_too_few(reference: Reference) -> None:
    found = look(reference, batch(n_parts=1, gray=500.0), 0.001)
    assert not found.drifted
    assert any("too few parts" in note for note in found.notes)
    assert found.label_shift == () and found.label_shift_why is not None


def test_without_embedding_the_rest_is_tested(reference: Reference) -> None:
    found = look(replace(reference, reduction=None, embedding=None), batch(gray=15.0), 0.01)
    assert found.drifted and EMBEDDING not in {test.name for test in found.tests}
    assert any("no embedding" in note for note in found.notes)
    assert all(row.distance is None for row in found.pictures)


def test_the_oddest_pictures_come_first(reference: Reference) -> None:
    seen = batch()
    assert seen.embedding is not None
    embedding, traits = seen.embedding.copy(), seen.traits.copy()
    embedding[7] += 20
    traits[3, 2] = -5.0
    found = look(reference, replace(seen, embedding=embedding, traits=traits), 0.01)
    first, second = found.pictures[:2]
    assert {first.filename, second.filename} == {"3.png", "7.png"}
    words = {row.filename: row.words for row in (first, second)}
    assert words["3.png"].startswith("less sharp (focus -5") and words["7.png"].startswith("unlike its nearest")
    assert len(found.pictures) == len(seen.filenames)


@pytest.mark.parametrize("pictures", [1, 4])
def test_false_alarms_keep_to_the_level(tmp_path: Path, pictures: int) -> None:
    """Reference and batch are fresh each time: a rate of .2 brings at most 19 alarms in 50 looks (99.9 %)."""
    alarms = 0
    for seed in range(50):
        generator = np.random.default_rng(seed)
        reference = reference_of(draw(45, generator), tmp_path)
        alarms += look(reference, draw(15, generator, pictures=pictures).batch(), 0.2).drifted
    assert alarms <= 19


def test_a_basis_that_is_compared_too_would_be_told_apart(tmp_path: Path) -> None:
    """Why the parts that choose the directions are left out: along those directions they differ from all others."""
    reached = []
    for seed in range(12):
        generator = np.random.default_rng(seed)
        reference = reference_of(draw(60, generator), tmp_path)
        every = replace(reference, basis=~reference.basis)  # compares the very parts that chose the directions
        reached.append([look(each, draw(30, generator).batch(), 0.05).drifted for each in (reference, every)])
    honest, flattered = np.array(reached).sum(axis=0)
    assert honest <= 3 and flattered >= 9
