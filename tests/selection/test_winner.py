from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsearch.selection.winner import Floats, Ints, winners_interval

N_BOOT = 400


def best(first: Floats, second: Floats) -> Ints:
    return np.asarray(second.argmax(axis=0))


def scores_of(seen: list[float] | Floats, deviations: Floats) -> Floats:
    """Scores on all groups, then those of resamples around them."""
    values = np.asarray(seen, np.float64)[:, None]
    return np.concatenate([values, values + deviations], axis=1)


def noise(n_trials: int, seed: int = 0, size: float = 0.02) -> Floats:
    return np.random.default_rng(seed).normal(0, size, (n_trials, N_BOOT))


def percentiles(scores: Floats, trial: int) -> list[float]:
    return np.quantile(scores[trial, 1:], [0.025, 0.975]).tolist()


@pytest.mark.parametrize("seen", [[0.8], [0.8, 0.3, 0.2]])
def test_a_trial_that_would_be_chosen_anyway_has_its_percentiles(seen: list[float]) -> None:
    scores = scores_of(seen, noise(len(seen)))
    assert winners_interval(scores, scores, 0, best, 0.95) == pytest.approx(percentiles(scores, 0))


def test_a_close_second_lowers_the_interval() -> None:
    scores = scores_of([0.8, 0.79], noise(2))
    low, high = winners_interval(scores, scores, 0, best, 0.95)
    plain_low, plain_high = percentiles(scores, 0)
    assert low < plain_low - 0.005
    assert high < plain_high + 0.002


def test_the_choice_may_depend_on_the_search() -> None:
    """A trial that only just got into the repeats, where nobody came close, owes that to its score in the search."""
    shared = noise(2)
    first, second = scores_of([0.8, 0.799], shared), scores_of([0.8, 0.4], shared)

    def two_stages(searched: Floats, repeated: Floats) -> Ints:
        return np.asarray(searched.argmax(axis=0))

    assert winners_interval(first, second, 0, two_stages, 0.95)[0] < percentiles(second, 0)[0] - 0.005
    assert winners_interval(first, second, 0, best, 0.95) == pytest.approx(percentiles(second, 0))


@pytest.mark.parametrize("rival", [0.801, 2.0])
def test_a_choice_that_cannot_be_made_again_is_bounded_for_all_trials_at_once(rival: float) -> None:
    scores = scores_of([0.8, rival], noise(2))
    low, high = winners_interval(scores, scores, 0, best, 0.95)
    assert high - 0.8 == pytest.approx(0.8 - low)
    assert high - 0.8 > 2.5 * scores[0, 1:].std()


def test_a_score_that_never_varies_is_its_own_interval() -> None:
    scores = scores_of([1.0, 0.9], np.zeros((2, N_BOOT)))
    assert winners_interval(scores, scores, 0, best, 0.95) == (1.0, 1.0)


def test_trials_and_resamples_without_a_score_are_left_out() -> None:
    scores = scores_of([0.8, 0.79, 0.7], noise(3))
    missing = scores.copy()
    missing[:, 5] = missing[2] = np.nan

    def choose(first: Floats, second: Floats) -> Ints:
        return np.asarray(np.where(np.isnan(second), -np.inf, second).argmax(axis=0))

    few = np.delete(scores, 5, axis=1)[:2]
    assert winners_interval(missing, missing, 0, choose, 0.95) == winners_interval(few, few, 0, best, 0.95)


@given(st.floats(0.1, 10), st.floats(-1, 1), st.permutations(range(4)))
def test_scale_place_and_order_do_not_matter(scale: float, place: float, order: list[int]) -> None:
    scores = scores_of([0.8, 0.79, 0.785, 0.7], noise(4))
    moved = scale * scores[order] + place
    low, high = winners_interval(scores, scores, 0, best, 0.95)
    assert winners_interval(moved, moved, order.index(0), best, 0.95) == pytest.approx(
        (scale * low + place, scale * high + place)
    )


@pytest.mark.parametrize("spread", [0.0, 0.01, 0.03, 0.1])
def test_it_holds_the_truth_whatever_the_trials_are_worth(spread: float) -> None:
    """Twelve trials, half of the noise common to all; the plain interval of the best one fails where they are equal."""
    generator = np.random.default_rng(0)
    n_studies, held, plain = 300, 0, 0
    for seed in range(n_studies):
        truths = 0.7 + spread * generator.standard_normal(12)
        deviations = (noise(12, seed) + noise(1, seed + n_studies)) / np.sqrt(2)
        error = (generator.normal(0, 0.02, 12) + generator.normal(0, 0.02)) / np.sqrt(2)
        scores = scores_of(truths + error, deviations)
        winner = int(scores[:, 0].argmax())
        low, high = winners_interval(scores, scores, winner, best, 0.95)
        held += low <= truths[winner] <= high
        plain += percentiles(scores, winner)[0] <= truths[winner] <= percentiles(scores, winner)[1]
    assert 0.93 <= held / n_studies <= 0.98
    if spread == 0:
        assert plain / n_studies < 0.9
