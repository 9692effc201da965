"""Draws one ribbon-bonded part as a camera without faults would see it, from its class and its product.

`ribbon_layout` says what lies where; `camera` photographs the result. The units are those of `drawing`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fdsearch.data.drawing import Canvas, Floats, defocused, rounded_box, window
from fdsearch.data.ribbon_layout import (
    ARCH,
    DEBRIS,
    DRIFT,
    DRIFTS,
    FOREIGN,
    FOREIGN_LAYOUT,
    LAYOUTS,
    LENGTH,
    SHORT,
    UNFOCUSED,
    WIDTH,
    Layout,
    Ribbon,
    drifted,
    ribbons_of,
)


def draw_part(rng: np.random.Generator, label: str, lib: str, height: int, width: int) -> Floats:
    """Draw one part.

    Parameters
    ----------
    rng : numpy.random.Generator
        Everything that is particular to the part comes from it.
    label : str
        One of `ribbon_layout.CLASSES`, or `ribbon_layout.DRIFT`.
    lib : str
        One of `ribbon_layout.LAYOUTS`.
    height, width : int
        Pixels.

    Returns
    -------
    ndarray of float32
        Tones from 0 to 1; `drawing.MARGIN` larger than asked for on each side.
    """
    kind = str(rng.choice(DRIFTS)) if label == DRIFT else ""
    canvas, layout = Canvas(height, width), FOREIGN_LAYOUT if kind == FOREIGN else LAYOUTS[lib]
    turn = rng.normal(0, 1.5)
    _draw_substrate(canvas, rng)
    _draw_tracks(canvas, rng, layout, turn)
    ribbons = ribbons_of(rng, label, layout, turn)
    if kind:
        ribbons = drifted(rng, kind, ribbons)
    for ribbon in ribbons:
        if ribbon.present:
            _draw_ribbon(canvas, rng, ribbon)
        else:
            _draw_imprints(canvas, rng, ribbon)
    if label == SHORT:
        _draw_short(canvas, rng, ribbons)
    _draw_debris(canvas, rng)
    if kind == DEBRIS:
        _draw_particles(canvas, rng)
    scene = np.clip(canvas.tone, 0, 1)
    return defocused(scene, rng.uniform(0.025, 0.05) * canvas.unit) if kind == UNFOCUSED else scene


def _draw_substrate(canvas: Canvas, rng: np.random.Generator) -> None:
    """Dark or white background, and the thin L-shaped lines of the frame in two corners."""
    dark = rng.random() < 0.65
    ground = rng.uniform(0.10, 0.22) if dark else rng.uniform(0.78, 0.9)
    canvas.tone += ground + 0.03 * canvas.cloud(rng, 0.2) + 0.02 * canvas.cloud(rng, 0.012)
    tone = rng.uniform(0.4, 0.55)
    for corner in (-0.43, 0.43):
        for angle in (0.0, 90.0):
            half = rng.uniform(0.12, 0.2)
            inward = -half if corner > 0 else half
            u, v = canvas.along((corner, corner), angle)
            canvas.paint(rounded_box(u - inward, v, half, 0.004, 0.0), tone)


def _draw_tracks(canvas: Canvas, rng: np.random.Generator, layout: Layout, turn: float) -> None:
    """Light-gray conductors with round ends and a darker edge."""
    tone = rng.uniform(0.56, 0.7)
    for offset in layout.track_offsets:
        u, v = canvas.along((0.0, 0.0), layout.track_angle + turn)
        half, radius = 0.42 + rng.uniform(-0.03, 0.03), layout.track_width / 2
        capsule = rounded_box(u, v - offset, half, radius, radius)
        grain = 0.035 * canvas.cloud(rng, 0.02) + 0.03 * canvas.cloud(rng, 0.15)
        canvas.paint(capsule, tone - 0.22)
        canvas.paint(capsule + 0.007, tone + grain)


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
    """What a missing ribbon may leave where its heads were."""
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
    number = int(rng.integers(len(ribbons)))
    u, v = canvas.along(ribbons[number].centre, ribbons[number].angle)
    inward = 1 if number == 0 else -1  # the second ribbon lies on the positive side of the first
    v = v * (inward if rng.random() < 0.7 else -inward) - WIDTH * 0.4
    place, drift, reach = rng.uniform(-0.2, 0.2), rng.uniform(-0.03, 0.03), rng.uniform(0.11, 0.16)
    blobs = [
        np.hypot(u - place - drift * step - rng.normal(0, 0.008), v - reach * step) - rng.uniform(0.014, 0.03)
        for step in np.linspace(0, 1, 7)
    ]
    outline = np.min(blobs, axis=0) + 0.006 * canvas.cloud(rng, 0.02)
    canvas.paint(outline - 0.008, 0.15, opacity=0.5)
    canvas.paint(outline, rng.uniform(0.85, 0.98) + 0.06 * canvas.cloud(rng, 0.02))


def _draw_debris(canvas: Canvas, rng: np.random.Generator) -> None:
    """Specks and scratches that mean nothing, on parts of every class."""
    for _ in range(rng.poisson(1.5)):
        u, v = canvas.along((rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5)), rng.uniform(0, 180))
        long = rng.random() < 0.3
        half = (rng.uniform(0.03, 0.1), 0.002) if long else (rng.uniform(0.004, 0.012),) * 2
        canvas.paint(rounded_box(u, v, *half, min(half)), rng.choice([0.1, 0.45, 0.95]), soft=0.004, opacity=0.7)


def _draw_particles(canvas: Canvas, rng: np.random.Generator) -> None:
    """Foreign matter that no line should leave on a part: ragged grains and a fibre."""
    for _ in range(int(rng.integers(4, 9))):
        u, v = canvas.along((rng.uniform(-0.35, 0.35), rng.uniform(-0.35, 0.35)), rng.uniform(0, 180))
        ragged = np.hypot(u, v * rng.uniform(1.0, 2.0)) - rng.uniform(0.03, 0.08) + 0.015 * canvas.cloud(rng, 0.02)
        canvas.paint(ragged, rng.choice([0.05, 0.3, 0.9]) + 0.1 * canvas.cloud(rng, 0.015))
    u, v = canvas.along((rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2)), rng.uniform(0, 180))
    bend = rng.uniform(0.4, 1.2)
    canvas.paint(rounded_box(u, v - bend * u**2 + 0.05, 0.3, 0.008, 0.008), rng.choice([0.05, 0.95]), soft=0.006)
