"""Ribbon-bond pictures with exact ground truth, for the demo and for tests: parts, their shots, the manifest.

Each part is drawn once (`ribbon_bonds`) and photographed one to three times (`camera`): pictures of one part resemble
each other as they do on a line, which is what makes a naive split leak.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fdsearch.data.camera import shoot
from fdsearch.data.ribbon_bonds import draw_part
from fdsearch.data.ribbon_layout import CLASSES, LAYOUTS
from fdsearch.errors import ConfigError, Fault, did_you_mean
from fdsearch.files import csv_bytes, disk_errors, write_atomic, write_json
from fdsearch.progress import Progress, Silent

GENERATOR_VERSION = "1"

PROFILES: dict[str, dict[str, int]] = {
    "demo": dict(zip(CLASSES, (72, 24, 36, 28, 108, 32), strict=True)),
    "balanced": dict.fromkeys(CLASSES, 60),
    "valeo": dict(zip(CLASSES, (309, 18, 68, 26, 1618, 32), strict=True)),  # a quarter of the challenge's pictures
}
"""Pictures of each class."""

SHOTS_PER_PART = (1, 3)
WINDOWS = {"2003": 1.0, "2005": 0.9}  # two camera positions and the pictures' size under them
ASPECTS = {"Die01": (1.0, 1.0), "Die02": (1.0, 1.17), "Die03": (0.86, 1.0), "Die04": (1.0, 1.0)}


@dataclass(frozen=True)
class Part:
    """A part to be drawn: its number seeds everything that is particular to it."""

    number: int
    label: str
    lib: str
    window: str
    shots: int

    def filename(self, shot: int) -> str:
        """Name of a picture; says nothing of the class."""
        return f"pictures/p{self.number:05d}_{shot}.png"


def synthesize(
    out: Path,
    profile: str | Mapping[str, int] = "demo",
    seed: int = 0,
    size: int = 256,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write ribbon-bond pictures and their manifest.

    Parameters
    ----------
    out : Path
        Receives ``pictures/*.png`` and ``labels.csv`` with the columns filename, Label, window, lib, part. If it
        already holds the same pictures, nothing is drawn.
    profile : str or mapping of str to int
        A name of `PROFILES`, or pictures per class.
    seed : int
        0 or more; the same arguments give the same files.
    size : int
        Smaller side of most pictures in pixels, 32 to 2048; the product and the camera position change it, as they do
        on the line.

    Returns
    -------
    dict
        path (str, absolute), n (int), classes (pictures per class).

    Raises
    ------
    ConfigError
        If the profile or a class is unknown, a number is out of range, or `out` holds something else.
    StorageError, ResourceError
        If `out` cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     synthesize(Path(folder) / "few", {"0_GOOD": 2, "4_Missing": 1}, size=64)["classes"]
    {'0_GOOD': 2, '4_Missing': 1}
    """
    counts = _counts(profile, seed, size)
    recipe = {"generator": GENERATOR_VERSION, "profile": counts, "seed": seed, "size": size}
    if not _is_done(out, recipe):
        parts = _parts(counts, seed)
        with disk_errors(out, "synthetic pictures"):
            (out / "pictures").mkdir(parents=True, exist_ok=True)
            write_json(out / "synthetic.json", recipe)
            _draw(out, parts, seed, size, progress or Silent())
            _write_manifest(out, parts)  # last: its presence says that the pictures are whole
    return {"path": str(out.resolve()), "n": sum(counts.values()), "classes": counts}


def _counts(profile: str | Mapping[str, int], seed: int, size: int) -> dict[str, int]:
    """Pictures per class in the order of `CLASSES`, or every fault of the arguments."""
    faults = []
    if not 32 <= size <= 2048:
        faults.append(Fault("size", str(size), "32 to 2048 pixels", "choose another size"))
    if seed < 0:
        faults.append(Fault("seed", str(seed), "0 or more", "choose another seed"))
    if isinstance(profile, str):
        if profile not in PROFILES:
            faults.append(Fault("profile", repr(profile), "a known profile", did_you_mean(profile, list(PROFILES))))
        profile = PROFILES.get(profile, {})
    faults += [
        Fault("profile", repr(label), "a class of ribbon bonds", did_you_mean(label, CLASSES))
        for label in profile
        if label not in CLASSES
    ]
    faults += [Fault(f"profile, {label}", str(n), "1 or more", "leave it out") for label, n in profile.items() if n < 1]
    if faults:
        raise ConfigError("the pictures cannot be synthesized", faults)
    return {label: profile[label] for label in CLASSES if label in profile}


def _is_done(out: Path, recipe: dict[str, Any]) -> bool:
    """Whether `out` holds the recipe's pictures already; refuses a folder with anything else in it."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        found = json.loads((out / "synthetic.json").read_text())
    except (OSError, ValueError):
        found = None
    if found != recipe:
        got = "other files" if found is None else "pictures of another profile, seed or size"
        raise ConfigError(
            "the folder is in use", [Fault(str(out), got, "a new or empty folder", "choose another folder")]
        )
    return (out / "labels.csv").exists()


def _parts(counts: Mapping[str, int], seed: int) -> list[Part]:
    """Parts in an order that mixes the classes, about two pictures each."""
    rng = np.random.default_rng([seed, 0])
    wanted = [(label, shots) for label, count in counts.items() for shots in _shots(rng, count)]
    return [
        Part(
            number=number,
            label=wanted[index][0],
            lib=str(rng.choice(list(LAYOUTS))),
            window=str(rng.choice(list(WINDOWS))),
            shots=wanted[index][1],
        )
        for number, index in enumerate(rng.permutation(len(wanted)), start=1)
    ]


def _shots(rng: np.random.Generator, count: int) -> list[int]:
    """Divide `count` pictures among half as many parts, one to three each."""
    least, most = SHOTS_PER_PART
    shots = [least] * -(-count // 2)
    while sum(shots) < count:
        index = int(rng.integers(len(shots)))
        shots[index] += shots[index] < most
    return shots


def _draw(out: Path, parts: list[Part], seed: int, size: int, progress: Progress) -> None:
    """Draw and save all parts; threads, because numpy and the PNG encoder work outside the interpreter's lock."""
    done = 0
    with ThreadPoolExecutor() as pool:
        waiting = iter(parts)
        # In batches, so that an interrupted run does not first finish all the parts.
        while batch := list(islice(waiting, 32)):
            list(pool.map(lambda part: _photograph(out, part, seed, size), batch))
            done += len(batch)
            progress.track("draw", done, len(parts))


def _photograph(out: Path, part: Part, seed: int, size: int) -> None:
    """Draw one part and save its shots."""
    height, width = (round(size * aspect * WINDOWS[part.window]) for aspect in ASPECTS[part.lib])
    rng = np.random.default_rng([seed, part.number])
    scene = draw_part(rng, part.label, part.lib, height, width)
    light = rng.uniform(0.85, 1.1)
    for shot in range(part.shots):
        # Little compression: the noise of a camera does not compress, trying costs most of the time.
        Image.fromarray(shoot(rng, scene, height, width, light)).save(out / part.filename(shot), compress_level=1)


def _write_manifest(out: Path, parts: list[Part]) -> None:
    rows = [
        [part.filename(shot), part.label, part.window, part.lib, f"p{part.number:05d}"]
        for part in parts
        for shot in range(part.shots)
    ]
    write_atomic(out / "labels.csv", csv_bytes(["filename", "Label", "window", "lib", "part"], rows))
