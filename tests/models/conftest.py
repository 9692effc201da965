"""Models shared by the tests of this folder: each architecture is built once, small and with random weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fdsearch.models.architectures import FACTS
from fdsearch.models.builders import BUILDERS, build_model
from fdsearch.models.losses import LOSSES
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    import keras


def _smallest(name: str, **params: Any) -> TrialConfig:
    return TrialConfig.from_params(
        {"backbone": name, "image_size": FACTS[name].minimum_size, "weights": "random", **params}
    )


@pytest.fixture(scope="session")
def smallest() -> Callable[..., TrialConfig]:
    """Makes the configuration of an architecture at its smallest size, with random weights."""
    return _smallest


@pytest.fixture(scope="session")
def built() -> Callable[[str], keras.Model]:
    """Builds an architecture for six classes at its smallest size; always the same model: leave its weights alone."""
    return cache(lambda name: build_model(_smallest(name), 6))


@pytest.fixture(scope="session")
def pictures_for() -> Callable[[keras.Model], NDArray[np.uint8]]:
    """Three random pictures of a model's size."""

    def draw(model: keras.Model) -> NDArray[np.uint8]:
        shape = (3, *model.inputs[0].shape[1:])
        return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    return draw


@pytest.fixture
def clean_tables():
    """Takes back what a test registers."""
    before = [(table, dict(table)) for table in (BUILDERS, LOSSES)]
    yield
    for table, entries in before:
        table.clear()
        table.update(entries)
