"""What predicts runs where POSIX is absent: the program itself, without all that Windows lacks.

`tests/test_architecture.py` searches the code for such calls; here the command runs in a process from which they were
taken. What only a real Windows shows (its files' locks and its path names) is not tested.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from test_architecture import POSIX_MODULES, POSIX_NAMES

from fdsearch.registry.version import ModelVersion

WITHOUT_POSIX = f"""
import importlib, subprocess, sys, tempfile
import ai_edge_litert.interpreter, numpy, onnxruntime, PIL.Image, pydantic, rich.console, typer  # they may ask Linux
for module, names in {POSIX_NAMES!r}.items():
    module = importlib.import_module(module)
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
for module in {sorted(POSIX_MODULES)!r}:
    sys.modules[module] = None
from fdsearch.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize("arguments", [["model.onnx", "onnx"], ["model.tflite", "litert"]], ids=lambda words: words[1])
def test_predict_runs_without_posix(
    arguments: list[str],
    register: Callable[..., ModelVersion],
    exported: dict[str, bytes],
    pictures: list[Path],
    tmp_path: Path,
) -> None:
    file, name = arguments
    exports = {name: {"file": file, "passes": True}}
    measured = {"machine": "", "cores": 1, "versions": {}}
    listed = {"format": 1, "golden": {"n": 0}, "measured_on": measured, "exports": exports}
    version = register(files={file: exported[name], "exports.json": json.dumps(listed).encode()})
    (tmp_path / "lot.csv").write_text("filename,tile\n" + "".join(f"{path.name},7\n" for path in pictures))
    command = ["predict", str(version.path), str(tmp_path / "lot.csv"), "--group", "tile", "--json"]
    output = ["--output", str(tmp_path / "told.csv")]
    answer = subprocess.run([sys.executable, "-c", WITHOUT_POSIX, *command, *output], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    document = json.loads(answer.stdout)
    assert document["format"] == name
    assert [Path(each["filename"]).name for each in document["predictions"]] == [path.name for path in pictures]
    assert len((tmp_path / "told.csv").read_text().splitlines()) == 6


def test_the_registry_is_verified_without_posix(register: Callable[..., ModelVersion], tmp_path: Path) -> None:
    register()
    command = ["registry", "verify", "tiles", "--root", str(tmp_path)]
    answer = subprocess.run([sys.executable, "-c", WITHOUT_POSIX, *command], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
