"""Ribbon-bonded products and what each class of failure does to a part: where the ribbons lie, and how one departs.

`ribbon_bonds` draws it. The units are those of `drawing`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

GOOD, FLAT, WHITE, BLACK, MISSING, SHORT = CLASSES = (
    "0_GOOD",
    "1_Flat loop",
    "2_White lift-off",
    "3_Black lift-off",
    "4_Missing",
    "5_Short circuit MOS",
)

DRIFT = "6_Drift"
"""No class: damage of another kind than any of them, which no model is trained on."""
UNFOCUSED, DEBRIS, DISPLACED, DOUBLED, FOREIGN = DRIFTS = ("unfocused", "debris", "displaced", "doubled", "foreign")
"""What drift looks like, one of them a picture; a foreign part is of a product that the line does not make."""

LENGTH, WIDTH = 0.60, 0.125  # of a ribbon
ARCH = 0.30  # the part of its length that arches


@dataclass(frozen=True)
class Layout:
    """Where a product has its tracks and ribbons.

    Parameters
    ----------
    track_angle, ribbon_angle : float
        They cross at 45 to 60 degrees.
    track_offsets : tuple of float
        Of each track from the middle, across its direction.
    track_width, ribbon_gap : float
        The gap is between the middles of the two ribbons.
    """

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
"""By the name of the product."""
FOREIGN_LAYOUT = Layout(12, (-0.28, 0.0, 0.28), 0.10, 58, 0.36)


@dataclass(frozen=True)
class Ribbon:
    """One bridge: its place, and how it departs from a good one.

    Parameters
    ----------
    centre : tuple of float
    angle : float
    tone : float
        Of the metal.
    arch : float or None
        Tone of the band where the ribbon arches; None where it lies flat, and is speckled instead.
    spread : float
        Width of that band, 1 as in a good ribbon.
    lifted : int
        End (-1 or 1) whose head does not touch; 0 for none.
    cut : bool
        Whether the lifted end is absent.
    present : bool
    """

    centre: tuple[float, float]
    angle: float
    tone: float
    arch: float | None
    spread: float
    lifted: int = 0
    cut: bool = False
    present: bool = True


def ribbons_of(rng: np.random.Generator, label: str, layout: Layout, turn: float) -> list[Ribbon]:
    """The two parallel ribbons of a part, one of them (of missing ones: mostly both) with the failure of the class.

    The second lies on the positive side across the first.
    """
    shift, tone, shadow = rng.normal(0, 0.015, 2), rng.uniform(0.6, 0.74), rng.uniform(0.13, 0.30)
    angle = layout.ribbon_angle + turn
    cosine, sine = float(np.cos(np.deg2rad(angle))), float(np.sin(np.deg2rad(angle)))
    ribbons = []
    for across in (-layout.ribbon_gap / 2, layout.ribbon_gap / 2):
        along = rng.normal(0, 0.012)
        centre = (
            float(shift[0]) + along * cosine - across * sine,
            float(shift[1]) + along * sine + across * cosine,
        )
        dark, spread = shadow + rng.normal(0, 0.02), rng.uniform(0.85, 1.1)
        ribbons.append(Ribbon(centre, angle + rng.normal(0, 1.0), tone, dark, spread))
    first = int(rng.integers(2))
    failing = [0, 1] if label == MISSING and rng.random() < 0.75 else [first]
    return [_failed(rng, label, ribbon) if number in failing else ribbon for number, ribbon in enumerate(ribbons)]


def drifted(rng: np.random.Generator, kind: str, ribbons: list[Ribbon]) -> list[Ribbon]:
    """What drift does to the ribbons of a good part; most kinds of it do nothing to them."""
    number = int(rng.integers(len(ribbons)))
    ribbon, side = ribbons[number], float(rng.choice([-1.0, 1.0]))
    if kind == DISPLACED:
        shift = rng.uniform(0.12, 0.22) * side
        moved = replace(ribbon, centre=(ribbon.centre[0] + shift, ribbon.centre[1] - shift))
        turned = replace(moved, angle=ribbon.angle + side * rng.uniform(15, 35))
        return [turned if index == number else each for index, each in enumerate(ribbons)]
    if kind == DOUBLED:
        offset, angle = rng.uniform(0.05, 0.09) * side, np.deg2rad(ribbon.angle)
        centre = (ribbon.centre[0] - offset * float(np.sin(angle)), ribbon.centre[1] + offset * float(np.cos(angle)))
        return [*ribbons, replace(ribbon, centre=centre, angle=ribbon.angle + side * rng.uniform(2, 7))]
    return ribbons


def _failed(rng: np.random.Generator, label: str, ribbon: Ribbon) -> Ribbon:
    """What the class does to a ribbon; a short circuit does nothing to it, it adds metal."""
    if label == FLAT:
        return replace(ribbon, arch=None)
    if label == MISSING:
        return replace(ribbon, present=False)
    if label == WHITE:
        ribbon = replace(ribbon, arch=rng.uniform(0.82, 1.0), spread=rng.uniform(0.8, 1.4))
    elif label == BLACK:
        ribbon = replace(ribbon, arch=rng.uniform(0.0, 0.06), spread=rng.uniform(1.25, 1.7))
    else:
        return ribbon
    return replace(ribbon, lifted=int(rng.choice([-1, 1])), cut=bool(rng.random() < 0.35))
