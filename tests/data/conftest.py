"""Small data sets on disk for the tests of the data layer."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fdsearch.config import DataSpec
from fdsearch.data.dataset import Dataset
from fdsearch.data.images import PixelStore
from fdsearch.data.load import load_dataset
from fdsearch.errors import DataError, Fault

Rows = Iterable[tuple[str, str]]


def write_picture(path: Path, seed: int | None = None) -> Path:
    """Write a small gray picture whose pixels depend on the seed, by default on the path's name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(path.name.encode()) if seed is None else seed)
    Image.fromarray(rng.integers(0, 256, (9, 12), np.uint8)).save(path)
    return path


@dataclass
class Folder:
    """A data set in the making: write to it, break it, load it."""

    root: Path
    store: PixelStore

    @property
    def manifest(self) -> Path:
        return self.root / "labels.csv"

    def write(self, rows: Rows, *, pictures: bool = True, header: str = "filename,label") -> None:
        """Write a manifest of (filename, rest of the row) and its pictures."""
        rows = list(rows)
        self.manifest.write_text("\n".join([header, *(f"{name},{rest}" for name, rest in rows)]) + "\n")
        if pictures:
            for name, _ in rows:
                write_picture(self.root / name)

    def spec(self, **changes: Any) -> DataSpec:
        values: Mapping[str, Any] = {"manifest": self.manifest, "label": "label", **changes}
        return DataSpec.model_validate(values)

    def load(self, **changes: Any) -> Dataset:
        return load_dataset(self.spec(**changes), self.store)

    def faults(self, **changes: Any) -> tuple[Fault, ...]:
        """The faults of a data set that must be refused with exit code 3."""
        with pytest.raises(DataError) as caught:
            self.load(**changes)
        assert caught.value.exit_code == 3
        return caught.value.faults


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty data set."""
    (tmp_path / "data").mkdir()
    return Folder(tmp_path / "data", PixelStore(tmp_path / "cache"))


@pytest.fixture
def good(folder: Folder) -> Folder:
    """Twelve pictures of two classes, without a fault."""
    folder.write([(f"{label}{index}.png", label) for label in ("Crack", "Free") for index in range(6)])
    return folder


@pytest.fixture
def picture() -> Callable[..., Path]:
    """`write_picture`, for tests that need pictures only."""
    return write_picture
