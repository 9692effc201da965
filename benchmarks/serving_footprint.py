"""What serving needs: a fresh environment with the extra `serve` alone predicts from a version's copied folder.

    python benchmarks/serving_footprint.py [--version FOLDER] [--rounds 5] [--size 224] [--keep FOLDER] [--windows]

Builds the wheel, installs it with `serve` and nothing else, copies the version and predicts one picture per process, in
each exported format, through Python and through the command. Without --version a version of EfficientNet-Lite0 with
random weights is made and exported first. --keep works in a folder and uses what an earlier call left there, so that
nothing is installed while times are taken. --windows also asks pip for the wheels of all of `serve` on Windows.

The last line is one JSON object. Medians over processes: `import_s` (of ``fdsearch.Predictor``, inside Python) and the
processor's share of it, `import_cpu_s`, which other programs of the machine do not stretch; by
format `first_answer_s` (from starting the process to its end, with one prediction), `load_s` and `memory_mb` (largest
resident set); the same through the command; `training_packages`: those found in the environment, to be none.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
TRAINING = ("tensorflow", "keras", "optuna", "pandas", "scikit-learn", "onnx", "tf2onnx", "torch")
CLASSES = ("crack", "free")
WINDOWS = ("--platform", "win_amd64", "--implementation", "cp", "--only-binary=:all:")

ONE_ANSWER = """
import json, sys, time
start = time.perf_counter()
from fdsearch import Predictor
imported = time.perf_counter() - start
predictor = Predictor.load(sys.argv[1], format=sys.argv[2])
loaded = time.perf_counter() - start - imported
[told] = predictor.predict([sys.argv[3]])
print(json.dumps({"import_s": imported, "load_s": loaded, "label": told.label, "modules": len(sys.modules)}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--version", type=Path, help="the folder of a registered version with exports")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    parser.add_argument("--windows", action="store_true")
    parser.add_argument("--quick", action="store_true", help="96 pixels, two processes each")
    options = parser.parse_args()
    if options.quick:
        options.size, options.rounds = 96, 2
    with tempfile.TemporaryDirectory(prefix="fdsearch-footprint-") as folder:
        print(json.dumps(measured(options, (options.keep or Path(folder)).absolute())))


def measured(options: argparse.Namespace, place: Path) -> dict[str, Any]:
    """All the figures."""
    copied, wheel, python = prepared(options, place)
    picture = place / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400), dtype=np.uint8)).save(picture)
    formats = [name for name in exported_formats(copied) if name != "keras"]
    wall, processor = imports(python, options.rounds)
    found: dict[str, Any] = {
        "import_s": wall,
        "import_cpu_s": processor,
        "formats": {name: answers(python, copied, picture, name, options.rounds) for name in formats},
        "command": commands(python, copied, picture, options.rounds),
        "training_packages": training_packages(python),
    }
    if options.windows:
        found["windows_wheels"] = windows_wheels(wheel, place / "windows")
    return found


def prepared(options: argparse.Namespace, place: Path) -> tuple[Path, Path, Path]:
    """The copied version, the wheel and the environment's Python; what is there already is taken."""
    copied = place / "copied"
    if not copied.exists():
        # In a process of its own: the largest resident set of a child counts what its parent held when it began.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            version = options.version or pool.submit(made_version, place / "registry", options.size).result()
        shutil.copytree(version, copied)
    wheel = next((place / "wheel").glob("fdsearch-*.whl"), None) or built_wheel(place / "wheel")
    python = place / "environment" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        fill_environment(place / "environment", python, wheel)
    return copied, wheel, python


