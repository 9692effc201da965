"""Random variations of training pictures, as tensor operations that depend on a seed and on nothing else.

The trainer applies them to batches inside its training step (not under XLA: the resampling kernel has no compiled
form). Two policies: ``mild`` is what varies between shots of one part, lighting, noise and placing; ``geometric`` are
the flips, rotations, shears and zooms of the ribbon-bond write-up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

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
}


def augment(pictures: Any, seed: Any, strength: float, policy: str = "mild") -> Any:
    """Vary each picture of a batch on its own.

    Parameters
    ----------
    pictures : tensor of uint8 or float, shape (n, h, w, 1)
        Gray values 0 to 255.
    seed : int or integer scalar tensor
        The same seed gives the same variations; make it a function of the run's seed, the epoch and the batch.
    strength : float
        0 changes nothing, 1 goes to the policy's `Limits`, in proportion between.
    policy : {"mild", "geometric"}

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
    if strength == 0:
        return varied
    draw = _Draws(seed, ops.shape(varied)[0], strength)
    limits = POLICIES[policy]
    varied = _geometry(varied, limits, draw)
    varied = _lighting(varied / 255.0, limits, draw) * 255.0
    return ops.round(ops.clip(varied, 0.0, 255.0))


class _Draws:
    """Random numbers of one batch; each kind of variation has a stream of its own.

    TensorFlow's stateless generator and not `keras.random`, which takes no tensor as its seed: a traced training step
    would repeat one draw for ever.
    """

    def __init__(self, seed: Any, n: Any, strength: float) -> None:
        self._seed, self._n, self._strength = seed, n, strength
        self._stream = 0

    def signed(self, limit: float) -> Any:
        """One number per picture, uniform within plus and minus `limit` times strength; shape (n,)."""
        import tensorflow as tf

        bound = limit * self._strength
        return tf.random.stateless_uniform([self._n], self._next(), -bound, bound)

    def mirrored(self, probability: float) -> Any:
        """-1 with `probability` times strength, else 1; shape (n,)."""
        import tensorflow as tf

        drawn = tf.random.stateless_uniform([self._n], self._next())
        return tf.where(drawn < probability * self._strength, -1.0, 1.0)

    def normal(self, deviation: float, shape: Any) -> Any:
        """Normal numbers of `shape` with standard deviation `deviation` times strength."""
        import tensorflow as tf

        return tf.random.stateless_normal(shape, self._next(), stddev=deviation * self._strength)

    def _next(self) -> Any:
        import tensorflow as tf

        self._stream += 1
        return tf.stack([tf.cast(self._seed, tf.int64), tf.constant(self._stream, tf.int64)])


def _geometry(pictures: Any, limits: Limits, draw: _Draws) -> Any:
    """Rotate, shear, zoom, mirror and shift about the centre in one resampling; edges are reflected."""
    from keras import ops

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
    return varied + draw.normal(limits.noise, ops.shape(varied))
