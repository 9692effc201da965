"""The small set, written once per module."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode leaves helpers of a folder unimportable

from small_set import PARTS, write_set


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``labels.csv`` and its pictures."""
    folder = tmp_path_factory.mktemp("set")
    write_set(folder, PARTS)
    return folder
