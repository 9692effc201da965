"""Draws one ribbon-bonded part as a camera without faults would see it, from its class and its layout.

`synthetic` photographs the result and writes the files. The units are those of `drawing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fdsearch.data.drawing import Canvas, Floats, rounded_box, window

CLASSES = (
    "0_GOOD",
    "1_Flat loop",
    "2_White lift-off",
    "3_Black lift-off",
    "4_Missing",
    "5_Short circuit MOS",
)


@dataclass(frozen=True)
class Layout:
    """Where a product has its tracks and ribbons."""

    track_angle: float
    track_offsets: tuple[float, ...]
    track_width: float
    ribbon_angle: float
    ribbon_gap: float


LAYOUTS = {
    "Die01": Layout(-45, (0.02,), 0.24, 8, 0.25),
    "Die02": Layout(42, (-0.19, 0.17), 0.17, 96, 0.23),
    "Die03": Layout(-50, (-0.16, 0.20), 0.15, -102, 0.24),
    "Die04": Layout(-45, (-0.05,), 0.19, 12, 0.22),
}

LENGTH, WIDTH, ARCH = 0.60, 0.125, 0.30  # a ribbon, and the part of its length that arches


@dataclass
class Ribbon:
    """One bridge: its place, and how it departs from a good one.

    `arch` is the tone of the band where it arches (None: it lies flat and speckled), `spread` widens the band, `lifted`
    is the end (-1 or 1) whose head does not touch, and `cut` says that this end is absent.
    """

    centre: tuple[float, float]
    angle: float
    tone: float
    arch: float | None
    spread: float = 1.0
    lifted: int = 0
    cut: bool = False


def draw_part(rng: np.random.Generator, label: str, lib: str, height: int, width: int) -> Floats:
    """Draw one part.

    Parameters
    ----------
    rng : numpy.random.Generator
        Everything that is particular to the part comes from it.
    label : str
        One of `CLASSES`.
    lib : str
        One of `LAYOUTS`.
    height, width : int
        Pixels.

    Returns
    -------
    ndarray of float32
        Tones from 0 to 1; `drawing.MARGIN` larger than asked for on each side.
    """
    canvas, layout = Canvas(height, width), LAYOUTS[lib]
    turn = rng.normal(0, 1.5)
    shift = rng.normal(0, 0.015, 2)
    _draw_substrate(canvas, rng, layout, turn)
    ribbons = _ribbons(rng, label, layout, turn, (float(shift[0]), float(shift[1])))
    for ribbon in _absent(rng, label, ribbons):
        ribbons.remove(ribbon)
        _draw_imprints(canvas, rng, ribbon)
    for ribbon in ribbons:
        _draw_ribbon(canvas, rng, ribbon)
    if label == "5_Short circuit MOS":
        _draw_short(canvas, rng, ribbons)
    _draw_debris(canvas, rng)
    return np.clip(canvas.tone, 0, 1)


def _draw_substrate(canvas: Canvas, rng: np.random.Generator, layout: Layout, turn: float) -> None:
    """Dark or white background, tracks with round ends, and the thin L-shaped lines of the frame."""
    dark = rng.random() < 0.65
    ground = rng.uniform(0.10, 0.22) if dark else rng.uniform(0.78, 0.9)
    canvas.tone += ground + 0.03 * canvas.cloud(rng, 0.2) + 0.02 * canvas.cloud(rng, 0.012)
    line = rng.uniform(0.4, 0.55)
    for corner_x, corner_y in ((-0.43, -0.43), (0.43, 0.43)):
        for angle in (0.0, 90.0):
            reach = 0.5 * rng.uniform(0.5, 0.8)
            direction = np.deg2rad(angle)
            middle = (
                corner_x - np.sign(corner_x) * reach / 2 * float(np.cos(direction)),
                corner_y - np.sign(corner_y) * reach / 2 * float(np.sin(direction)),
            )
            u, v = canvas.along(middle, angle)
            canvas.paint(rounded_box(u, v, reach / 2, 0.004, 0.0), line)
    tone = rng.uniform(0.56, 0.7)
    for offset in layout.track_offsets:
        angle = layout.track_angle + turn
        normal = np.deg2rad(angle + 90)
        u, v = canvas.along((offset * float(np.cos(normal)), offset * float(np.sin(normal))), angle)
        half = 0.42 + rng.uniform(-0.03, 0.03)
        capsule = rounded_box(u, v, half, layout.track_width / 2, layout.track_width / 2)
        grain = 0.035 * canvas.cloud(rng, 0.02) + 0.03 * canvas.cloud(rng, 0.15)
        canvas.paint(capsule, tone - 0.22)
        canvas.paint(capsule + 0.007, tone + grain)


def _ribbons(
    rng: np.random.Generator, label: str, layout: Layout, turn: float, shift: tuple[float, float]
) -> list[Ribbon]:
    """Two parallel bridges, one of them with the fault of the class."""
    angle = layout.ribbon_angle + turn
    normal = np.deg2rad(angle + 90)
    tone = rng.uniform(0.6, 0.74)
    shadow = rng.uniform(0.13, 0.30)
    ribbons = []
    for side in (-0.5, 0.5):
        offset = side * layout.ribbon_gap
        slide = rng.normal(0, 0.012)
        centre = (
            shift[0] + offset * float(np.cos(normal)) + slide * float(np.sin(normal)),
            shift[1] + offset * float(np.sin(normal)) - slide * float(np.cos(normal)),
        )
        spread = rng.uniform(0.85, 1.1)
        ribbons.append(Ribbon(centre, angle + rng.normal(0, 1.0), tone, shadow + rng.normal(0, 0.02), spread))
    faulty = ribbons[int(rng.integers(2))]
    if label == "1_Flat loop":
        faulty.arch = None
    elif label == "2_White lift-off":
        faulty.arch, faulty.spread = rng.uniform(0.82, 1.0), rng.uniform(0.8, 1.4)
    elif label == "3_Black lift-off":
        faulty.arch, faulty.spread = rng.uniform(0.0, 0.06), rng.uniform(1.25, 1.7)
    if "lift-off" in label:
        faulty.lifted, faulty.cut = int(rng.choice([-1, 1])), bool(rng.random() < 0.35)
    return ribbons


def _absent(rng: np.random.Generator, label: str, ribbons: Sequence[Ribbon]) -> list[Ribbon]:
    """The bridges that are missing: mostly both."""
    if label != "4_Missing":
        return []
    return list(ribbons) if rng.random() < 0.75 else [ribbons[int(rng.integers(2))]]


def _draw_ribbon(canvas: Canvas, rng: np.random.Generator, ribbon: Ribbon) -> None:
    """The shadow on the ground, the band with its arch, and a dimpled head at each end that touches."""
    u, v = canvas.along(ribbon.centre, ribbon.angle)
    start, stop = -LENGTH / 2, LENGTH / 2
    if ribbon.cut:
        start, stop = (start + 0.14, stop) if ribbon.lifted < 0 else (start, stop - 0.14)
    middle, half = (start + stop) / 2, (stop - start) / 2
    if ribbon.arch is not None:
        canvas.paint(rounded_box(u - 0.01, v - 0.03, ARCH / 2, WIDTH / 2, 0.02), 0.04, soft=0.05, opacity=0.55)
    streaks = np.interp(v, np.linspace(-WIDTH, WIDTH, 60), rng.normal(0, 0.03, 60)).astype(np.float32)
    tone = ribbon.tone + streaks + 0.03 * canvas.cloud(rng, 0.03)
    if ribbon.arch is None:
        speckle = (canvas.cloud(rng, 0.014) + 0.7 * canvas.cloud(rng, 0.03)) * rng.uniform(0.14, 0.22)
        tone = tone + speckle * window(u, ARCH * 0.6, 0.04)
    else:
        band = window(u, ARCH / 2 * ribbon.spread, 0.05)
        crest = 0.22 * np.exp(-(((u + 0.035) / 0.012) ** 2)) * (ribbon.arch < 0.5)
        tone = tone + band * (ribbon.arch + crest + 0.3 * streaks - tone)
    outline = rounded_box(u - middle, v, half, WIDTH / 2, 0.012)
    canvas.paint(outline - 0.006, 0.12, opacity=0.6)
    canvas.paint(outline, tone)
    for end in (-1, 1):
        if end != ribbon.lifted:
            _draw_head(canvas, rng, u - end * (LENGTH / 2 - 0.06), v, ribbon.tone)
        elif ribbon.cut:
            _draw_imprint(canvas, rng, u - end * (LENGTH / 2 - 0.05), v)


def _draw_head(canvas: Canvas, rng: np.random.Generator, u: Floats, v: Floats, tone: float) -> None:
    """A pressed foot: slightly wider than the band, with a grid of dimples from the bonding tool."""
    outline = rounded_box(u, v, 0.062, WIDTH * 0.53, 0.012)
    pitch, phase = 0.026, rng.uniform(0, 6.28, 2)
    waves = np.cos(2 * np.pi * u / pitch + phase[0]) * np.cos(2 * np.pi * v / pitch + phase[1])
    dimples = np.clip(waves, 0, 1) * rng.uniform(0.28, 0.42)
    canvas.paint(outline - 0.004, tone - 0.3, opacity=0.7)
    canvas.paint(outline, tone + 0.1 - dimples + 0.05 * canvas.cloud(rng, 0.02))


def _draw_imprints(canvas: Canvas, rng: np.random.Generator, ribbon: Ribbon) -> None:
    """What a missing bridge may leave where its heads were."""
    u, v = canvas.along(ribbon.centre, ribbon.angle)
    for end in (-1, 1):
        if rng.random() < 0.4:
            _draw_imprint(canvas, rng, u - end * (LENGTH / 2 - 0.06), v)


def _draw_imprint(canvas: Canvas, rng: np.random.Generator, u: Floats, v: Floats) -> None:
    """A bright rectangular or round mark."""
    tone = rng.uniform(0.78, 0.95) + 0.05 * canvas.cloud(rng, 0.015)
    if rng.random() < 0.5:
        canvas.paint(rounded_box(u, v, 0.045, 0.05, 0.008), tone, soft=0.012, opacity=0.8)
    else:
        canvas.paint(np.abs(np.hypot(u, v) - 0.04) - 0.012, tone, soft=0.012, opacity=0.8)


def _draw_short(canvas: Canvas, rng: np.random.Generator, ribbons: Sequence[Ribbon]) -> None:
    """A bright, ragged bridge of metal from a ribbon to its neighbour, or outwards to the track."""
    first, second = (ribbons[index] for index in rng.permutation(2))
    u, v = canvas.along(first.centre, first.angle)
    inward = _side_of(first, second)
    reach = WIDTH * 0.4 + rng.uniform(0.09, 0.13)
    direction = inward if rng.random() < 0.7 else -inward
    place = rng.uniform(-0.2, 0.2)
    drift = rng.uniform(-0.03, 0.03)
    blobs = [
        np.hypot(
            u - (place + drift * step + rng.normal(0, 0.008)),
            v - direction * (WIDTH * 0.4 + step * (reach - WIDTH * 0.2)),
        )
        - rng.uniform(0.014, 0.03)
        for step in np.linspace(0, 1, 7)
    ]
    outline = np.min(blobs, axis=0) + 0.006 * canvas.cloud(rng, 0.02)
    canvas.paint(outline - 0.008, 0.15, opacity=0.5)
    canvas.paint(outline, rng.uniform(0.85, 0.98) + 0.06 * canvas.cloud(rng, 0.02))


def _side_of(first: Ribbon, second: Ribbon) -> int:
    """On which side (-1 or 1, across `first`) the second ribbon lies."""
    turn = np.deg2rad(first.angle)
    dx, dy = second.centre[0] - first.centre[0], second.centre[1] - first.centre[1]
    return 1 if dy * np.cos(turn) - dx * np.sin(turn) > 0 else -1


def _draw_debris(canvas: Canvas, rng: np.random.Generator) -> None:
    """Specks and scratches that mean nothing, on parts of every class."""
    for _ in range(rng.poisson(1.5)):
        u, v = canvas.along((rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5)), rng.uniform(0, 180))
        long = rng.random() < 0.3
        half = (rng.uniform(0.03, 0.1), 0.002) if long else (rng.uniform(0.004, 0.012),) * 2
        canvas.paint(rounded_box(u, v, *half, min(half)), rng.choice([0.1, 0.45, 0.95]), soft=0.004, opacity=0.7)
