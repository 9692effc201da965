"""Confident learning on probabilities whose wrong labels are known."""

from __future__ import annotations

import numpy as np
import pytest

from fdsearch.data.suspects import suspects

N_CLASSES = 4


def pictures(n: int = 400, strength: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities of a model that mostly knows them."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, N_CLASSES, n)
    logits = rng.normal(size=(n, N_CLASSES)) + strength * np.eye(N_CLASSES)[labels]
    exponentials = np.exp(logits)
    return labels, exponentials / exponentials.sum(axis=1, keepdims=True)


def test_flipped_labels_are_at_the_top() -> None:
    labels, chances = pictures(strength=9.0)
    flipped = np.arange(0, 400, 20)
    given = labels.copy()
    given[flipped] = (labels[flipped] + 1) % N_CLASSES
    found = suspects(chances, given, np.arange(400))
    top = [entry["row"] for entry in found[: len(flipped)]]
    assert len(set(top) & set(flipped.tolist())) >= 19
    right = [entry for entry in found if entry["row"] in flipped]
    assert all(entry["proposed"] == labels[entry["row"]] for entry in right)
    margins = [entry["probability"] - entry["given"] for entry in found]
    assert margins == sorted(margins, reverse=True)


def test_a_model_that_knows_nothing_accuses_nobody() -> None:
    labels, _ = pictures()
    assert suspects(np.full((400, N_CLASSES), 1 / N_CLASSES), labels, np.arange(400)) == []


def test_pictures_of_mixed_parts_come_last() -> None:
    labels, chances = pictures(strength=9.0)
    given, groups = labels.copy(), np.arange(400)
    chances[[3, 7]] = np.eye(N_CLASSES)[labels[[3, 7]]]  # beyond any class's standard
    given[[3, 7]] = (labels[[3, 7]] + 1) % N_CLASSES
    groups[8] = 7  # of the same part as row 7, with another label
    given[8] = labels[7]
    found = suspects(chances, given, groups)
    mixed = [entry["mixed_part"] for entry in found]
    assert mixed == sorted(mixed) and {3, 7} <= {entry["row"] for entry in found}
    assert next(entry for entry in found if entry["row"] == 7)["mixed_part"]
    assert not next(entry for entry in found if entry["row"] == 3)["mixed_part"]


def test_what_was_not_predicted_is_not_suspected() -> None:
    labels, chances = pictures()
    given = (labels + 1) % N_CLASSES
    chances[:390] = np.nan
    assert {entry["row"] for entry in suspects(chances, given, np.arange(400))} <= set(range(390, 400))
    assert suspects(np.full((3, 2), np.nan), [0, 1, 0], [0, 1, 2]) == []


def test_nobody_is_proposed_a_class_without_pictures() -> None:
    found = suspects([[0.1, 0.2, 0.7], [0.6, 0.2, 0.2], [0.2, 0.7, 0.1]], [0, 0, 1], [0, 1, 2])
    assert all(entry["proposed"] != 2 for entry in found)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_pictures_changes_nothing(seed: int) -> None:
    labels, chances = pictures(n=60, strength=1.0)
    order = np.random.default_rng(seed).permutation(60)
    plain = {(entry["row"], entry["proposed"]) for entry in suspects(chances, labels, np.arange(60))}
    mixed = {(int(order[e["row"]]), e["proposed"]) for e in suspects(chances[order], labels[order], np.arange(60))}
    assert plain == mixed and plain
