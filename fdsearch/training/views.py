"""Views: all pictures of a set, varied once, so that what frozen layers make of them can be kept and shared.

A `View` is a function of a seed and its number; epoch e trains on view e, or on view e mod K where a configuration asks
for K views. A `FixedView` depends on nothing: a probe is fitted on the first K of them, and a model answers with the
mean over the first ones, the mirror images. `feeds` says who reads which view, `network` computes the outputs of its
pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.models.augmentation import N_DRAWS, augment, draw_variations, seen_as
from fdsearch.models.mirrored import MIRRORS
from fdsearch.training.job import Ints
from fdsearch.training.resident import dtype_there
from fdsearch.trial import TrialConfig

GAMMAS = (1.0, 0.7, 1.4, 0.5, 2.0, 0.85, 1.2, 1.7)
"""Exponents of the gray values of fixed views, in the order in which more of them come."""


@dataclass(frozen=True)
class View:
    """One random view of a set of pictures.

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


@dataclass(frozen=True)
class FixedView:
    """A view that varies all pictures alike, in any set and under any seed.

    Parameters
    ----------
    mirrored : tuple of int
        Axes, of pictures (n, h, w, 1), along which they are mirrored.
    gamma : float
        Exponent of the gray values.
    """

    mirrored: tuple[int, ...] = ()
    gamma: float = 1.0

    @property
    def changes(self) -> bool:
        """Whether it is another one than the pictures themselves."""
        return self != FixedView()

    def identity(self) -> dict[str, Any]:
        """As `View.identity`."""
        return {"mirrored": list(self.mirrored), "gamma": self.gamma}

    def of(self, array: Any, places: Ints, rows: Ints) -> Any:
        """As `View.of`."""
        return _see(self.mirrored, self.gamma, array.shape[1])(array, places)

    def of_pictures(self, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pictures (n, h, w, 1) in memory or on the disk, mirrored without a copy; of views without a gamma."""
        return np.flip(pictures, self.mirrored)


AnyView = View | FixedView


def fixed_views(n: int) -> tuple[FixedView, ...]:
    """The first so many fixed views: the pictures themselves, their mirror images, and these again in other light.

    Examples
    --------
    >>> [view.mirrored for view in fixed_views(4)], [view.gamma for view in fixed_views(9)[::4]]
    ([(), (2,), (1,), (1, 2)], [1.0, 0.7, 1.4])
    """
    orders = (divmod(number, len(MIRRORS)) for number in range(n))
    return tuple(FixedView(MIRRORS[mirror], GAMMAS[light]) for light, mirror in orders)


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


@cache
def _see(mirrored: tuple[int, ...], gamma: float, size: int) -> Callable[..., Any]:
    import tensorflow as tf

    def see(array: Any, places: Any) -> Any:
        return tf.cast(seen_as(tf.gather(array, places), mirrored, gamma), dtype_there("uint8"))

    signature = [tf.TensorSpec((None, size, size, 1), dtype_there("uint8")), tf.TensorSpec((None,), "int64")]
    return tf.function(see, input_signature=signature, autograph=False)  # type: ignore[no-any-return]
