"""Names, order and time: learnt from sure pairs, silent without them, and folders never read."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from fdsearch.data.parts.evidence import Clues, log_ratios, number_steps, shared_words
from fdsearch.data.parts.finding import find_parts

N = 120  # pictures, three of each part


def names(folder: str = "") -> tuple[str, ...]:
    """Shots 5 apart in their number, parts 1,000 apart."""
    return tuple(f"{folder}cam{n % 3}_num_{1000 * (n // 3) + 5 * (n % 3)}.png" for n in range(N))


PAIRS = np.array([(a, b) for a in range(N) for b in range(a + 1, min(N, a + 40))])
SAME = PAIRS[:, 0] // 3 == PAIRS[:, 1] // 3


def test_near_numbers_speak_for_one_part_and_far_ones_against() -> None:
    order = np.random.default_rng(0).permutation(N)
    ratios = log_ratios(Clues(names()), PAIRS, SAME, ~SAME, order)
    assert ratios[SAME].min() > 1 > ratios[~SAME].mean()


def test_with_too_few_sure_pairs_the_clues_are_silent() -> None:
    few = SAME & (np.cumsum(SAME) <= 10)
    assert not log_ratios(Clues(names()), PAIRS, few, ~SAME).any()
    assert not log_ratios(Clues(names()), PAIRS, SAME, ~SAME & (np.cumsum(~SAME) <= 10)).any()


def test_folders_are_not_read() -> None:
    classes = tuple(f"{'good' if n < 60 else 'bad'}/{name}" for n, name in enumerate(names()))
    places = np.arange(N)
    for first, second in ((classes, names()), (names("lot7/"), names())):
        np.testing.assert_array_equal(
            log_ratios(Clues(first), PAIRS, SAME, ~SAME, places), log_ratios(Clues(second), PAIRS, SAME, ~SAME, places)
        )


def test_labels_cannot_be_given() -> None:
    assert list(inspect.signature(find_parts).parameters) == ["pictures", "clues", "pixels", "progress"]


def test_times_count_where_they_are_known() -> None:
    blind = tuple(f"{n * 7919 % 100_003:x}.png" for n in range(N))
    moments = np.array([3600.0 * (n // 3) + 4 * (n % 3) for n in range(N)])
    moments[:6] = np.nan
    order = np.random.default_rng(0).permutation(N)
    ratios = log_ratios(Clues(blind, moments), PAIRS, SAME, ~SAME, order)
    known = (PAIRS >= 6).all(axis=1)
    assert ratios[SAME & known].min() > 1
    without = log_ratios(Clues(blind), PAIRS, SAME, ~SAME, order)
    np.testing.assert_array_equal(ratios[~known], np.maximum(without[~known], 0))


@pytest.mark.parametrize(
    ("stems", "level"),
    [
        (["p07_1", "p07_2"], 0),
        (["P07-1", "p07 2"], 0),
        (["a1", "b2"], 2),
        (["", ""], 0),
    ],
)
def test_words_that_two_names_share(stems: list[str], level: int) -> None:
    assert shared_words(stems, np.array([[0, 1]])).tolist() == [level]


def test_a_word_of_many_names_says_nothing() -> None:
    stems = [f"exp1_{n}" for n in range(60)]
    assert shared_words(stems, np.array([[0, 1]])).tolist() == [2]
    assert shared_words(stems[:40], np.array([[0, 1]])).tolist() == [1]


def test_numbers_that_repeat_do_not_count_pictures() -> None:
    stems = [f"exp{n % 3}" for n in range(30)]
    assert number_steps(stems, np.array([[0, 3]])).tolist() == [4]
    assert number_steps(["x", "y"], np.array([[0, 1]])).tolist() == [4]
