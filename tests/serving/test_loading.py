"""Digest before content, content before Keras, and the model must fit its contract."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fdsearch.errors import IntegrityError
from fdsearch.registry.version import ModelVersion
from fdsearch.serving.contract import Contract
from fdsearch.serving.loading import load_model


def test_loads_the_model_that_was_sealed(register: Callable[..., ModelVersion], contract: Contract, model: Any) -> None:
    loaded = load_model(register(), contract)
    pictures = np.random.default_rng(1).integers(0, 256, (4, 24, 24, 1), dtype=np.uint8)
    np.testing.assert_array_equal(loaded.predict_on_batch(pictures), model.predict_on_batch(pictures))
    assert not loaded.compiled


def test_a_flipped_byte_is_noticed_before_anything_is_parsed(
    register: Callable[..., ModelVersion], contract: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = register()
    path = version.path / "model.keras"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("the file was opened"))
    with pytest.raises(IntegrityError, match="not as it was registered"):
        load_model(version, contract)


def test_a_lambda_is_not_run(register: Callable[..., ModelVersion], contract: Contract, tmp_path: Path) -> None:
    import keras

    trace = tmp_path / "was_run"
    pictures = keras.Input((24, 24, 1), dtype="uint8")
    harmful = keras.layers.Lambda(lambda x, place=str(trace): [open(place, "w").close(), x][1])(pictures)  # noqa: PTH123
    logits = keras.layers.Dense(3)(keras.layers.Flatten()(keras.layers.Rescaling(1.0)(harmful)))
    keras.Model(pictures, logits).save(tmp_path / "harmful.keras")
    trace.unlink()
    with pytest.raises(IntegrityError, match="Lambda"):
        load_model(register((tmp_path / "harmful.keras").read_bytes()), contract)
    assert not trace.exists()


def test_damaged_weights_exit_5(register: Callable[..., ModelVersion], contract: Contract, model_bytes: bytes) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(model_bytes)) as whole, zipfile.ZipFile(stream, "w") as damaged:
        for name in whole.namelist():
            damaged.writestr(name, b"no weights" if name.endswith(".h5") else whole.read(name))
    with pytest.raises(IntegrityError, match="cannot be read"):
        load_model(register(stream.getvalue()), contract)


@pytest.mark.parametrize(
    "update",
    [
        {"input": {"size": 32, "resize": "pad"}},
        {"classes": ["a", "b"], "calibration": {"temperature": 1, "bias": [0, 0]}},
    ],
)
def test_a_model_that_does_not_fit_its_contract_exits_5(
    register: Callable[..., ModelVersion], contract: Contract, update: dict[str, Any]
) -> None:
    other = Contract.model_validate({**contract.model_dump(), "pass_classes": [], **update})
    with pytest.raises(IntegrityError, match="does not fit its contract"):
        load_model(register(), other)


def link_to_a_file(weights: Any, name: str) -> None:
    weights[name] = h5py.ExternalLink("/etc/hostname", "/")


def link_inside(weights: Any, name: str) -> None:
    weights[name] = h5py.SoftLink("/layers")


def numbers_in_a_file(weights: Any, name: str) -> None:
    weights.create_dataset(name, (4, 3), "f4", external=[("/etc/hostname", 0, 48)])


def virtual(weights: Any, name: str) -> None:
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4, 3))
    weights.create_virtual_dataset(name, layout)


def bomb(weights: Any, name: str) -> None:
    """A terabyte of zeros in no bytes at all (catalogue case 47)."""
    weights.create_dataset(name, (250_000_000_000,), "f4", chunks=(1_000_000,), compression="gzip")


def objects(weights: Any, name: str) -> None:
    weights[name] = [b"text of any length"]


@pytest.mark.parametrize("change", [link_to_a_file, link_inside, numbers_in_a_file, virtual, bomb, objects])
def test_weights_that_are_not_simply_there_are_refused(
    change: Callable[[Any, str], None], register: Callable[..., ModelVersion], contract: Contract, model_bytes: bytes
) -> None:
    names: list[str] = []
    weights = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(model_bytes)) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    weights.write(members["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        file.visit(lambda name: names.append(name) if isinstance(file[name], h5py.Dataset) else None)
        del file[names[0]]
        change(file, names[0])
    members["model.weights.h5"] = weights.getvalue()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as changed:
        for name, content in members.items():
            changed.writestr(name, content)
    with pytest.raises(IntegrityError, match="nothing in it was run"):
        load_model(register(stream.getvalue()), contract)
