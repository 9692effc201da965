"""A prepared draft and a registry; no Keras, as the registry never looks into a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fdsearch.registry.draft import Draft
from fdsearch.registry.sealed import Sealed
from fdsearch.registry.store import Registry

LINEAGE = {"study": "tiles", "trial": 7, "digests": {"data": "ab", "space": "cd"}, "seeds": [0, 1]}


def write_draft(folder: Path, content: bytes = b"weights") -> Draft:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.keras").write_bytes(content)
    (folder / "contract.json").write_text(json.dumps({"format": 1}))
    (folder / "card.md").write_text("# Model card\n")
    (folder / "metrics.json").write_text(json.dumps({"headline": {"value": 0.8, "ci": [0.7, 0.9]}}))
    np.savez(folder / "oof.npz", logits=np.zeros((3, 2), np.float32))
    return Draft(folder, LINEAGE)


@pytest.fixture
def make_draft(tmp_path: Path) -> Callable[[bytes], Draft]:
    return lambda content=b"weights": write_draft(tmp_path / "draft", content)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """An empty registry."""
    return Registry(tmp_path / "registry")


@pytest.fixture
def filled(registry: Registry, make_draft: Callable[..., Draft]) -> Registry:
    """A registry whose model ``tiles`` has versions 1 (champion) and 2."""
    registry.register("tiles", make_draft(b"first"), "test")
    registry.register("tiles", make_draft(b"second"), "test")
    registry.promote("tiles", 1, by="kim", reason="first whose gates hold")
    return registry


@pytest.fixture
def answers() -> Sealed:
    """What a version answered on four sealed pictures of two parts."""
    content = np.array([f"{number:064x}" for number in range(4)])
    parts = np.array(["part 0 größer", "part 0 größer", "part 1", "part 1"])
    return Sealed(content, parts, np.arange(4) % 2, np.arange(8, dtype=np.float32).reshape(4, 2), ("crack", "free"))
