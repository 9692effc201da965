"""Views: all pictures of a set, varied once, so that what frozen layers make of them can be kept and shared.

A view is a function of a seed and its number; epoch e trains on view e, or on view e mod K where a configuration asks
for K views. `phases` says which view an epoch reads, `network` computes the outputs of its pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.models.augmentation import N_DRAWS, augment, draw_variations
from fdsearch.training.job import Ints
from fdsearch.training.resident import dtype_there
from fdsearch.trial import TrialConfig


@dataclass(frozen=True)
class View:
    """One view of a set of pictures.

    Parameters
    ----------
    seed, number : int
    strength : float
    policy : str
        See `models.augmentation.augment`.
    n_pictures : int
        Of the whole set.
    """

    seed: int
    number: int
    strength: float
    policy: str
    n_pictures: int

    def identity(self) -> dict[str, Any]:
        """What decides the varied pictures, beside the pictures themselves, as JSON values."""
        return {"seed": self.seed, "view": self.number, "augmentation": self.strength, "policy": self.policy}

    def draws(self) -> NDArray[np.float32]:
        """The numbers that vary each picture, shape (n_pictures, N_DRAWS)."""
        return _draws(self.n_pictures, self.seed, self.number)

    def of(self, array: Any, places: Ints, rows: Ints) -> Any:
        """Varied pictures, with the dtype that pictures have on the device.

        Parameters
        ----------
        array : tensor
            Pictures as `resident.on_device` gives them.
        places : ndarray of int64, shape (b,)
            Where the pictures are in `array`.
        rows : ndarray of int64, shape (b,)
            Which pictures of the set they are.
        """
        return _vary(self.policy, array.shape[1])(array, places, self.draws()[rows], np.float32(self.strength))


def view_of(config: TrialConfig, seed: int, epoch: int, n_pictures: int) -> View:
    """The view that an epoch trains on."""
    number = epoch % config.augmentation_views if config.augmentation_views else epoch
    return View(seed, number, config.augmentation, config.augmentation_policy, n_pictures)


_draws = lru_cache(2)(draw_variations)


@cache
def _vary(policy: str, size: int) -> Callable[..., Any]:
    import tensorflow as tf

    def vary(array: Any, places: Any, draws: Any, strength: Any) -> Any:
        return tf.cast(augment(tf.gather(array, places), draws, strength, policy), dtype_there("uint8"))

    shapes = [
        ((None, size, size, 1), dtype_there("uint8")),
        ((None,), "int64"),
        ((None, N_DRAWS), "float32"),
        ((), "float32"),
    ]
    signature = [tf.TensorSpec(shape, dtype) for shape, dtype in shapes]
    return tf.function(vary, input_signature=signature, autograph=False)  # type: ignore[no-any-return]
