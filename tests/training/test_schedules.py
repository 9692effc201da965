from __future__ import annotations

import math

import pytest

from fdsearch.training.schedules import PLATEAU_FACTOR, LearningRate


@pytest.mark.parametrize(
    ("schedule", "warmup", "time", "expected"),
    [
        ("constant", 0.0, 7.3, 1.0),
        ("step", 0.0, 3.99, 1.0),
        ("step", 0.0, 4.0, 0.1),
        ("step", 0.0, 6.0, 0.01),
        ("cosine", 0.0, 0.0, 1.0),
        ("cosine", 0.0, 4.0, 0.5),
        ("cosine", 0.0, 8.0, 0.0),
        ("cosine", 0.0, 9.0, 0.0),
        ("constant", 0.25, 0.0, 0.01),
        ("constant", 0.25, 1.0, 0.5),
        ("constant", 0.25, 2.0, 1.0),
        ("cosine", 0.25, 5.0, 0.5),
        ("cosine", 1.0, 4.0, 0.5),
        ("plateau", 0.0, 5.0, 1.0),
    ],
)
def test_rate_of_eight_epochs_with_peak_one(schedule, warmup, time, expected):
    rate = LearningRate(schedule, peak=1.0, warmup=warmup, epochs=8)
    assert rate.at(time) == pytest.approx(expected, abs=1e-12)


def test_plateau_falls_after_two_epochs_without_improvement():
    rate = LearningRate("plateau", peak=1.0, warmup=0.0, epochs=10)
    seen = []
    for epoch, loss in enumerate([1.0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.5]):
        seen.append(rate.at(epoch))
        rate.observe(epoch, loss)
    assert seen == pytest.approx([1, 1, 1, 1, PLATEAU_FACTOR, PLATEAU_FACTOR, PLATEAU_FACTOR**2])


def test_plateau_does_not_listen_while_it_warms_up():
    rate = LearningRate("plateau", peak=1.0, warmup=0.4, epochs=10)
    for epoch in range(4):
        rate.observe(epoch, 1.0 + epoch)
    assert rate.at(4) == 1.0


def test_other_schedules_do_not_listen():
    rate = LearningRate("constant", peak=0.3, warmup=0.0, epochs=10)
    for epoch in range(10):
        rate.observe(epoch, math.inf)
    assert rate.at(9) == 0.3


def test_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="known: constant, step, cosine, plateau"):
        LearningRate("linear", 1.0, 0.0, 3)