def made_version(registry: Path, size: int) -> Path:
    """Register EfficientNet-Lite0 with random weights and its exports, as a run does."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from fdsearch.models.builders import build_model
    from fdsearch.models.conversion import Calibrated, to_litert, to_onnx
    from fdsearch.registry.draft import Draft
    from fdsearch.registry.store import Registry
    from fdsearch.serving.contract import Contract
    from fdsearch.serving.exports import EXPORTS
    from fdsearch.serving.formats import FILES, LITERT, LITERT_FLOAT16, ONNX
    from fdsearch.trial import TrialConfig

    config = TrialConfig.from_params({"backbone": "efficientnet_lite0", "image_size": size, "weights": "random"})
    model = build_model(config, len(CLASSES))
    calibration = {"temperature": 1.3, "bias": [0.2, -0.2]}
    graph = Calibrated(model, **calibration)
    draft = registry.parent / "draft"
    draft.mkdir(parents=True)
    model.save(draft / FILES["keras"])
    files = {ONNX: to_onnx(graph), LITERT: to_litert(graph), LITERT_FLOAT16: to_litert(graph, float16=True)}
    for name, content in files.items():
        (draft / FILES[name]).write_bytes(content)
    exports = {name: {"file": FILES[name], "passes": True, "batch_1_ms": 1.0} for name in files}
    measured_on = {"machine": "", "cores": os.cpu_count() or 1, "versions": {}}
    listed = {"format": 1, "golden": {"n": 0}, "measured_on": measured_on, "exports": exports}
    (draft / EXPORTS).write_text(json.dumps(listed))
    raw = {"input": {"size": size, "resize": config.resize}, "classes": CLASSES, "pass_classes": ["free"]}
    Contract.model_validate({**raw, "calibration": calibration}).write(draft / "contract.json")
    (draft / "card.md").write_text("# Random weights\n")
    (draft / "metrics.json").write_text("{}")
    np.savez(draft / "oof.npz", logits=np.zeros((1, len(CLASSES)), np.float32))
    return Registry(registry).register("random", Draft(draft), "benchmark").path


def exported_formats(version: Path) -> list[str]:
    exports: dict[str, Any] = json.loads((version / "exports.json").read_text())["exports"]
    return [name for name, each in exports.items() if each["passes"]]


def built_wheel(folder: Path) -> Path:
    say("building the wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, REPOSITORY)
    [wheel] = folder.glob("fdsearch-*.whl")
    return wheel


def fill_environment(folder: Path, python: Path, wheel: Path) -> None:
    """Make an environment with the wheel and the extra `serve`, nothing else."""
    say("installing it with the extra `serve`")
    run(sys.executable, "-m", "venv", folder)
    run(python, "-m", "pip", "install", "--quiet", f"fdsearch[serve] @ {wheel.as_uri()}")


def training_packages(python: Path) -> list[str]:
    installed = json.loads(run(python, "-m", "pip", "list", "--format", "json"))
    names = {each["name"].lower() for each in installed}
    return [name for name in TRAINING if name in names]


def imports(python: Path, rounds: int) -> tuple[float, float]:
    """Seconds by the clock and of the processor, medians over fresh processes."""
    clocks = "(time.perf_counter(), time.process_time())"
    code = f"import time; a = {clocks}; from fdsearch import Predictor; b = {clocks}; print(b[0] - a[0], b[1] - a[1])"
    found = [[float(each) for each in run(python, "-c", code).split()] for _ in range(rounds + 1)]
    wall, processor = (round(median(each), 3) for each in zip(*found, strict=True))
    return wall, processor


def answers(python: Path, version: Path, picture: Path, name: str, rounds: int) -> dict[str, float]:
    """Medians over fresh processes that each predict one picture in a format."""
    found = [timed(python, "-c", ONE_ANSWER, version, name, picture) for _ in range(rounds)]
    load = median(json.loads(output.splitlines()[-1])["load_s"] for _, _, output in found)
    say(f"{name}: {found[-1]}")
    return {**medians(found), "load_s": round(load, 3)}


def commands(python: Path, version: Path, picture: Path, rounds: int) -> dict[str, float]:
    """The same through ``fdsearch predict``, in the format it chooses."""
    found = [timed(python, "-m", "fdsearch", "predict", version, picture, "--json") for _ in range(rounds)]
    return medians(found)


def medians(found: list[tuple[float, float, str]]) -> dict[str, float]:
    seconds, megabytes, _ = zip(*found, strict=True)
    return {"first_answer_s": round(median(seconds), 3), "memory_mb": round(median(megabytes), 1)}


def timed(*command: str | Path) -> tuple[float, float, str]:
    """Run a program; its wall seconds, its largest resident set in megabytes, and what it printed."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output_file:
        process = subprocess.Popen(list(map(str, command)), stdout=output_file, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output_file.seek(0)
        output = output_file.read()
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"{command[0]} failed: {output}")
    return seconds, usage.ru_maxrss * 1024 / 1e6, output


def windows_wheels(wheel: Path, folder: Path) -> list[str]:
    """The wheels that pip finds for all of `serve` on Windows; it fails where one is missing."""
    say("asking for the wheels of Windows")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    wanted = f"fdsearch[serve] @ {wheel.as_uri()}"
    target = ("--python-version", version, "--dest", folder)
    run(sys.executable, "-m", "pip", "download", "--quiet", "--no-cache-dir", *WINDOWS, *target, wanted)
    return sorted(each.name for each in folder.glob("*.whl"))


def run(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
