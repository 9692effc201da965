"""The small set, written once per module, and one finished run of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode leaves helpers of a folder unimportable

from small_set import PARTS, study, write_set

from fdsearch import pipeline
from fdsearch.study_reader import parse_study


@dataclass(frozen=True)
class Finished:
    """A run as it was left; whoever changes anything works on a copy."""

    pictures: Path
    root: Path
    document: dict[str, Any]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``labels.csv`` and its pictures."""
    folder = tmp_path_factory.mktemp("set")
    write_set(folder, PARTS)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The study of the small set, run once for all modules."""
    pictures, root = tmp_path_factory.mktemp("set"), tmp_path_factory.mktemp("root")
    write_set(pictures, PARTS)
    return Finished(pictures, root, pipeline.run(parse_study(study(pictures), "tiles", pictures), root))
