"""Photographs a drawn scene: shift, rotation, light, focus and noise differ from shot to shot.

`synthetic` takes one to three pictures of each part with it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from fdsearch.data.drawing import Floats


def shoot(rng: np.random.Generator, scene: Floats, height: int, width: int, light: float) -> NDArray[np.uint8]:
    """Take one picture.

    Parameters
    ----------
    rng : numpy.random.Generator
        Everything that is particular to the shot comes from it.
    scene : ndarray of float32
        Tones from 0 to 1, with a margin around the part that the picture shows.
    height, width : int
        Pixels of the picture.
    light : float
        Brightness of the lamp, about 1.

    Returns
    -------
    ndarray of uint8, shape (height, width)
    """
    drawing = Image.fromarray(np.round(scene * 255).astype(np.uint8))
    matrix = _view(rng, scene.shape, height, width)
    framed = drawing.transform((width, height), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    focused = framed.filter(ImageFilter.GaussianBlur(rng.uniform(0.0015, 0.008) * min(height, width)))
    return _expose(rng, np.asarray(focused, np.float32) / 255, light)


def _view(
    rng: np.random.Generator, scene: tuple[int, ...], height: int, width: int
) -> tuple[float, float, float, float, float, float]:
    """The affine map from the picture's pixels to the scene's: small shift, rotation and scale about the middle."""
    turn, scale = np.deg2rad(rng.normal(0, 1.5)), rng.uniform(0.97, 1.03)
    cosine, sine = float(np.cos(turn) * scale), float(np.sin(turn) * scale)
    shift = rng.normal(0, 0.012, 2).clip(-0.03, 0.03) * min(height, width)
    x, y = scene[1] / 2 + float(shift[0]), scene[0] / 2 + float(shift[1])
    left = x - cosine * width / 2 - sine * height / 2
    top = y + sine * width / 2 - cosine * height / 2
    return cosine, sine, left, -sine, cosine, top


def _expose(rng: np.random.Generator, tones: Floats, light: float) -> NDArray[np.uint8]:
    """Light falling off to one side, the sensor's curve, and its noise."""
    height, width = tones.shape
    angle, fall = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.25)
    across = np.linspace(-0.5, 0.5, width) * np.cos(angle) + np.linspace(-0.5, 0.5, height)[:, None] * np.sin(angle)
    exposed = np.clip(tones * light * rng.uniform(0.8, 1.15) * (1 + fall * across), 0, 1) ** rng.uniform(0.8, 1.25)
    noisy = exposed * 255 + rng.normal(0, rng.uniform(1.5, 7), tones.shape)
    pixels: NDArray[np.uint8] = np.clip(np.round(noisy), 0, 255).astype(np.uint8)
    return pixels
