"""Parts of known identity and pictures of them that were changed in known ways, for the tests and the benchmark.

`textured` draws parts that share nothing, `look_alike` parts that share a layout and differ in their surface and a few
marks, `bonds` those that fdsearch generates. `rephotograph` takes another picture of one.
"""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from fdsearch.data.drawing import MARGIN
from fdsearch.data.ribbon_bonds import draw_part
from fdsearch.data.ribbon_layout import CLASSES, LAYOUTS

Gray = NDArray[np.uint8]

SIDE = 160
"""Pixels of a generated part, as large as `glance` makes its copies."""

LAYOUT_SEED = 12_345

BOND_SIDE = 240
"""Pixels of a ribbon bond."""


@dataclass(frozen=True)
class Change:
    """How a second picture differs from the first.

    Parameters
    ----------
    right, down : float
        Pixels by which the part has moved.
    turn : float
        Degrees.
    scale : float
    gamma, gain : float
    blur, noise : float
        Deviation in pixels, and in gray levels.
    quality : int or None
        Of JPEG.
    crop : float
        Share of width and height that is cut away at the right and at the bottom.
    """

    right: float = 0.0
    down: float = 0.0
    turn: float = 0.0
    scale: float = 1.0
    gamma: float = 1.0
    gain: float = 1.0
    blur: float = 0.0
    noise: float = 0.0
    quality: int | None = None
    crop: float = 0.0

    def matrix(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """The map from x, y of the first picture to x, y of the second, shape (2, 3)."""
        turn = np.deg2rad(self.turn)
        linear = self.scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        middle = np.array([shape[1] - 1, shape[0] - 1]) / 2
        offset = middle + np.array([self.right, self.down]) - linear @ middle
        return np.concatenate([linear, offset[:, None]], axis=1)


EACH = {
    "shift": Change(right=4, down=-3),
    "turn": Change(turn=5),
    "scale": Change(scale=0.95),
    "crop": Change(crop=0.10),
    "darker": Change(gamma=1.7),
    "brighter": Change(gamma=0.6),
    "blur": Change(blur=1.2),
    "noise": Change(noise=8),
    "jpeg": Change(quality=40),
}
"""One change at a time."""


def drawn(rng: np.random.Generator) -> Change:
    """All changes together, each by chance."""
    return Change(
        right=float(rng.normal(0, 2.5)),
        down=float(rng.normal(0, 2.5)),
        turn=float(rng.normal(0, 1.5)),
        scale=float(rng.uniform(0.97, 1.03)),
        gamma=float(rng.uniform(0.6, 1.7)),
        blur=float(rng.uniform(0, 1.2)),
        noise=float(rng.uniform(0, 8)),
        quality=int(rng.integers(40, 96)) if rng.random() < 0.5 else None,
        crop=0.10 if rng.random() < 0.2 else 0.0,
    )


def rephotograph(picture: Gray, change: Change, seed: int = 0) -> Gray:
    """Photograph a part again."""
    rng = np.random.default_rng(seed)
    height, width = picture.shape
    back = np.linalg.inv(np.concatenate([change.matrix(picture.shape), [[0, 0, 1]]]))[:2]
    # Pillow counts from the corner of the first pixel, we from its middle.
    back[:, 2] += 0.5 - 0.5 * back[:, :2].sum(axis=1)
    image = Image.fromarray(picture)
    fill = int(picture.mean())
    options: dict[str, Any] = {"resample": Image.Resampling.BICUBIC, "fillcolor": fill}
    moved = image.transform((width, height), Image.Transform.AFFINE, tuple(back.ravel()), **options)
    soft = moved.filter(ImageFilter.GaussianBlur(change.blur)) if change.blur else moved
    tones = 255 * (np.asarray(soft, np.float64) * change.gain / 255).clip(0, 1) ** change.gamma
    noisy = tones + rng.normal(0, change.noise, tones.shape)
    pixels: Gray = np.clip(np.round(noisy), 0, 255).astype(np.uint8)
    pixels = pixels[: round(height * (1 - change.crop)), : round(width * (1 - change.crop))]
    return pixels if change.quality is None else _through_jpeg(pixels, change.quality)


def textured(seed: int, side: int = SIDE) -> Gray:
    """A part with marks of all sizes at places of its own."""
    rng = np.random.default_rng([1, seed])
    tones = sum(weight * _cloud(rng, side, cell) for weight, cell in ((30, 40), (25, 14), (20, 6), (8, 3)))
    return _gray(128 + np.asarray(tones))


def look_alike(seed: int, side: int = SIDE) -> Gray:
    """A part of one product: tracks, holes and a frame at the same places on all, a surface and marks of its own."""
    layout = np.random.default_rng(LAYOUT_SEED)
    rng = np.random.default_rng([2, seed])
    y, x = np.mgrid[:side, :side] / side - 0.5
    tones = np.full((side, side), 70.0)
    tones[np.abs(x + y) < 0.12] = 170
    for _ in range(6):
        across, down, radius = layout.uniform(-0.4, 0.4), layout.uniform(-0.4, 0.4), layout.uniform(0.03, 0.07)
        tones[np.hypot(x - across, y - down) < radius] = layout.uniform(10, 240)
    tones[np.maximum(np.abs(x), np.abs(y)) > 0.46] = 210
    for _ in range(4):
        across, down, radius = rng.uniform(-0.45, 0.45), rng.uniform(-0.45, 0.45), rng.uniform(0.008, 0.02)
        tones[np.hypot(x - across, y - down) < radius] += rng.choice([-50, 50])
    return _gray(tones + 6 * _cloud(rng, side, 3) + 6 * _cloud(rng, side, 8) + rng.normal(0, 2, (side, side)))


def bonds(n_parts: int, shots: int, seed: int = 7) -> tuple[list[Gray], NDArray[np.int64]]:
    """Ribbon bonds, each photographed as often, and the number of the part in each picture.

    The part's number decides on its class and its product, of which there are four.
    """

    def one(part: int) -> list[Gray]:
        rng = np.random.default_rng([seed, part])
        label, product = CLASSES[part % len(CLASSES)], list(LAYOUTS)[part // len(CLASSES) % len(LAYOUTS)]
        gray = _gray(255 * np.asarray(draw_part(rng, label, product, BOND_SIDE, BOND_SIDE), np.float64))
        # Photographed with the drawing's margin, which is cut away then: no empty corners.
        border = round(MARGIN * BOND_SIDE)
        changes = [drawn(rng) for _ in range(shots)]
        taken = [rephotograph(gray, replace(change, crop=0), shot) for shot, change in enumerate(changes)]
        sides = [round(BOND_SIDE * (1 - change.crop)) for change in changes]
        return [each[border : border + side, border : border + side] for each, side in zip(taken, sides, strict=True)]

    with ThreadPoolExecutor() as pool:
        pictures = [picture for taken in pool.map(one, range(n_parts)) for picture in taken]
    return pictures, np.repeat(np.arange(n_parts), shots)


def _cloud(rng: np.random.Generator, side: int, cell: int) -> NDArray[np.float64]:
    """Smooth noise, about -1 to 1, whose grains are `cell` pixels wide."""
    grid = Image.fromarray(rng.uniform(-1, 1, (side // cell + 2,) * 2).astype(np.float32))
    return np.asarray(grid.resize((side, side), Image.Resampling.BICUBIC), np.float64)


def _gray(tones: NDArray[np.float64]) -> Gray:
    return np.clip(np.round(tones), 0, 255).astype(np.uint8)


def _through_jpeg(pixels: Gray, quality: int) -> Gray:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as image:
        return np.asarray(image.convert("L"), np.uint8)
