"""Ribbon-bond pictures with exact ground truth, for the demo and for tests: pictures and their manifest.

`photographs` draws the parts; `challenge` lays the same pictures out as a public challenge ships them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fdsearch.data.photographs import Part, photograph, plan_parts
from fdsearch.data.ribbon_layout import CLASSES, DRIFT
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

WINDOWS = {"2003": 1.0, "2005": 0.9}  # two camera positions and the pictures' size under them
ASPECTS = {"Die01": (1.0, 1.0), "Die02": (1.0, 1.17), "Die03": (0.86, 1.0), "Die04": (1.0, 1.0)}


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
        A name of `PROFILES`, or pictures per class; ``6_Drift``, damage of other kinds, may be among them.
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
    if not is_done(out, recipe):
        parts = plan_parts(counts, seed)
        with disk_errors(out, "synthetic pictures"):
            (out / "pictures").mkdir(parents=True, exist_ok=True)
            write_json(out / "synthetic.json", recipe)
            photograph(
                parts,
                seed,
                lambda part: _size(part, size),
                lambda part, shot: out / _filename(part, shot),
                progress or Silent(),
            )
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
        if label not in (*CLASSES, DRIFT)
    ]
    faults += [Fault(f"profile, {label}", str(n), "1 or more", "leave it out") for label, n in profile.items() if n < 1]
    if faults:
        raise ConfigError("the pictures cannot be synthesized", faults)
    return {label: profile[label] for label in (*CLASSES, DRIFT) if label in profile}


def is_done(out: Path, recipe: dict[str, Any], done: str = "labels.csv") -> bool:
    """Whether `out` holds the recipe's pictures already; refuses a folder with anything else in it.

    Parameters
    ----------
    recipe : dict
        What ``synthetic.json`` says of how the pictures were drawn.
    done : str
        The file that is written last.
    """
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
    return (out / done).exists()


def _size(part: Part, size: int) -> tuple[int, int]:
    """Height and width of a part's pictures."""
    height, width = (round(size * aspect * WINDOWS[part.window]) for aspect in ASPECTS[part.lib])
    return height, width


def _filename(part: Part, shot: int) -> str:
    return f"pictures/{part.name}_{shot}.png"


def _write_manifest(out: Path, parts: list[Part]) -> None:
    rows = [
        [_filename(part, shot), part.label, part.window, part.lib, part.name]
        for part in parts
        for shot in range(part.shots)
    ]
    write_atomic(out / "labels.csv", csv_bytes(["filename", "Label", "window", "lib", "part"], rows))
