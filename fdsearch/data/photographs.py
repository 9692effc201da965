"""Generated parts and their shots: which parts there are, and pictures of them on disk.

Each part is drawn once (`ribbon_bonds`) and photographed several times (`camera`): pictures of one part resemble each
other as they do on a line, which is what makes a naive split leak. `synthetic` and `challenge` lay the files out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fdsearch.data.camera import shoot
from fdsearch.data.ribbon_bonds import draw_part
from fdsearch.data.ribbon_layout import LAYOUTS
from fdsearch.progress import Progress

WINDOWS = ("2003", "2005")
"""Camera positions."""

_ENCODING: dict[str, dict[str, Any]] = {".png": {"compress_level": 1}, ".jpeg": {"quality": 95}}
"""By a file's ending. Little compression: the noise of a camera does not compress, trying costs most of the time."""


@dataclass(frozen=True)
class Part:
    """A part to be drawn: its number seeds everything that is particular to it."""

    number: int
    label: str
    lib: str
    window: str
    shots: int

    @property
    def name(self) -> str:
        """Of the part; says nothing of its class."""
        return f"p{self.number:05d}"


def plan_parts(counts: Mapping[str, int], seed: int, shots: float = 2.0, most: int = 3) -> list[Part]:
    """Parts in an order that mixes the classes.

    Parameters
    ----------
    counts : mapping of str to int
        Pictures of each class.
    seed : int
    shots : float
        Pictures of a part on average, at least 1.
    most : int
        And at most.
    """
    rng = np.random.default_rng([seed, 0])
    wanted = [(label, taken) for label, count in counts.items() for taken in _shots(rng, count, shots, most)]
    return [
        Part(
            number=number,
            label=wanted[index][0],
            lib=str(rng.choice(list(LAYOUTS))),
            window=str(rng.choice(WINDOWS)),
            shots=wanted[index][1],
        )
        for number, index in enumerate(rng.permutation(len(wanted)), start=1)
    ]


def photograph(
    parts: Sequence[Part],
    seed: int,
    size_of: Callable[[Part], tuple[int, int]],
    place_of: Callable[[Part, int], Path],
    progress: Progress,
) -> None:
    """Draw and save all parts; threads, because numpy and the encoders work outside the interpreter's lock.

    Parameters
    ----------
    size_of : callable
        Part -> height and width in pixels.
    place_of : callable
        Part and number of the shot, from 0 -> file, ``.png`` or ``.jpeg``, in a folder that exists.
    """

    def take(part: Part) -> None:
        height, width = size_of(part)
        rng = np.random.default_rng([seed, part.number])
        scene = draw_part(rng, part.label, part.lib, height, width)
        light = rng.uniform(0.85, 1.1)
        for shot in range(part.shots):
            place = place_of(part, shot)
            Image.fromarray(shoot(rng, scene, height, width, light)).save(place, **_ENCODING[place.suffix])

    done = 0
    with ThreadPoolExecutor() as pool:
        waiting = iter(parts)
        # In batches, so that an interrupted run does not first finish all the parts.
        while batch := list(islice(waiting, 32)):
            list(pool.map(take, batch))
            done += len(batch)
            progress.track("draw", done, len(parts))


def _shots(rng: np.random.Generator, count: int, mean: float, most: int) -> list[int]:
    """Divide `count` pictures among parts that have `mean` of them on average, one to `most` each."""
    shots = [1] * math.ceil(count / mean)
    while sum(shots) < count:
        index = int(rng.integers(len(shots)))
        shots[index] += shots[index] < most
    return shots
