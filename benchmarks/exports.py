"""Exports of every architecture against their models, and one picture through each format beside `model.predict`.

    python benchmarks/exports.py [--builders NAME ...] [--small] [--size 224] [--rounds 15] [--quick]

Each architecture of the table is built with random weights at its own input size (`--small`: at 96 pixels), exported
by the process that exports versions, and compared with its model on 32 pictures. A deep network of random weights
answers with zeros, whatever was exported; so its normalisations are settled on a few pictures first.

Then EfficientNet-Lite0 at `--size` answers for one picture through Keras's `model.predict` and through each format, by
turns in one process, as many times as there are rounds.

The last line is one JSON object: `passes`; per architecture and format the largest difference of a probability and the
decisions that change; the median milliseconds of `predict` and of each format; and `versus_predict`, for each format
the median over the rounds of predict's time by the format's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.models.architectures import FACTS
from fdsearch.parameters import DEFAULT_SIZE, OWN_SIZES
from fdsearch.pipeline.exporter import Exporter
from fdsearch.registry.draft import CONTRACT, MODEL
from fdsearch.serving.contract import Contract
from fdsearch.serving.exports import GOLDEN, Export
from fdsearch.serving.formats import FILES, KERAS
from fdsearch.serving.runtimes import runtime_from_bytes
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    import keras

BACKBONE = "efficientnet_lite0"
CLASSES = tuple("abcdef")
N_PICTURES = 32
CALIBRATION = {"temperature": [1.3, 0.9, 1.1, 0.8, 1.0, 1.2], "bias": [-0.3, 0.0, 0.3, 0.1, 0.2, -0.3]}
Run = Callable[[], Any]


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--builders", nargs="*", choices=list(FACTS), default=list(FACTS))
    parser.add_argument("--small", action="store_true", help="build each at 96 pixels")
    parser.add_argument("--size", type=int, default=DEFAULT_SIZE)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="three small architectures, and three rounds at 96 pixels")
    options = parser.parse_args()
    if options.quick:
        options.builders, options.small = ["piston_cnn", "baseline_cnn", BACKBONE], True
        options.size, options.rounds = 96, 3
    with tempfile.TemporaryDirectory() as folder, closing(Exporter(Path(folder) / "exports.txt")) as exporter:
        found: dict[str, Any] = {}
        passes = True
        for name in options.builders:
            size = 96 if options.small else OWN_SIZES.get(name, DEFAULT_SIZE)
            exports = exporter.begin(write_draft(settled(name, size), Path(folder) / name)).result()
            passes = passes and all(each.passes for each in exports.values())
            found[name] = {"size": size, **{key: told(each) for key, each in exports.items() if key != KERAS}}
            print(name, found[name], file=sys.stderr)
            shutil.rmtree(Path(folder) / name)  # hundreds of megabytes each
        speeds = versus_predict(exporter, Path(folder) / "speed", options.size, options.rounds)
    print(json.dumps({"passes": passes, "builders": found, "cores": os.cpu_count(), "size": options.size, **speeds}))


def settled(name: str, size: int) -> keras.Model:
    """A model of random weights whose answers are not all zero."""
    import keras

    from fdsearch.models.builders import build_model

    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    config = TrialConfig.from_params({"backbone": name, "image_size": size, "weights": "random"})
    model = build_model(config, len(CLASSES))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            settle(layer)
    model(pictures(size)[:8])
    return model


def settle(layer: keras.layers.BatchNormalization) -> None:
    """Let a normalisation divide by the root mean square of what it sees next.

    Not by its deviation from the mean of each channel: many such layers in a row, of random weights, enlarge any
    rounding without bound, which those of a trained network do not.
    """
    import keras

    plain = layer.call

    def call(x: keras.KerasTensor, **options: Any) -> keras.KerasTensor:
        square = keras.ops.mean(keras.ops.square(x))
        layer.moving_variance.assign(keras.ops.full(layer.moving_variance.shape, square))
        layer.call = plain
        return plain(x, **options)

    layer.call = call


def pictures(size: int) -> NDArray[np.uint8]:
    """Noise of different contrast and brightness, uint8 (N_PICTURES, size, size, 1)."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(N_PICTURES, size, size, 1)) * rng.uniform(5, 60, (N_PICTURES, 1, 1, 1))
    return np.clip(noise + rng.uniform(40, 215, (N_PICTURES, 1, 1, 1)), 0, 255).astype(np.uint8)


def write_draft(model: keras.Model, folder: Path) -> Path:
    """Write what the exporting process asks for: model, contract, and pictures."""
    folder.mkdir()
    size = model.inputs[0].shape[1]
    model.save(folder / MODEL)
    plain = {
        "input": {"size": size, "resize": "stretch"},
        "classes": CLASSES,
        "pass_classes": CLASSES[:1],
        "calibration": CALIBRATION,
        "decision": {"pass_threshold": 0.5, "unit": "group"},
    }
    Contract.model_validate(plain).write(folder / CONTRACT)
    np.savez_compressed(folder / GOLDEN, pictures=pictures(size))
    return folder


def told(export: Export) -> dict[str, Any]:
    """What of an export goes into the answer."""
    figures = {"max_difference": export.max_difference, "decision_changes": export.decision_changes}
    return figures if export.passes else {**figures, "why": export.why}


def versus_predict(exporter: Exporter, folder: Path, size: int, rounds: int) -> dict[str, Any]:
    """Milliseconds for one picture through `model.predict` and through each format, by turns."""
    model = settled(BACKBONE, size)
    write_draft(model, folder)
    exporter.begin(folder).result()
    contract = Contract.parse((folder / CONTRACT).read_bytes(), CONTRACT)
    picture = pictures(size)[:1]
    sides: dict[str, Run] = {"predict": lambda: model.predict(picture, verbose=0)}
    for format, file in FILES.items():
        runtime = runtime_from_bytes(format, (folder / file).read_bytes(), contract, file)
        sides[format] = lambda runtime=runtime: runtime.run(picture)
    for run in sides.values():  # compile, lay out memory
        run()
    times: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, run in sides.items():
            time.sleep(0.2)  # threads of the side before go on looking for work, and would take a core
            times[side].append(median(milliseconds(run) for _ in range(5)))
        print({side: round(each[-1], 1) for side, each in times.items()}, file=sys.stderr)
    ratios = {
        side: round(median(slow / fast for slow, fast in zip(times["predict"], each, strict=True)), 2)
        for side, each in times.items()
        if side != "predict"
    }
    return {
        "milliseconds": {side: round(median(each), 2) for side, each in times.items()},
        "versus_predict": {side: {"ratio": ratio} for side, ratio in ratios.items()},
    }


def milliseconds(run: Run) -> float:
    """Of one call."""
    started = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
