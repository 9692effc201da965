"""Batches of what came together, never of two models, and nobody left without an answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fdsearch.registry.version import ModelVersion
from fdsearch.serving.batching import BATCH, Admission, Batcher, Closed, Full
from fdsearch.serving.predictor import Predictor
from fdsearch.serving.runtimes import Answer, Runtime

WAIT_S = 30


class Held:
    """A runtime that waits for a word before it runs, and remembers how many pictures it ran at once."""

    def __init__(self, inner: Runtime, ran: list[tuple[Held, int]]) -> None:
        self.format, self._inner, self._ran = inner.format, inner, ran
        self.entered, self.go = threading.Event(), threading.Event()

    def run(self, pictures: NDArray[np.uint8]) -> Answer:
        self.entered.set()
        assert self.go.wait(WAIT_S)
        self._ran.append((self, len(pictures)))
        return self._inner.run(pictures)


def busy(batcher: Batcher, predictor: Predictor, ran: list[tuple[Held, int]]) -> tuple[Predictor, Held]:
    """A predictor that runs one picture until its runtime is told to go on."""
    held = Held(predictor.runtime, ran)
    model = replace(predictor, runtime=held)
    batcher.submit(model, squares(1, 0))
    assert held.entered.wait(WAIT_S)
    return model, held


@pytest.fixture
def predictor(register: Callable[..., ModelVersion], tmp_path: Path) -> Predictor:
    register()
    return Predictor.load("tiles:1", tmp_path / "registry")


@pytest.fixture
def batcher() -> Iterator[Batcher]:
    batcher = Batcher(lambda *_: None)
    yield batcher
    batcher.close()


def squares(n: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, 24, 24, 1), np.uint8)


def test_what_gathers_is_run_together_and_each_gets_its_own(predictor: Predictor, batcher: Batcher) -> None:
    ran: list[tuple[Held, int]] = []
    model, held = busy(batcher, predictor, ran)
    sent = [squares(n, seed) for seed, n in enumerate([2, 1, 3, 40, 1])]
    answers = [batcher.submit(model, pictures) for pictures in sent]
    held.go.set()
    for pictures, answer in zip(sent, answers, strict=True):
        expected = np.concatenate([predictor.run(picture[np.newaxis]).probabilities for picture in pictures])
        assert answer.result(WAIT_S).probabilities == pytest.approx(expected, abs=1e-5)
    assert [n for _, n in ran] == [1, 6, BATCH, BATCH, 8, 1]


def test_a_batch_never_mixes_two_models(predictor: Predictor, batcher: Batcher) -> None:
    ran: list[tuple[Held, int]] = []
    old, held = busy(batcher, predictor, ran)
    new = replace(predictor, runtime=Held(predictor.runtime, ran))
    new.runtime.go.set()
    answers = [batcher.submit(model, squares(1, 0)) for model in (old, old, new, new, old)]
    held.go.set()
    for answer in answers:
        answer.result(WAIT_S)
    assert ran == [(held, 1), (held, 2), (new.runtime, 2), (held, 1)]


def test_patient_work_lets_everybody_go_first(predictor: Predictor, batcher: Batcher) -> None:
    ran: list[tuple[Held, int]] = []
    model, held = busy(batcher, predictor, ran)
    patient = batcher.submit(model, squares(3, 0), patient=True)
    urgent = [batcher.submit(model, squares(1, 0)) for _ in range(2)]
    held.go.set()
    for answer in (patient, *urgent):
        answer.result(WAIT_S)
    assert [n for _, n in ran] == [1, 2, 3]


def test_a_model_that_fails_fails_alone(predictor: Predictor, batcher: Batcher) -> None:
    class Broken:
        format = "keras"

        def run(self, pictures: NDArray[np.uint8]) -> Answer:
            raise MemoryError

    with pytest.raises(MemoryError):
        batcher.submit(replace(predictor, runtime=Broken()), squares(1, 0)).result(WAIT_S)
    assert len(batcher.submit(predictor, squares(1, 0)).result(WAIT_S).logits) == 1
    assert batcher.alive


def test_who_waits_at_the_end_is_told(predictor: Predictor) -> None:
    batcher = Batcher(lambda *_: None)
    model, held = busy(batcher, predictor, [])
    cancelled, waiting = (batcher.submit(model, squares(1, 0)) for _ in range(2))
    cancelled.cancel()
    closing = threading.Thread(target=batcher.close)
    closing.start()
    while batcher.alive:
        pass
    held.go.set()
    closing.join(WAIT_S)
    for late in (waiting, batcher.submit(model, squares(1, 0))):
        with pytest.raises(Closed):
            late.result(WAIT_S)


def test_a_full_house_lets_nobody_in() -> None:
    door = Admission(2)
    with door.enter(), door.enter(), pytest.raises(Full), door.enter():
        pass
    with pytest.raises(ZeroDivisionError), door.enter():
        raise ZeroDivisionError
    assert door.inside == 0
