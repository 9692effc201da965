"""Times one architecture's exported model, one picture at a time, in a process of its own.

``python -m fdsearch.training.timing JSON``, started by `latency`, which it does not outlive; the last line on stdout is
``{"latency_ms": ...}``.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fdsearch.trial import TrialConfig

_PR_SET_PDEATHSIG = 1
WARM_UP = 10
ROUNDS, RUNS = 5, 10
Run = Callable[[], object]


def median_ms(run: Run, *, warm_up: int = WARM_UP, rounds: int = ROUNDS, runs: int = RUNS) -> float:
    """Milliseconds of a call: the smallest median of some rounds.

    What else runs on the machine can only add; a round that it spared says what the call itself takes.
    """
    for _ in range(warm_up):
        run()
    return min(statistics.median(_milliseconds(run) for _ in range(runs)) for _ in range(rounds))


def _milliseconds(run: Run) -> float:
    began = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - began)


def _onnxruntime(model: Any, picture: Any, folder: Path) -> Run:
    import onnxruntime

    path = folder / "model.onnx"
    model(picture)  # Keras exports to ONNX only what was called before
    model.export(str(path), format="onnx", verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: picture})


def _litert(model: Any, picture: Any, folder: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    path = folder / "model.tflite"
    model.export(str(path), format="litert", verbose=False)
    interpreter = Interpreter(model_path=str(path), num_threads=1)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, picture.shape)
    interpreter.allocate_tensors()

    def run() -> None:
        interpreter.set_tensor(index, picture)
        interpreter.invoke()

    return run


def _keras(model: Any, picture: Any, folder: Path) -> Run:
    import tensorflow as tf

    forward = tf.function(lambda pictures: model(pictures, training=False), autograph=False)
    batch = tf.constant(picture)
    return lambda: forward(batch).numpy()


LOADERS: dict[str, Callable[[Any, Any, Path], Run]] = {
    "onnxruntime": _onnxruntime,
    "litert": _litert,
    "keras": _keras,
}
"""Makes what is timed, by the runtime's name; `latency.RUNTIMES` says which is taken."""


def main(order: str) -> None:
    """Time what a JSON document asks for, and print the answer."""
    from fdsearch.models.builders import build_model, load_plugins

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    asked = json.loads(order)
    stdout = os.dup(1)
    os.dup2(2, 1)  # exporters print
    load_plugins([Path(path) for path in asked["plugins"]])
    config = TrialConfig.from_json(asked["config"])
    model = build_model(config, asked["n_classes"])
    size = config.image_size
    picture = np.random.default_rng(0).integers(0, 256, (1, size, size, 1), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        latency = median_ms(LOADERS[asked["runtime"]](model, picture, Path(folder)))
    os.write(stdout, json.dumps({"latency_ms": round(latency, 3)}).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1])
