from __future__ import annotations

import numpy as np
import pytest

from fdsearch.metrics import log_loss, softmax
from fdsearch.selection.calibration import (
    Calibration,
    Fit,
    fit_temperature,
    fit_vector,
    prior_shift,
    supported_fit,
)


def world(seed: int, n: int, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures whose true log posteriors are known: one Gaussian feature per class."""
    generator = np.random.default_rng(seed)
    y_true = generator.choice(len(shares), n, p=shares)
    features = generator.normal(size=(n, len(shares))) + 2 * np.eye(len(shares))[y_true]
    return y_true, 2 * features + np.log(shares)


SHARES = np.array([0.8, 0.15, 0.05])


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_recovers_a_known_temperature(temperature: float) -> None:
    y_true, logits = world(0, 4000, SHARES)
    fitted = fit_temperature(logits * temperature, y_true, np.zeros(3))
    assert fitted.temperature == pytest.approx(temperature, rel=0.1)


def test_recovers_the_shares_that_a_weighted_loss_hid() -> None:
    y_true, logits = world(1, 4000, SHARES)
    balanced = logits - np.log(SHARES) + np.log(1 / 3)
    fitted = fit_temperature(balanced, y_true, prior_shift(y_true, [1 / 3] * 3))
    assert fitted.apply(balanced).mean(axis=0) == pytest.approx(SHARES, abs=0.02)
    assert log_loss(y_true, np.log(fitted.apply(balanced))) < log_loss(y_true, balanced)


@pytest.mark.parametrize("overconfidence", [0.5, 3.0, 5.0])
def test_undoes_overconfidence_and_hidden_shares_together(overconfidence: float) -> None:
    """Balanced training and logits that are too large: each alone is undone, so both are."""
    y_true, logits = world(2, 4000, SHARES)
    trained = overconfidence * (logits - np.log(SHARES) + np.log(1 / 3))
    fitted = fit_temperature(trained, y_true, prior_shift(y_true, [1 / 3] * 3))
    assert fitted.temperature == pytest.approx(overconfidence, rel=0.1)
    fresh_true, fresh = world(3, 4000, SHARES)
    again = fitted.apply(overconfidence * (fresh - np.log(SHARES) + np.log(1 / 3)))
    assert log_loss(fresh_true, np.log(again)) == pytest.approx(log_loss(fresh_true, fresh), abs=0.01)


def test_helps_on_fresh_pictures() -> None:
    """Few pictures to fit on, logits four times too large, as after fine-tuning on a small set."""
    for seed in range(10):
        y_true, logits = world(seed, 60, SHARES)
        fitted = fit_temperature(4 * logits, y_true, np.zeros(3))
        fresh_true, fresh = world(1000 + seed, 2000, SHARES)
        truth, uncalibrated = log_loss(fresh_true, fresh), log_loss(fresh_true, 4 * fresh)
        assert log_loss(fresh_true, 4 * fresh / fitted.temperature) - truth < 0.25 * (uncalibrated - truth)


def test_predictions_without_error_do_not_become_certain() -> None:
    y_true = np.arange(40) % 2
    fitted = fit_temperature(10 * np.eye(2)[y_true], y_true, np.zeros(2))
    assert fitted.apply([[10.0, 0.0]])[0, 0] == pytest.approx(1 - 0.5 / 41, abs=1e-3)


def test_logits_without_any_information_give_the_shares() -> None:
    y_true = np.array([0, 0, 0, 1])
    fitted = fit_temperature(np.zeros((4, 2)), y_true, np.zeros(2))
    assert fitted.apply([[0.0, 0.0]])[0] == pytest.approx([0.5, 0.5])


def test_repeats_are_stacked_and_missing_rows_left_out() -> None:
    y_true, logits = world(3, 300, SHARES)
    other = world(4, 300, SHARES)[1] * 2
    flat = fit_temperature(logits, y_true, np.zeros(3))
    assert fit_temperature([logits, logits], y_true, np.zeros(3)).temperature == pytest.approx(flat.temperature)
    missing = np.stack([logits, np.full_like(other, np.nan)])
    assert fit_temperature(missing, y_true, np.zeros(3)).temperature == pytest.approx(flat.temperature)


@pytest.mark.parametrize("fit", [fit_temperature, fit_vector])
def test_nothing_predicted_is_refused(fit: Fit) -> None:
    with pytest.raises(ValueError, match="without NaN"):
        fit([[np.nan, np.nan]], [0], [0.0, 0.0])


SCALES, OFFSETS = np.array([3.0, 1.5, 0.7]), np.array([0.5, -1.0, 0.5])


def test_vector_scaling_undoes_a_scale_and_an_offset_of_each_class() -> None:
    """The numbers may differ where they change no probability, so the probabilities are compared."""
    y_true, logits = world(5, 6000, SHARES)
    fitted = fit_vector(SCALES * (logits - OFFSETS), y_true, np.zeros(3))
    assert fitted.method == "vector"
    assert fitted.temperature == pytest.approx(SCALES, rel=0.2)
    fresh_true, fresh = world(6, 6000, SHARES)
    distorted, truth = SCALES * (fresh - OFFSETS), log_loss(fresh_true, fresh)
    assert log_loss(fresh_true, np.log(fitted.apply(distorted))) == pytest.approx(truth, abs=0.01)
    one = fit_temperature(SCALES * (logits - OFFSETS), y_true, np.zeros(3))
    assert log_loss(fresh_true, np.log(one.apply(distorted))) > truth + 0.02


def test_vector_scaling_keeps_the_shift_and_stays_near_one_temperature_where_that_is_right() -> None:
    y_true, logits = world(7, 6000, SHARES)
    trained, shift = 2 * (logits - np.log(SHARES)), prior_shift(y_true, [1 / 3] * 3)
    fitted = fit_vector(trained, y_true, shift)
    assert fitted.temperature == pytest.approx([2.0] * 3, rel=0.2)
    assert np.subtract(fitted.bias, shift) - np.mean(np.subtract(fitted.bias, shift)) == pytest.approx(0, abs=0.3)


def test_vector_scaling_of_predictions_without_error_stays_finite() -> None:
    y_true = np.arange(80) % 2
    fitted = fit_vector(10 * np.eye(2)[y_true], y_true, np.zeros(2))
    assert np.isfinite(fitted.temperature).all() and np.isfinite(fitted.bias).all()
    assert fitted.apply([[10.0, 0.0]])[0, 0] == pytest.approx(1 - 0.5 / 81, abs=0.01)


@pytest.mark.parametrize(
    ("n_groups", "shots", "method"),
    [
        ((30, 30), 1, fit_vector),
        ((300, 29), 1, fit_temperature),
        ((15, 15), 2, fit_temperature),
        ((30, 30), 2, fit_vector),
    ],
)
def test_vector_scaling_needs_thirty_parts_of_every_class(n_groups: tuple[int, int], shots: int, method: Fit) -> None:
    y_true = np.repeat([0, 1], np.multiply(n_groups, shots))
    groups = np.arange(len(y_true)) // shots
    logits = np.random.default_rng(0).normal(size=(2, len(y_true), 2)) + 2 * np.eye(2)[y_true]
    assert supported_fit(logits, y_true, groups) is method


def test_parts_that_nobody_predicted_do_not_count_for_vector_scaling() -> None:
    y_true, logits = np.repeat([0, 1], 30), np.zeros((2, 60, 2))
    logits[0, 0] = np.nan
    assert supported_fit(logits, y_true, np.arange(60)) is fit_vector
    logits[1, 0] = np.nan
    assert supported_fit(logits, y_true, np.arange(60)) is fit_temperature


def test_shift_is_zero_for_true_shares_and_finite_for_absent_classes() -> None:
    assert prior_shift([0, 0, 1, 1], [0.5, 0.5]) == pytest.approx([0, 0])
    assert np.isfinite(prior_shift([0, 0, 1, 1], [1.0, 0.0, 0.0])).all()


def test_numbers_are_applied_as_the_contract_says() -> None:
    calibration = Calibration(2.0, (0.0, 1.0))
    assert calibration.to_json() == {"temperature": 2.0, "bias": [0.0, 1.0]}
    assert calibration.apply([[1.0, 2.0]]) == pytest.approx(softmax([[0.5, 2.0]]))
    vector = Calibration((2.0, 0.5), (0.0, 1.0))
    assert vector.to_json() == {"temperature": [2.0, 0.5], "bias": [0.0, 1.0]}
    assert vector.scaled([[1.0, 2.0]]) == pytest.approx(np.array([[0.5, 5.0]]))
    assert vector.apply([[1.0, 2.0]]) == pytest.approx(softmax([[0.5, 5.0]]))
