"""What the workers of the drills run: a fit whose score is a known function of one parameter, and no fit at all."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fdsearch.files import write_atomic
from fdsearch.metrics import macro_f1
from fdsearch.training.features import PrefixCache
from fdsearch.training.job import Job, Report, Result

N = 120
LABELS = np.arange(N) % 2
GROUPS = np.arange(N) // 2
PAUSE = "FDSEARCH_DRILL_PAUSE"
"""Environment variable: seconds that a fit of `fit_with_caches` takes."""
CALLS = "calls.txt"
CACHED_LAYERS = 40


def fit(job: Job, report: Report) -> Result:
    """Predict, report one epoch, and leave a line in ``calls.txt``."""
    point = int(job.config.custom["custom_point"])
    _append(job.prefix_cache / CALLS, f"{job.id} {point}\n")
    predicted = predict(point)[job.validation]
    if not report(0, {"epoch": 0, "phase": "head", "val_macro_f1": expected_score(point), "seconds": 0.001}):
        return Result(job.id, "stopped", epochs=1)
    return Result(job.id, "done", np.eye(2, dtype=np.float32)[predicted], epochs=1)


def fit_with_caches(job: Job, report: Report) -> Result:
    """`fit` that takes time and writes shared files, so that a kill may hit any of them."""
    point = int(job.config.custom["custom_point"])
    _prefix_cache(job.prefix_cache).activations({f"layer-{point % CACHED_LAYERS}": (64,)}, _activations)
    write_atomic(job.prefix_cache / "points" / f"{point}.json", sealed(point))
    time.sleep(float(os.environ.get(PAUSE, "0")))
    return fit(job, report)


def predict(point: int) -> NDArray[np.int64]:
    """The classes predicted for all rows: wrong in `point` % 100 of 100 cases."""
    wrong = (np.arange(N) * 2_654_435_761 + point) % 100 < point % 100
    predicted: NDArray[np.int64] = np.where(wrong, 1 - LABELS, LABELS)
    return predicted


def expected_score(point: int) -> float:
    """What a trial of this point must score."""
    return float(macro_f1(LABELS, predict(point), 2))


def sealed(point: int) -> bytes:
    """A file that shows whether it is whole."""
    content = "x" * (1000 + point % 5000)
    return json.dumps({"content": content, "sha256": hashlib.sha256(content.encode()).hexdigest()}).encode()


def torn_files(folder: Path) -> list[str]:
    """The finished files of `fit_with_caches` that are not whole or not as they should be."""
    torn = [str(path) for path in (folder / "points").glob("*.json") if path.read_bytes() != sealed(int(path.stem))]
    cache = _prefix_cache(folder)
    layers = [f"layer-{number}" for number in range(CACHED_LAYERS)]
    for layer in (layer for layer in layers if cache.path(layer).exists()):
        batches = list(_activations([layer]))
        wanted = np.concatenate([batch[layer] for batch in batches]).astype(np.float16)
        try:
            stored = np.load(cache.path(layer))
        except (OSError, ValueError, EOFError):
            torn.append(str(cache.path(layer)))
            continue
        if not np.array_equal(stored, wanted):
            torn.append(str(cache.path(layer)))
    return torn


def _prefix_cache(folder: Path) -> PrefixCache:
    return PrefixCache(folder / "prefix", {"drill": 1}, "avg", N)


def _activations(layers: object) -> list[dict[str, NDArray[np.float32]]]:
    names = [str(layer) for layer in layers]  # type: ignore[attr-defined]
    return [
        {name: np.full((10, 64), int(name.rpartition("-")[2]) + batch, np.float32) for name in names}
        for batch in range(N // 10)
    ]


def _append(path: Path, line: str) -> None:
    """One write of a file opened for appending: lines of several processes do not mix."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)
