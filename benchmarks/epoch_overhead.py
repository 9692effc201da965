"""Seconds per epoch of the trainer, beside a bare loop of compiled train steps on arrays in memory.

    python benchmarks/epoch_overhead.py [--rounds 5] [--quick]

EfficientNet-Lite0 on generated pictures, in three cases: the head on stored features, the last block on the stored
outputs of the layers before it (both at 160 px), and the whole network (at 96 px). The bare loop has the same model,
optimizer, loss, arrays and batches and does nothing but gather a batch and call the step; `steps_only` is the same loop
on batches that were gathered beforehand. All are traced and warm before they are timed, and take turns in one process.

The last line is one JSON object: per case the median seconds per epoch and the ratio trainer by bare loop, the median
of the ratios of the rounds; `ratio` is the largest of the cases.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from fdsearch.training.batches import epoch_batches
from fdsearch.training.job import JobMaker
from fdsearch.training.trainer import fit
from fdsearch.trial import Phase, TrialConfig

N_CLASSES = 6
BATCH = 32
RATE = 1e-4


@dataclass(frozen=True)
class Case:
    """What is trained, on how many pictures; `epochs` are timed in each round."""

    name: str
    size: int
    unfreeze: float
    n: int
    epochs: int

    @property
    def config(self) -> TrialConfig:
        """One phase of gradient descent, one epoch more than is timed: the first brings the data to the device."""
        shared = {"image_size": self.size, "head_init": "random", "dropout": 0.2, "batch_size": BATCH}
        phase = Phase(self.name, unfreeze=self.unfreeze, learning_rate=RATE, epochs=self.epochs + 1)
        return replace(TrialConfig.from_params(shared), phases=(phase,))


CASES = (
    Case("head", 160, 0.0, 1344, 8),
    Case("block", 160, 0.01, 1344, 3),
    Case("network", 96, 1.0, 320, 2),
)
QUICK = (Case("head", 160, 0.0, 192, 8), Case("block", 160, 0.01, 192, 4), Case("network", 96, 1.0, 64, 2))


class Trainer:
    """`fdsearch.training.trainer.fit`, asked through a job."""

    def __init__(self, case: Case, pixels: Path, labels: Any, scratch: Path) -> None:
        files = {(case.size, "stretch"): pixels}
        maker = JobMaker(labels, np.arange(len(labels)), N_CLASSES, files, f"generated-{case.name}", scratch)
        # No validation rows, so that the seconds of the curve are those of training; five fits share what is stored.
        self._job = maker.job("bench", case.config, np.arange(case.n), np.empty(0, np.int64), seed=0, n_fits=5)

    def epoch(self) -> float:
        """Median seconds of the epochs of one job, without its first."""
        result = fit(self._job, lambda epoch, row: True)
        if result.status != "done":
            sys.exit(f"{self._job.id}: {result.message}")
        return median(row["seconds"] for row in result.curve[1:])


class Bare:
    """The loop that a person would write around a compiled step."""

    def __init__(self, case: Case, pixels: Any, labels: Any) -> None:
        import tensorflow as tf

        from fdsearch.models.builders import build_model
        from fdsearch.models.graph import set_trainable, split

        self._case = case
        model = build_model(case.config, N_CLASSES)
        cut = set_trainable(model, case.config.phases[0], case.config.batch_norm)
        if case.name == "network":
            self._array, trained = pixels, model
        else:
            prefix, trained = split(model, cut)
            parts = [prefix(pixels[start : start + 64], training=False).numpy() for start in range(0, case.n, 64)]
            self._array = np.concatenate(parts).astype(np.float16)
        self._labels, self._weights = labels, np.ones(case.n, np.float32)
        self._step = make_step(trained, "uint8" if case.name == "network" else "float16")
        self._orders = [epoch_batches(np.arange(case.n), BATCH, 0, epoch) for epoch in range(case.epochs)]
        self._ready = [tf.nest.map_structure(tf.constant, self._batch(rows)) for rows in self._orders[0]]

    def _batch(self, rows: Any) -> tuple[Any, Any, Any]:
        return self._array[rows], self._labels[rows], self._weights[rows]

    def epoch(self) -> float:
        """Median seconds of some epochs; the losses are read at the end of each."""
        return median(self._timed(map(self._batch, order)) for order in self._orders)

    def steps_only(self) -> float:
        """The same on batches that lie on the device."""
        return median(self._timed(self._ready) for _ in self._orders)

    def _timed(self, batches: Iterable[tuple[Any, ...]]) -> float:
        started = time.perf_counter()
        losses = [self._step(*batch) for batch in batches]
        sum(float(loss) for loss in losses)
        return time.perf_counter() - started


def make_step(model: Any, dtype: str) -> Callable[..., Any]:
    """A compiled optimizer step of a Keras model."""
    import keras
    import tensorflow as tf

    optimizer = keras.optimizers.Adam(learning_rate=RATE)
    optimizer.build(model.trainable_variables)
    per_picture = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, *model.inputs[0].shape[1:]), dtype),
            tf.TensorSpec((None,), tf.int64),
            tf.TensorSpec((None,), tf.float32),
        ]
    )
    def step(batch: Any, labels: Any, weights: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = model(tf.cast(batch, model.inputs[0].dtype), training=True)
            loss = tf.reduce_mean(weights * per_picture(labels, logits))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    return step  # type: ignore[no-any-return]


def measure(case: Case, rounds: int, scratch: Path) -> dict[str, float]:
    """Let the three take turns."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (case.n, case.size, case.size, 1), np.uint8)
    labels = np.arange(case.n, dtype=np.int64) % N_CLASSES
    path = scratch / f"{case.name}.npy"
    np.save(path, pixels)
    trainer, bare = Trainer(case, path, labels, scratch / "prefix"), Bare(case, pixels, labels)
    sides = {"trainer": trainer.epoch, "bare": bare.epoch, "steps_only": bare.steps_only}
    for run in sides.values():
        run()
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, run in sides.items():
            found[name].append(run())
        latest = ", ".join(f"{name} {seconds[-1]:.3f} s" for name, seconds in found.items())
        print(f"{case.name}, round {number + 1}: {latest}", file=sys.stderr)
    ratios = {name: _ratio(found["trainer"], found[name]) for name in ("bare", "steps_only")}
    return {
        "pictures": case.n,
        **{f"{name}_s": round(median(seconds), 4) for name, seconds in found.items()},
        "pictures_per_s": round(case.n / median(found["trainer"])),
        "ratio": ratios["bare"],
        "ratio_to_steps_only": ratios["steps_only"],
    }


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return round(median(one / other for one, other in zip(ours, theirs, strict=True)), 3)


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="fewer pictures, two rounds")
    options = parser.parse_args()
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for case in QUICK if options.quick else CASES:
            result[case.name] = measure(case, 2 if options.quick else options.rounds, Path(scratch))
    print(json.dumps({"ratio": max(case["ratio"] for case in result.values()), **result}))


if __name__ == "__main__":
    main()
