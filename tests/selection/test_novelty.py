"""What a class that is left out can touch, and what is chosen: on points whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fdsearch.config import DecisionSpec
from fdsearch.selection.novelty import CANDIDATES, find
from fdsearch.selection.unseen import Absences, Material
from fdsearch.unseen import NoveltySpec

CLASSES = ["free", "crack", "hole"]


def points(n_free: int = 60, n_defect: int = 12, seed: int = 0) -> Material:
    """Regular parts around the origin, each kind of defect away from it; two pictures of each part."""
    rng = np.random.default_rng(seed)
    part_labels = np.repeat([0, 1, 2], [n_free, n_defect, n_defect])
    labels, groups = np.repeat(part_labels, 2), np.repeat(np.arange(len(part_labels)), 2)
    centres = np.zeros((3, 8))
    centres[1, 0] = centres[2, 1] = 9.0
    embedding = rng.normal(size=(len(labels), 8)) + centres[labels]
    logits = -((embedding[:, None] - centres) ** 2).sum(axis=2) / 20
    return Material(embedding.astype(np.float32), logits, labels, groups, groups % 4, np.array([True, False, False]))


@pytest.fixture(scope="module")
def material() -> Material:
    return points()


def test_what_is_far_from_everything_is_novel_and_the_known_are_not(material: Material) -> None:
    found = find(material, CLASSES, NoveltySpec(), DecisionSpec())
    assert found.novelty is not None and found.threshold is not None
    strange = np.zeros((1, 8))
    strange[0, 5] = 40.0
    assert found.novelty.score(strange, [[0.0, -4.0, -4.0]])[0] > found.threshold
    known = found.novelty.score(material.embedding, material.logits)
    assert (known > found.threshold).mean() < 0.1


def test_an_unseen_class_is_kept_from_passing_and_false_alarms_are_few(material: Material) -> None:
    found = find(material, CLASSES, NoveltySpec(method="mahalanobis"), DecisionSpec())
    assert found.evidence["false_alarms"]["parts"] == 60
    assert found.evidence["false_alarms"]["sent"] <= 8
    for told in found.evidence["unseen"].values():
        assert told["parts"] == 12 and told["auroc"] > 0.95 and told["passed_with_novelty"] == 0


@pytest.mark.parametrize("method", CANDIDATES)
def test_the_pictures_of_an_absent_class_change_nothing_for_others(material: Material, method: str) -> None:
    moved = material.embedding.copy()
    moved[material.labels == 2] += 50.0
    other = replace(material, embedding=moved)
    rows = material.labels != 2
    before, after = (Absences(each, [method]).without([2]) for each in (material, other))
    np.testing.assert_array_equal(before.scores[method][rows], after.scores[method][rows])
    np.testing.assert_array_equal(before.logits[rows], after.logits[rows])


def test_a_reported_class_has_no_part_in_the_choice_of_its_method(material: Material) -> None:
    moved = material.embedding.copy()
    moved[material.labels == 2] *= -3.0
    before, after = (
        find(each, CLASSES, NoveltySpec(), DecisionSpec()) for each in (material, replace(material, embedding=moved))
    )
    assert before.evidence["unseen"]["hole"]["method"] == after.evidence["unseen"]["hole"]["method"]


def test_a_part_is_scored_by_a_reference_without_it(material: Material) -> None:
    """Moving one fold's pictures changes the references of the other folds, never its own."""
    first = material.fold == 0
    moved = material.embedding.copy()
    moved[np.flatnonzero(first)[1:]] += 5.0
    before, after = (
        Absences(each, ["mahalanobis"]).without([1]).scores["mahalanobis"]
        for each in (material, replace(material, embedding=moved))
    )
    same = np.flatnonzero(first)[0]
    assert before[same] == after[same]
    assert not np.array_equal(before[~first], after[~first])


def test_too_few_regular_parts_give_no_threshold_and_say_why() -> None:
    found = find(points(n_free=12), CLASSES, NoveltySpec(), DecisionSpec())
    assert found.novelty is None and found.threshold is None
    assert found.why is not None and "19 regular parts" in found.why


def test_examples_of_drift_teach_the_binary_form(material: Material) -> None:
    rng = np.random.default_rng(1)
    drift = rng.normal(size=(30, 8)).astype(np.float32) + np.eye(8, dtype=np.float32)[6] * 5
    found = find(material, CLASSES, NoveltySpec.model_construct(method="binary"), DecisionSpec(), drift[:15])
    assert found.novelty is not None and found.threshold is not None and found.evidence["examples"] == 15
    assert (found.novelty.score(drift[15:], np.zeros((15, 3))) > found.threshold).mean() > 0.8
    assert (found.novelty.score(material.embedding, material.logits) > found.threshold).mean() < 0.15
