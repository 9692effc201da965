"""The exports answer as the model does, through the runtimes that ship; and the right one is taken."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving.conftest import SIZE

from fdsearch.errors import ConfigError, IntegrityError, ResourceError
from fdsearch.registry.version import ModelVersion
from fdsearch.serving import formats
from fdsearch.serving.contract import Contract
from fdsearch.serving.formats import FILES, KERAS, LITERT, LITERT_FLOAT16, ONNX, choose
from fdsearch.serving.predictor import Predictor
from fdsearch.serving.runtimes import open_runtime, runtime_from_bytes

EXPORTED = [ONNX, LITERT, LITERT_FLOAT16]
TOLERANCE = {ONNX: 1e-5, LITERT: 1e-5, LITERT_FLOAT16: 1e-2}


def listed(*rows: tuple[str, bool, float | None]) -> bytes:
    """An ``exports.json`` with the rows (format, whether it passes, milliseconds)."""
    exports = {
        name: {"file": FILES[name], "passes": passes, "why": None if passes else "too far off", "batch_1_ms": speed}
        for name, passes, speed in rows
    }
    measured = {"machine": "a box", "cores": 2, "versions": {}}
    return json.dumps({"format": 1, "golden": {"n": 32}, "measured_on": measured, "exports": exports}).encode()


@pytest.fixture
def version(register: Callable[..., ModelVersion], exported: dict[str, bytes]) -> ModelVersion:
    """A version with all the exports; LiteRT was the fastest, and its float16 file too far off."""
    rows = [(KERAS, True, 9.0), (ONNX, True, 2.0), (LITERT, True, 1.0), (LITERT_FLOAT16, False, 0.5)]
    files = {FILES[name]: content for name, content in exported.items()}
    return register(files={**files, "exports.json": listed(*rows)})


@pytest.mark.parametrize("format", EXPORTED)
def test_an_export_answers_as_the_model(
    format: str, exported: dict[str, bytes], model_bytes: bytes, contract: Contract
) -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (5, SIZE, SIZE, 1), dtype=np.uint8)
    expected = runtime_from_bytes(KERAS, model_bytes, contract, "model").run(pictures)
    runtime = runtime_from_bytes(format, exported[format], contract, "export")
    answer = runtime.run(pictures)
    assert runtime.format == format
    assert answer.logits.dtype == answer.probabilities.dtype == np.float32
    assert answer.logits.shape == answer.probabilities.shape == (5, 3)
    np.testing.assert_allclose(answer.logits, expected.logits, rtol=0, atol=TOLERANCE[format])
    np.testing.assert_allclose(answer.probabilities, expected.probabilities, rtol=0, atol=TOLERANCE[format])
    alone = [runtime.run(picture[np.newaxis]).probabilities[0] for picture in pictures]
    np.testing.assert_allclose(alone, answer.probabilities, rtol=0, atol=1e-6)


@pytest.mark.parametrize("format", EXPORTED)
def test_threads_may_share_a_runtime(format: str, exported: dict[str, bytes], contract: Contract) -> None:
    runtime = runtime_from_bytes(format, exported[format], contract, "export")
    pictures = np.random.default_rng(2).integers(0, 256, (6, 4, SIZE, SIZE, 1), dtype=np.uint8)
    expected = [runtime.run(batch).logits for batch in pictures]
    found: dict[int, Any] = {}

    def work(number: int) -> None:
        found[number] = [runtime.run(pictures[number]).logits for _ in range(20)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(pictures))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, answers in found.items():
        for answer in answers:
            np.testing.assert_allclose(answer, expected[number], rtol=0, atol=1e-6)


def test_the_fastest_that_agrees_is_taken(version: ModelVersion, pictures: list[Path]) -> None:
    predictor = Predictor.load(version.path)
    assert predictor.runtime.format == LITERT
    judged = Predictor.load(version.path, format=KERAS).predict(pictures)
    for one, other in zip(predictor.predict(pictures), judged, strict=True):
        assert (one.filename, one.label, one.decision) == (other.filename, other.label, other.decision)


def test_float16_is_taken_where_nothing_else_can_be(
    register: Callable[..., ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = listed((LITERT_FLOAT16, True, 0.5), (ONNX, True, 2.0), (LITERT, False, 0.1), (KERAS, True, None))
    exported = {formats.FILES[name]: b"exported" for name in (LITERT_FLOAT16, ONNX, LITERT)}
    version = register(files={"exports.json": listing, **exported})
    assert choose(version) == ONNX
    assert choose(version, LITERT_FLOAT16) == LITERT_FLOAT16
    monkeypatch.setattr(formats, "installed", lambda name: name == LITERT_FLOAT16)
    assert choose(version) == LITERT_FLOAT16


def test_only_what_is_installed_is_taken(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "installed", lambda name: name == KERAS)
    assert choose(version) == KERAS
    monkeypatch.setattr(formats, "installed", lambda name: False)
    with pytest.raises(ResourceError, match="nothing that is installed") as caught:
        choose(version)
    assert {fault.fix for fault in caught.value.faults} == {
        "pip install 'fdsearch[serve]'",
        "pip install 'fdsearch[train]'",
    }


def test_a_version_without_exports_is_run_by_keras(register: Callable[..., ModelVersion], contract: Contract) -> None:
    version = register()
    assert open_runtime(version, contract).format == KERAS
    with pytest.raises(ConfigError, match="registered without exports"):
        open_runtime(version, contract, ONNX)


def test_an_export_that_was_too_far_off_is_refused(version: ModelVersion, contract: Contract) -> None:
    with pytest.raises(ConfigError, match="too far off"):
        open_runtime(version, contract, LITERT_FLOAT16)


def test_a_list_of_exports_that_is_too_large_is_not_read(register: Callable[..., ModelVersion]) -> None:
    version = register(files={"exports.json": listed((KERAS, True, 1.0)) + b" " * 1_000_000})
    with pytest.raises(IntegrityError, match="too large"):
        choose(version)


@pytest.mark.parametrize("name", ["model.keras", "contract.json"])
def test_exports_of_another_model_are_not_run(
    name: str, register: Callable[..., ModelVersion], exported: dict[str, bytes]
) -> None:
    listing = json.loads(listed((ONNX, True, 1.0)))
    files = {"model.onnx": exported[ONNX]}
    digest = register().manifest.files[name].sha256
    for made_of, sound in ((digest, True), ("0" * 64, False)):
        listing["made_of"] = {name: made_of}
        version = register(files={**files, "exports.json": json.dumps(listing).encode()})
        if sound:
            assert choose(version) == ONNX
        else:
            with pytest.raises(IntegrityError, match="not those of this version"):
                choose(version)


def test_an_unknown_format_is_a_mistake(version: ModelVersion) -> None:
    with pytest.raises(ConfigError, match="did you mean litert"):
        choose(version, "liter")


@pytest.mark.parametrize("name", ["model.onnx", "model.tflite", "exports.json", "contract.json", "manifest.json"])
def test_every_changed_byte_of_what_is_read_is_noticed(version: ModelVersion, name: str) -> None:
    reader = {"model.onnx": ONNX, "model.tflite": LITERT}.get(name)
    path = version.path / name
    sound = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(sound), 40):
        changed = bytearray(sound)
        changed[place] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        with pytest.raises(IntegrityError):
            Predictor.load("tiles:1", version.path.parents[2], format=reader)
    path.write_bytes(sound)
    assert Predictor.load("tiles:1", version.path.parents[2], format=reader).version == version


@pytest.mark.parametrize("format", EXPORTED)
def test_an_export_that_does_not_fit_its_contract_exits_5(
    format: str, exported: dict[str, bytes], contract: Contract
) -> None:
    calibration = {"temperature": 1, "bias": [0, 0]}
    for update in (
        {"input": {"size": 32, "resize": "pad"}},
        {"classes": ["a", "free"], "calibration": calibration},
    ):
        other = Contract.model_validate({**contract.model_dump(), **update})
        with pytest.raises(IntegrityError, match="does not fit its contract"):
            runtime_from_bytes(format, exported[format], other, "export")


@pytest.mark.parametrize("format", [ONNX, LITERT])
def test_four_copied_files_predict_without_the_training_packages(
    format: str, version: ModelVersion, pictures: list[Path], tmp_path: Path
) -> None:
    copied = tmp_path / "copied"
    copied.mkdir()
    for name in ("manifest.json", "contract.json", "exports.json", FILES[format]):
        shutil.copyfile(version.path / name, copied / name)
    code = (
        "import sys; from fdsearch import Predictor;"
        f"answers = Predictor.load(sys.argv[1], format={format!r}).predict(sys.argv[2:]);"
        "assert len(answers) == 5;"
        "print(*sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(copied), *map(str, pictures)], capture_output=True, text=True, check=True
    )
    loaded = set(answer.stdout.split())
    assert loaded.isdisjoint({"tensorflow", "keras", "optuna", "h5py", "onnx", "tf2onnx", "pandas", "sklearn"})
    assert answer.stderr == ""
