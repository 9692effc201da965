"""Whose calibration each part gets, and what it is worth on parts that were not fitted to."""

from __future__ import annotations

import numpy as np
import pytest

from fdsearch.metrics import log_loss
from fdsearch.selection.calibration import Calibration, fit_temperature, fit_vector, prior_shift
from fdsearch.selection.cross_fitting import calibrated, cross_fitted
from fdsearch.selection.reliability import reliability

EVEN = [0.5, 0.5]


def overconfident(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits four times too large, shape (1, n, 2), labels, and the logits as they should be."""
    generator = np.random.default_rng(seed)
    y_true = generator.integers(0, 2, n)
    posterior = generator.normal(size=(1, n, 2)) + np.eye(2)[y_true]
    return 4 * posterior, y_true, posterior


def test_every_group_is_calibrated_by_a_fit_to_others() -> None:
    seen: list[set[int]] = []
    groups = np.repeat(np.arange(10), 3)
    logits = np.stack([np.arange(30.0), np.zeros(30)], axis=-1)[None]  # tells which picture it is

    def remember(some: np.ndarray, y_true: np.ndarray) -> Calibration:
        assert some.shape == (1, len(y_true), 2)
        seen.append({int(groups[int(number)]) for number in some[0, :, 0]})
        return Calibration(float(2 ** len(seen)), (0.0, 0.0))

    scaled = cross_fitted(logits, np.arange(30) % 2, groups, remember)
    assert [len(fitted) for fitted in seen] == [8] * 5  # whole groups: the two others are judged
    for picture in range(1, 30):
        fold = np.log2(picture / scaled[0, picture, 0])
        assert fold == pytest.approx(round(fold)) and groups[picture] not in seen[round(fold) - 1]


def test_missing_predictions_stay_missing_and_are_never_fitted_to() -> None:
    logits, y_true, _ = overconfident(60)
    logits[:, ::7] = np.nan

    def fit(some: np.ndarray, true: np.ndarray) -> Calibration:
        assert np.isfinite(some).all()
        return fit_temperature(some, true, [0.0, 0.0])

    scaled = cross_fitted(logits, y_true, np.arange(60), fit)
    assert (np.isnan(scaled) == np.isnan(logits)).all()


def test_one_group_alone_has_no_others() -> None:
    logits, y_true, _ = overconfident(6)
    calibration, scaled = calibrated(logits, y_true, [4] * 6, EVEN)
    assert calibration.method == "temperature" and np.isnan(scaled).all()


@pytest.mark.parametrize(("n", "fit"), [(3000, fit_vector), (40, fit_temperature)])
def test_what_ships_is_fitted_to_all_parts(n: int, fit: object) -> None:
    logits, y_true, _ = overconfident(n)
    calibration, scaled = calibrated(logits, y_true, np.arange(n) // 2, EVEN)
    assert callable(fit) and calibration == fit(logits, y_true, prior_shift(y_true, EVEN))
    assert np.allclose(scaled, calibration.scaled(logits), rtol=0.5, atol=0.5)
    assert not np.allclose(scaled, calibration.scaled(logits), rtol=1e-6)


def test_overconfidence_shows_before_and_not_after() -> None:
    logits, y_true, posterior = overconfident(6000)
    found = reliability(logits, calibrated(logits, y_true, np.arange(6000) // 2, EVEN)[1], y_true)
    assert found["ece"]["before"] > 0.1
    assert found["ece"]["after"] < 0.03
    assert found["log_loss"]["after"] == pytest.approx(log_loss(y_true, posterior[0]), abs=0.02)
