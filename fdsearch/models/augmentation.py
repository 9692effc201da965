"""Random variations of training pictures, as tensor operations on numbers drawn beforehand.

A picture's variation is a function of a seed, a view and its row alone, so it does not matter which batch it is in: the
training step varies pictures as they come, or all of a view are varied at once and their frozen layers' outputs kept.
Not under XLA: the resampling kernel has no compiled form. Three policies: ``mild`` is what varies between shots of one
part, lighting, noise and placing; ``geometric`` are the flips, rotations, shears and zooms of the ribbon-bond write-up;
``flips`` are mirror images and exposure, for parts that look the same in any of the four orientations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.errors import ConfigError, Fault, did_you_mean


@dataclass(frozen=True)
class Limits:
    """The largest variation of each kind, at strength 1; drawn uniformly within plus and minus, noise normally.

    Parameters
    ----------
    rotation, shear : float
        Degrees.
    zoom, shift : float
        Shares of the picture's size.
    flip : float
        Probability of a mirror image, of each axis on its own.
    brightness, noise : float
        Shares of the gray range; added. `noise` is a standard deviation.
    contrast : float
        Share by which the distance to the picture's mean gray is stretched or shrunk.
    gamma : float
        Logarithm of the exponent.
    """

    rotation: float = 0.0
    shear: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    flip: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    noise: float = 0.0


POLICIES: dict[str, Limits] = {
    "mild": Limits(rotation=5.0, shift=0.03, brightness=0.1, contrast=0.2, gamma=0.25, noise=0.02),
    "geometric": Limits(rotation=10.0, shear=5.0, zoom=0.05, flip=0.5),
    "flips": Limits(flip=0.5, brightness=0.05, contrast=0.1, gamma=0.35),
}


N_DRAWS = 12
"""Numbers that decide how one picture is varied."""

_NOISE_SIDE = 512
"""The noise of a picture is a piece of one field of this side: new numbers for each would cost more than all else."""


def draw_variations(n: int, seed: int, view: int) -> NDArray[np.float32]:
    """Draw how each picture of a set is varied in one view.

    Parameters
    ----------
    n : int
        Pictures of the set.
    seed, view : int
        The same two give the same numbers; a view is an epoch, as a rule.

    Returns
    -------
    ndarray of float32, shape (n, N_DRAWS), uniform in [0, 1)
    """
    return np.random.default_rng([seed, 2, view]).random((n, N_DRAWS), np.float32)


def augment(pictures: Any, draws: Any, strength: Any, policy: str = "mild") -> Any:
    """Vary each picture on its own.

    Parameters
    ----------
    pictures : tensor of uint8 or float, shape (n, h, w, 1)
        Gray values 0 to 255.
    draws : tensor of float32, shape (n, N_DRAWS)
        Of `draw_variations`.
    strength : float or scalar tensor
        0 changes nothing, 1 goes to the policy's `Limits`, in proportion between.
    policy : {"mild", "geometric", "flips"}

    Returns
    -------
    tensor of float32, shape (n, h, w, 1)
        Whole gray values 0 to 255, as a camera gives them: the model's uint8 input takes them without loss.

    Raises
    ------
    ConfigError
        If the policy is unknown.
    """
    from keras import ops

    if policy not in POLICIES:
        fault = Fault("$.augmentation_policy", repr(policy), "a known policy", did_you_mean(policy, list(POLICIES)))
        raise ConfigError(f"there is no augmentation policy {policy}", [fault])
    varied = ops.cast(pictures, "float32")
    drawn, limits = _Draws(draws, strength), POLICIES[policy]
    varied = _geometry(varied, limits, drawn)
    varied = _lighting(varied / 255.0, limits, drawn) * 255.0
    return ops.round(ops.clip(varied, 0.0, 255.0))


def seen_as(pictures: Any, mirrored: tuple[int, ...], gamma: float) -> Any:
    """Vary all pictures alike.

    Parameters
    ----------
    pictures : tensor of uint8 or float, shape (n, h, w, 1)
        Gray values 0 to 255.
    mirrored : tuple of int
        Axes along which they are mirrored.
    gamma : float
        Exponent of the gray values, taken as 0 to 1.

    Returns
    -------
    tensor of float32, shape (n, h, w, 1)
        Whole gray values, as `augment` gives them.
    """
    from keras import ops

    varied = ops.cast(ops.flip(pictures, mirrored) if mirrored else pictures, "float32")
    return varied if gamma == 1.0 else ops.round((varied / 255.0) ** gamma * 255.0)


class _Draws:
    """Numbers of one batch; each kind of variation takes the next column."""

    def __init__(self, draws: Any, strength: Any) -> None:
        self._draws, self._strength, self._taken = draws, strength, 0

    def uniform(self) -> Any:
        """One number in [0, 1) per picture; shape (n,)."""
        self._taken += 1
        return self._draws[:, self._taken - 1]

    def signed(self, limit: float) -> Any:
        """One number per picture, uniform within plus and minus `limit` times strength; shape (n,)."""
        return (2.0 * self.uniform() - 1.0) * limit * self._strength

    def mirrored(self, probability: float) -> Any:
        """-1 with `probability` times strength, else 1; shape (n,)."""
        from keras import ops

        return ops.where(self.uniform() < probability * self._strength, -1.0, 1.0)

    def noise(self, deviation: float, height: int, width: int) -> Any:
        """Normal numbers with standard deviation `deviation` times strength; shape (n, height, width, 1)."""
        from keras import ops

        below, right = (ops.cast(self.uniform() * _NOISE_SIDE, "int32") for _ in range(2))
        rows = (below[:, None] + ops.arange(height)) % _NOISE_SIDE
        columns = (right[:, None] + ops.arange(width)) % _NOISE_SIDE
        places = rows[:, :, None] * _NOISE_SIDE + columns[:, None, :]
        return ops.take(_noise_field(), places)[..., None] * (deviation * self._strength)


@cache
def _noise_field() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(_NOISE_SIDE**2, np.float32)


def _geometry(pictures: Any, limits: Limits, draw: _Draws) -> Any:
    """Rotate, shear, zoom, mirror and shift about the centre in one resampling; edges are reflected."""
    from keras import ops

    if not (limits.rotation or limits.shear or limits.zoom or limits.shift):
        return _mirrored(pictures, limits, draw)
    height, width = pictures.shape[1], pictures.shape[2]
    angle, slant = (draw.signed(math.radians(degrees)) for degrees in (limits.rotation, limits.shear))
    zoom = 1.0 + draw.signed(limits.zoom)
    across, down = draw.mirrored(limits.flip), draw.mirrored(limits.flip)
    right, below = draw.signed(limits.shift * width), draw.signed(limits.shift * height)
    # From a place in the new picture to the place in the old one that its gray value comes from:
    # rotation times shear times zoom and mirror, about the centre, then the shift.
    tangent = ops.tan(slant)
    xx, xy = ops.cos(angle), ops.cos(angle) * tangent - ops.sin(angle)
    yx, yy = ops.sin(angle), ops.sin(angle) * tangent + ops.cos(angle)
    xx, yx = xx * zoom * across, yx * zoom * across
    xy, yy = xy * zoom * down, yy * zoom * down
    x, y = (width - 1) / 2, (height - 1) / 2
    zero = ops.zeros_like(zoom)
    rows = [xx, xy, x - xx * x - xy * y + right, yx, yy, y - yx * x - yy * y + below, zero, zero]
    transforms = ops.stack(rows, axis=1)
    return ops.image.affine_transform(pictures, transforms, interpolation="bilinear", fill_mode="reflect")


def _mirrored(pictures: Any, limits: Limits, draw: _Draws) -> Any:
    """Mirror alone, which needs no resampling."""
    from keras import ops

    for axis in (2, 1):
        turned = ops.reshape(draw.mirrored(limits.flip) < 0, (-1, 1, 1, 1))
        pictures = ops.where(turned, ops.flip(pictures, axis), pictures)
    return pictures


def _lighting(pictures: Any, limits: Limits, draw: _Draws) -> Any:
    """Change gamma, contrast and brightness of gray values 0 to 1, and add noise."""
    from keras import ops

    if not (limits.gamma or limits.contrast or limits.brightness or limits.noise):
        return pictures

    def each(numbers: Any) -> Any:
        return ops.reshape(numbers, (-1, 1, 1, 1))

    # Resampling may leave values a rounding error below 0, whose power is not a number.
    varied = ops.clip(pictures, 0.0, 1.0) ** each(ops.exp(draw.signed(limits.gamma)))
    mean = ops.mean(varied, axis=(1, 2, 3), keepdims=True)
    varied = mean + (varied - mean) * each(1.0 + draw.signed(limits.contrast))
    varied = varied + each(draw.signed(limits.brightness))
    return varied + draw.noise(limits.noise, varied.shape[1], varied.shape[2]) if limits.noise else varied
