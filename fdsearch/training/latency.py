"""How long one picture takes through an architecture's exported model: measured once per machine, kept in a file.

The trainer measures before it fits a job that asks for it; the search reads what was measured. The measuring itself
runs in a process of its own (`timing`): it needs one thread and another runtime, and leaves nothing behind.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fdsearch.errors import Fault, ResourceError
from fdsearch.files import digest_file, digest_json, write_json
from fdsearch.packages import installed_versions
from fdsearch.training import life
from fdsearch.training.file_lock import hold
from fdsearch.training.job import Job
from fdsearch.trial import TrialConfig

RUNTIMES = {"onnxruntime": ("onnxruntime", "tf2onnx", "onnx"), "litert": ("ai_edge_litert",), "keras": ()}
"""What runs the exported model, the first whose packages are installed; Keras's own compiled forward pass at last."""
_PACKAGES = ("keras", "tensorflow", "onnxruntime", "ai-edge-litert")
_CHILD = "fdsearch.training.timing"
_LIMIT_S = 300.0
_POLL_S = 0.2


@dataclass(frozen=True)
class Latency:
    """A measurement.

    Parameters
    ----------
    latency_ms : float
        Median milliseconds for one picture, by one thread of the processor.
    runtime : {"onnxruntime", "litert", "keras"}
    machine : str
        Name and processor of the machine.
    """

    latency_ms: float
    runtime: str
    machine: str


@dataclass(frozen=True)
class Architecture:
    """What of a trial decides how fast its model is; weights do not.

    Parameters
    ----------
    config : TrialConfig
    n_classes : int
    plugins : tuple of Path
    """

    config: TrialConfig
    n_classes: int
    plugins: tuple[Path, ...] = ()

    @property
    def key(self) -> str:
        """A digest, the same for all trials that measure the same with the packages of this machine."""
        config = self.config
        shape = [config.backbone, config.image_size, config.pooling, dict(config.custom), self.n_classes]
        shape += [config.test_views, config.exposure, config.feature_layers, config.head]
        return digest_json(
            [shape, sorted(digest_file(path) for path in self.plugins), installed_versions(_PACKAGES), runtime()]
        )[:24]


def runtime() -> str:
    """Name of the runtime that measures here."""
    return next(name for name, packages in RUNTIMES.items() if all(map(importlib.util.find_spec, packages)))


def machine() -> str:
    """Name and processor of this machine."""
    return f"{platform.node()}, {_processor()}, {os.cpu_count()} processors"


def known(folder: Path, architecture: Architecture) -> Latency | None:
    """What was measured of an architecture: on this machine, else on another that shares the folder; None if nothing.

    Parameters
    ----------
    folder : Path
        Of the measurements.
    architecture : Architecture
    """
    key = architecture.key
    for path in (_file(folder, key), *sorted(folder.glob(f"{key}-*.json"))):
        try:
            return Latency(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            continue
    return None


def keep(folder: Path, architecture: Architecture, latency: Latency) -> None:
    """Keep a measurement of this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(_file(folder, architecture.key), asdict(latency))


def ensure(job: Job) -> None:
    """Measure the architecture of a job that asks for it; errors as in `measure`."""
    if job.latencies is not None:
        measure(job.latencies, Architecture(job.config, job.n_classes, job.plugins))


def measure(folder: Path, architecture: Architecture) -> None:
    """Measure an architecture on this machine, unless that was done before.

    Raises
    ------
    ResourceError
        If its model cannot be built, exported or run.
    """
    path = _file(folder, architecture.key)
    if path.is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with hold(folder / "lock", life.sign_or_stop):  # two at a time would measure each other
        if not path.is_file():
            keep(folder, architecture, _in_child(architecture))


def _in_child(architecture: Architecture) -> Latency:
    # Random weights are as fast as trained ones and need no file.
    config = replace(architecture.config, weights="random")
    order = {
        "config": config.to_json(),
        "n_classes": architecture.n_classes,
        "plugins": [str(path) for path in architecture.plugins],
        "runtime": runtime(),
    }
    one = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    environment = {**os.environ, **one, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    child = subprocess.Popen(
        [sys.executable, "-m", _CHILD, json.dumps(order)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        answer, complaint = _wait(child)
    finally:
        child.kill()
        child.wait()
    try:
        return Latency(float(json.loads(answer.splitlines()[-1])["latency_ms"]), runtime(), machine())
    except (ValueError, LookupError):
        words = (complaint.strip().splitlines() or ["it said nothing"])[-1]
        fix = "mend the architecture, or leave search.max_latency_ms out"
        fault = Fault(config.backbone, words, f"a model that {runtime()} runs", fix)
        raise ResourceError("the latency of an exported model cannot be measured", [fault]) from None


def _wait(child: subprocess.Popen[str]) -> tuple[str, str]:
    """What the child writes to stdout and stderr until it ends, with signs of life meanwhile."""
    give_up = time.monotonic() + _LIMIT_S
    while True:
        try:
            return child.communicate(timeout=_POLL_S)
        except subprocess.TimeoutExpired:
            life.sign_or_stop()
            if time.monotonic() > give_up:
                return "", f"no answer within {_LIMIT_S:.0f} s"


def _file(folder: Path, key: str) -> Path:
    return folder / f"{key}-{digest_json(machine())[:16]}.json"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
