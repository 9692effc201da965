"""Hostile ``.keras`` files are refused before Keras sees them."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import pytest

from fdsearch.errors import IntegrityError
from fdsearch.serving.archive import check_archive

LAMBDA = {
    "module": "keras.layers",
    "class_name": "Lambda",
    "config": {"function": {"class_name": "__lambda__", "config": {"value": "4wEA"}}},
    "registered_name": None,
}


def rewritten(
    content: bytes, change: Callable[[dict[str, bytes]], object], compression: int = zipfile.ZIP_STORED
) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def with_config(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, bytes]], None]:
    def apply(members: dict[str, bytes]) -> None:
        config = json.loads(members["config.json"])
        change(config)
        members["config.json"] = json.dumps(config).encode()

    return apply


def layer(config: dict[str, Any], index: int) -> dict[str, Any]:
    found: dict[str, Any] = config["config"]["layers"][index]
    return found


HOSTILE: dict[str, Callable[[dict[str, bytes]], object]] = {
    "Lambda": with_config(lambda config: config["config"]["layers"].append(LAMBDA)),
    "a lambda as initializer": with_config(lambda config: layer(config, 2)["config"].update(kernel_initializer=LAMBDA)),
    "a nested lambda": with_config(lambda config: layer(config, 2)["config"].update(extra=[{"deep": LAMBDA}])),
    "TFSMLayer": with_config(lambda config: layer(config, 2).update(class_name="TFSMLayer")),
    "TorchModuleWrapper": with_config(lambda config: layer(config, 2).update(class_name="TorchModuleWrapper")),
    "any module's function": with_config(
        lambda config: layer(config, 2)["config"].update(
            activation={"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
        )
    ),
    "another module": with_config(lambda config: layer(config, 2).update(module="subprocess", class_name="Popen")),
    "a legacy layer without module": with_config(lambda config: layer(config, 2).pop("module")),
    "a registered name that hides another class": with_config(
        lambda config: layer(config, 2).update(registered_name="evil>Conv2D")
    ),
    "a vocabulary file": with_config(lambda config: layer(config, 2).update(class_name="StringLookup")),
    "a class name that is no text": with_config(lambda config: layer(config, 2).update(class_name={"a": 1})),
    "a compiled part": with_config(lambda config: layer(config, 2).update(compile_config={"loss": "mse"})),
    "no model": lambda members: members.update({"config.json": b'{"layers": []}'}),
    "a list": lambda members: members.update({"config.json": b"[]"}),
    "no JSON": lambda members: members.update({"config.json": b"{"}),
    "deep JSON": lambda members: members.update({"config.json": b"[" * 200_000}),
    "an asset": lambda members: members.update({"assets/vocabulary.txt": b"x"}),
    "a path that climbs": lambda members: members.update({"../../evil.py": b"x"}),
    "no weights": lambda members: members.pop("model.weights.h5"),
    "large metadata": lambda members: members.update({"metadata.json": b" " * 200_000}),
}


def test_an_honest_model_passes(model_bytes: bytes) -> None:
    check_archive(model_bytes, "model.keras")


def test_a_compiled_model_passes(model: Any, tmp_path: Any) -> None:
    """`loading` does not compile, so the outermost compile_config is never read."""
    import keras

    compiled = keras.models.clone_model(model)
    compiled.compile("adam", "sparse_categorical_crossentropy")
    compiled.save(tmp_path / "model.keras")
    check_archive((tmp_path / "model.keras").read_bytes(), "model.keras")


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_content_exits_5(model_bytes: bytes, kind: str) -> None:
    with pytest.raises(IntegrityError, match="nothing in it was run") as caught:
        check_archive(rewritten(model_bytes, HOSTILE[kind]), "model.keras")
    assert caught.value.exit_code == 5


def test_every_foreign_class_is_listed(model_bytes: bytes) -> None:
    def spoil(config: dict[str, Any]) -> None:
        layer(config, 1).update(class_name="Lambda")
        layer(config, 2).update(class_name="TFSMLayer")

    with pytest.raises(IntegrityError) as caught:
        check_archive(rewritten(model_bytes, with_config(spoil)), "model.keras")
    assert {fault.got.split()[0] for fault in caught.value.faults} == {"keras.layers.Lambda", "keras.layers.TFSMLayer"}


def test_a_compression_bomb_is_refused_unread(model_bytes: bytes) -> None:
    bomb = rewritten(
        model_bytes, lambda members: members.update({"model.weights.h5": bytes(50_000_000)}), zipfile.ZIP_DEFLATED
    )
    assert len(bomb) < 1_000_000
    with pytest.raises(IntegrityError, match="compressed"):
        check_archive(bomb, "model.keras")


def test_overlapping_members_are_refused(model_bytes: bytes) -> None:
    """Let the directory point two members at the same bytes, as bombs do that need no nesting."""
    content = bytearray(model_bytes)
    entries = [at for at in range(len(content)) if content[at : at + 4] == b"PK\x01\x02"]
    first_offset = struct.unpack_from("<I", content, entries[0] + 42)[0]
    struct.pack_into("<I", content, entries[1] + 42, first_offset)
    with pytest.raises(IntegrityError, match="overlaps"):
        check_archive(bytes(content), "model.keras")


@pytest.mark.parametrize("content", [b"", b"PK", b"\x89HDF\r\n\x1a\n" + bytes(100), b"\x80\x04K\x01."])
def test_no_zip_at_all_exits_5(content: bytes) -> None:
    with pytest.raises(IntegrityError):
        check_archive(content, "model.keras")
