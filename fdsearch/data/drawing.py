"""Gray pictures painted in numpy: coordinates, soft-edged shapes, textures.

Lengths are shares of the picture's smaller side, tones run from 0 (black) to 1 (white), angles are degrees. Shapes are
anti-aliased signed distances: no drawing library gives soft shadows, textures and exact sub-pixel geometry in one pass.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Floats = NDArray[np.floating[Any]]

MARGIN = 0.12
"""What a drawing extends beyond each border, so that a shifted or turned picture has no empty corners."""


class Canvas:
    """A gray picture with coordinates, origin in its middle.

    Parameters
    ----------
    height, width : int
        Pixels, without the margin.
    """

    def __init__(self, height: int, width: int) -> None:
        self.unit = min(height, width)
        border = round(MARGIN * self.unit)
        rows, columns = (np.arange(side + 2 * border) - (side + 2 * border - 1) / 2 for side in (height, width))
        self.x = (columns[None, :] / self.unit).astype(np.float32)
        self.y = (rows[:, None] / self.unit).astype(np.float32)
        self.tone: Floats = np.zeros((len(rows), len(columns)), np.float32)

    def along(self, centre: tuple[float, float], angle: float) -> tuple[Floats, Floats]:
        """Coordinates along and across a direction, relative to a centre."""
        turn = np.deg2rad(np.float32(angle))
        x, y = self.x - np.float32(centre[0]), self.y - np.float32(centre[1])
        return x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)

    def paint(self, distance: Floats, tone: Floats | float, *, soft: float = 0.0, opacity: float = 1.0) -> None:
        """Blend a tone in where a signed distance is negative; `soft` is the width of the edge."""
        edge = np.float32(max(soft, 1 / self.unit))
        cover = opacity * np.clip(0.5 - distance / edge, 0, 1)
        self.tone += cover * (tone - self.tone)

    def cloud(self, rng: np.random.Generator, cell: float) -> Floats:
        """Smooth noise in -1 to 1 whose grains are `cell` wide."""
        grid = [max(2, round(side / (cell * self.unit))) for side in self.tone.shape]
        coarse = Image.fromarray(rng.uniform(-1, 1, grid).astype(np.float32))
        size = (self.tone.shape[1], self.tone.shape[0])
        return np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), np.float32)


def rounded_box(u: Floats, v: Floats, half_length: float, half_width: float, radius: float) -> Floats:
    """Signed distance to a rounded rectangle, negative inside."""
    du, dv = np.abs(u) - (half_length - radius), np.abs(v) - (half_width - radius)
    outside = np.hypot(np.maximum(du, 0), np.maximum(dv, 0))
    distance: Floats = outside + np.minimum(np.maximum(du, dv), 0) - radius
    return distance


def window(u: Floats, half: float, soft: float) -> Floats:
    """1 near the middle, 0 beyond `half`, smooth over `soft`."""
    step = np.clip((half - np.abs(u)) / soft + 0.5, 0, 1)
    smooth: Floats = step * step * (3 - 2 * step)
    return smooth


def defocused(tones: Floats, radius: float) -> Floats:
    """A scene as a lens out of focus sees it; tones from 0 to 1, the radius in pixels."""
    drawing = Image.fromarray(np.round(tones * 255).astype(np.uint8))
    blurred: Floats = np.asarray(drawing.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255
    return blurred
