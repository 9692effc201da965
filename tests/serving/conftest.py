"""One small real model, sealed in a real registry; built once, as importing TensorFlow takes seconds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fdsearch.registry.draft import Draft
from fdsearch.registry.store import Registry
from fdsearch.registry.version import ModelVersion
from fdsearch.serving.contract import Contract

SIZE = 24
CLASSES = ["bent", "crack", "free"]


def small_model(n_classes: int = 3) -> Any:
    import keras

    keras.utils.set_random_seed(3)
    pictures = keras.Input((SIZE, SIZE, 1), dtype="uint8", name="pictures")
    x = keras.layers.Rescaling(1 / 255.0, name="preprocessing")(pictures)
    x = keras.layers.Conv2D(4, 3, activation="relu")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    logits = keras.layers.Dense(n_classes, kernel_initializer="he_normal", name="logits")(x)
    return keras.Model(pictures, logits)


@pytest.fixture(scope="package")
def model() -> Any:
    return small_model()


@pytest.fixture(scope="package")
def model_bytes(model: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("model") / "model.keras"
    model.save(path)
    return path.read_bytes()


TEMPERATURE, BIAS = 1.5, [-0.5, 0.0, 0.5]


@pytest.fixture(scope="package")
def exported(model: Any) -> dict[str, bytes]:
    """The model's exports by format, with the calibration of `contract`."""
    from fdsearch.models.conversion import Calibrated, to_litert, to_onnx

    graph = Calibrated(model, TEMPERATURE, BIAS)
    return {
        "onnx": to_onnx(graph),
        "litert": to_litert(graph),
        "litert_float16": to_litert(graph, float16=True),
    }


@pytest.fixture
def contract() -> Contract:
    return Contract.model_validate(
        {
            "input": {"size": SIZE, "resize": "pad"},
            "classes": CLASSES,
            "pass_classes": ["free"],
            "calibration": {"temperature": TEMPERATURE, "bias": BIAS},
            "decision": {"pass_threshold": 0.6, "unit": "group", "n_defective": 30},
        }
    )


@pytest.fixture
def register(tmp_path: Path, contract: Contract, model_bytes: bytes) -> Callable[..., ModelVersion]:
    """Registers model bytes under a contract, with further files, as ``tiles`` in ``tmp_path/registry``."""

    def register(
        content: bytes = model_bytes, contract: Contract = contract, files: Mapping[str, bytes] | None = None
    ) -> ModelVersion:
        folder = tmp_path / "draft"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, more in (files or {}).items():
            (folder / name).write_bytes(more)
        (folder / "model.keras").write_bytes(content)
        contract.write(folder / "contract.json")
        (folder / "card.md").write_text("# Model card\n")
        (folder / "metrics.json").write_text(json.dumps({}))
        np.savez(folder / "oof.npz", logits=np.zeros((1, 3), np.float32))
        return Registry(tmp_path / "registry").register("tiles", Draft(folder), "test")

    return register


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Five gray pictures of different sizes."""
    rng = np.random.default_rng(0)
    paths = []
    for index in range(5):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(rng.integers(0, 256, (20 + 7 * index, 40), dtype=np.uint8)).save(paths[-1])
    return paths
