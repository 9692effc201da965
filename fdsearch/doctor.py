"""What this machine can do: versions, devices, weights, storage, memory and disk, as a list of findings.

Called by the command line only. A check answers; it never raises and changes nothing but a probe file under the root.
"""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from fdsearch.execution.gpus import visible_gpus
from fdsearch.packages import installed_versions

PACKAGES = {
    "train": (
        "optuna",
        "keras",
        "tensorflow",
        "scikit-learn",
        "pandas",
        "matplotlib",
        "optuna-dashboard",
        "opencv-python-headless",
    ),
    "export": ("onnx", "ai-edge-litert"),
    "serve": ("onnxruntime", "fastapi"),
    "postgres": ("psycopg",),
}
"""Packages that tell whether an extra is installed."""

DEVICE_TIMEOUT_S = 120
"""A cold import of TensorFlow takes up to 40 s."""
LEAST_DISK_GB = 5.0
"""Pictures decoded at three sizes, activations of frozen layers and a few models of a set of 8,000 pictures."""
LEAST_MEMORY_GB = 4.0
"""One worker with TensorFlow and a backbone at 299 px takes about 2 GB beside the parent."""


@dataclass(frozen=True)
class Check:
    """One finding.

    Parameters
    ----------
    name : str
    status : {"ok", "warning", "missing", "failed"}
        ``missing`` is an optional thing that is not here; ``failed`` keeps fdsearch from working.
    found : str
    fix : str
        What a person can do; empty where nothing is wrong.
    """

    name: str
    status: str
    found: str
    fix: str = ""


def examine(root: Path) -> list[dict[str, Any]]:
    """Run every check.

    Parameters
    ----------
    root : Path
        The root folder; it need not exist.

    Returns
    -------
    list of dict
        ``name``, ``status`` (ok, warning, missing, failed), ``found``, ``fix``.
    """
    parts: tuple[Callable[[], list[Check]], ...] = (
        _system,
        _packages,
        _devices,
        _weights,
        lambda: _storage(root),
        lambda: _disk(root),
    )
    return [asdict(check) for part in parts for check in part()]


def _system() -> list[Check]:
    checks = [
        Check("fdsearch", "ok", metadata.version("fdsearch")),
        Check("python", "ok", f"{platform.python_version()} on {platform.platform()}"),
        Check("processors", "ok", f"{_usable_processors()} usable"),
    ]
    memory = _memory_gb()
    if memory is None:
        checks.append(Check("memory", "missing", "unknown", "pip install 'fdsearch[train]' (psutil measures it)"))
    else:
        low = memory < LEAST_MEMORY_GB
        fix = "use smaller pictures and one worker" if low else ""
        checks.append(Check("memory", "warning" if low else "ok", f"{memory:.1f} GB available", fix))
    return checks


def _usable_processors() -> int:
    """Processors this process may run on; a container often has fewer than the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_gb() -> float | None:
    try:
        import psutil
    except ModuleNotFoundError:
        return None
    return float(psutil.virtual_memory().available) / 1e9


def _packages() -> list[Check]:
    checks = []
    for extra, packages in PACKAGES.items():
        versions = {package: _version(package) for package in packages}
        absent = [package for package, version in versions.items() if version is None]
        found = ", ".join(f"{package} {version}" for package, version in versions.items() if version)
        if absent:
            fix = f"pip install 'fdsearch[{extra}]'"
            checks.append(Check(f"extra {extra}", "missing", f"without {', '.join(absent)}", fix))
        else:
            checks.append(Check(f"extra {extra}", "ok", found))
    return checks


def _version(package: str) -> str | None:
    """The installed version; TensorFlow without GPU code is a package of another name."""
    return next(iter(installed_versions([package, f"{package}-cpu"]).values()), None)


def _devices() -> list[Check]:
    """GPUs as TensorFlow sees them, asked in a process of its own: a broken driver may crash, hang or fill stderr."""
    question = "import tensorflow as tf; print([gpu.name for gpu in tf.config.list_physical_devices('GPU')])"
    try:
        answer = subprocess.run(
            [sys.executable, "-c", question], capture_output=True, text=True, timeout=DEVICE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        found = f"TensorFlow does not answer within {DEVICE_TIMEOUT_S} s"
        return [Check("devices", "failed", found, "check the GPU driver with nvidia-smi")]
    if answer.returncode != 0:
        last = (answer.stderr.strip().splitlines() or ["no message"])[-1]
        return [Check("devices", "missing", last, "pip install 'fdsearch[train]'")]
    return [_device_check(answer.stdout.strip().splitlines()[-1])]


def _device_check(seen: str) -> Check:
    """What TensorFlow sees, beside what the driver has: a GPU that only one of them knows stands idle."""
    gpus = visible_gpus(os.environ)
    if seen == "[]" and gpus:
        found = f"TensorFlow sees none of the GPUs that are here: {', '.join(gpu.address for gpu in gpus)}"
        return Check("devices", "warning", found, "pip install 'fdsearch[gpu]', and a driver it supports")
    memory = [f"gpu {gpu.name}: {gpu.free_mb} of {gpu.total_mb} MB free" for gpu in gpus if gpu.total_mb is not None]
    found = "no GPU; training runs on the processors" if seen == "[]" else "; ".join([seen, *memory])
    return Check("devices", "ok", found)


def _weights() -> list[Check]:
    from fdsearch.models.weights import available
    from fdsearch.models.weights_files import WEIGHTS_FILES

    checks = []
    for name in WEIGHTS_FILES:
        here = "imagenet" in available(name)
        found = "ImageNet weights are here" if here else "no pretrained weights here"
        fix = "" if here else f"fdsearch models fetch {name}, or set FDSEARCH_WEIGHTS to the folder that has them"
        checks.append(Check(f"weights {name}", "ok" if here else "missing", found, fix))
    return checks


def _storage(root: Path) -> list[Check]:
    version = Check("sqlite", "ok", sqlite3.sqlite_version)
    place = _nearest_folder(root)
    try:
        with tempfile.TemporaryDirectory(dir=place, prefix=".fdsearch-doctor-") as folder:
            database = sqlite3.connect(Path(folder) / "probe.db")
            with database:
                database.execute("create table probe (value integer)")
                database.execute("insert into probe values (1)")
            database.close()
    except (OSError, sqlite3.Error) as error:
        return [
            version,
            Check("root", "failed", f"{place}: {error}", "choose a writable folder on a local disk with --root"),
        ]
    return [version, Check("root", "ok", f"{root} can hold a study database")]


def _disk(root: Path) -> list[Check]:
    free = shutil.disk_usage(_nearest_folder(root)).free / 1e9
    low = free < LEAST_DISK_GB
    fix = "free some space, or choose another disk with --root" if low else ""
    return [Check("disk", "warning" if low else "ok", f"{free:.1f} GB free for {root}", fix)]


def _nearest_folder(path: Path) -> Path:
    """The path itself or its first parent that exists."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())
