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
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fdsearch.layers import PICTURES
from fdsearch.models.conversion import Calibrated, to_litert, to_onnx
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


def _onnxruntime(model: Any, picture: Any) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    content = to_onnx(_uncalibrated(model))
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {PICTURES: picture})


def _litert(model: Any, picture: Any) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=to_litert(_uncalibrated(model)), num_threads=1)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, picture.shape)
    interpreter.allocate_tensors()

    def run() -> None:
        interpreter.set_tensor(index, picture)
        interpreter.invoke()

    return run


def _uncalibrated(model: Any) -> Calibrated:
    """A model as it would be exported; which numbers calibrate it does not change how fast it is."""
    return Calibrated(model, 1.0, 0.0)


def _keras(model: Any, picture: Any) -> Run:
    import tensorflow as tf

    forward = tf.function(lambda pictures: model(pictures, training=False), autograph=False)
    batch = tf.constant(picture)
    return lambda: forward(batch).numpy()


LOADERS: dict[str, Callable[[Any, Any], Run]] = {
    "onnxruntime": _onnxruntime,
    "litert": _litert,
    "keras": _keras,
}
"""Makes what is timed, by the runtime's name; `latency.RUNTIMES` says which is taken."""


def main(order: str) -> None:
    """Time what a JSON document asks for, and print the answer."""
    from fdsearch.models.builders import build_model, load_plugins
    from fdsearch.models.mirrored import mirrored

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    asked = json.loads(order)
    stdout = os.dup(1)
    os.dup2(2, 1)  # exporters print
    load_plugins([Path(path) for path in asked["plugins"]])
    config = TrialConfig.from_json(asked["config"])
    model = mirrored(build_model(config, asked["n_classes"]), config.test_views)
    size = config.image_size
    picture = np.random.default_rng(0).integers(0, 256, (1, size, size, 1), dtype=np.uint8)
    latency = median_ms(LOADERS[asked["runtime"]](model, picture))
    os.write(stdout, json.dumps({"latency_ms": round(latency, 3)}).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1])
