"""A small real set on disk and a study over it: generated parts, each photographed twice, real weights at 64 px."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("crack", "free", "hole")
PARTS = {"crack": 8, "free": 14, "hole": 8}


def draw(folder: Path, label: str, part: int, shot: int) -> str:
    """Write one picture of a part: a texture of its own, a class's mark, and noise of the shot."""
    texture = np.random.default_rng([CLASSES.index(label), part])
    noise = np.random.default_rng([CLASSES.index(label), part, shot])
    pixels = (
        120 + 25 * texture.standard_normal((12, 12)).repeat(6, 0).repeat(6, 1) + 8 * noise.standard_normal((72, 72))
    )
    row, column = texture.integers(12, 40, 2)
    if label == "crack":
        for step in range(28):
            pixels[row + step // 3 : row + step // 3 + 3, column + step - 8 : column + step - 6] = 10
    if label == "hole":
        pixels[row : row + 14, column : column + 14] = 245
    filename = f"{label}_{part:02d}_{shot}.png"
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / filename)
    return filename


def write_set(folder: Path, parts: dict[str, int], shots: int = 2) -> None:
    """Write pictures and ``labels.csv`` (filename, label, part)."""
    rows = [
        (draw(folder, label, part, shot), label, f"{label}-{part}")
        for label, count in parts.items()
        for part in range(count)
        for shot in range(shots)
    ]
    with (folder / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("filename", "label", "part"), *rows])


def study(folder: Path, **changes: Any) -> dict[str, Any]:
    """A study as a plain mapping."""
    raw = {
        "name": "tiles",
        "data": {"manifest": str(folder / "labels.csv"), "label": "label", "group": "part", "pass_classes": ["free"]},
        "split": {"holdout": 0.25, "n_splits": 3, "random_state": 1},
        "space": {
            "image_size": 64,
            "pooling": "avg_max",
            "phases": {"type": "categorical", "choices": ["probe", "head"]},
            "class_weighting": {"type": "float", "low": 0.0, "high": 1.0},
            "learning_rate": {"type": "float", "low": 1e-3, "high": 1e-2, "log": True, "when": {"phases": ["head"]}},
            "epochs": {"type": "int", "low": 2, "high": 4, "when": {"phases": ["head"]}},
        },
        "search": {"n_trials": 3},
        "selection": {"top_k": 2, "n_repeats": 1},
        "decision": {"max_escape_rate": 0.3},
        "registry": {"gates": {"min_macro_f1": 0.3}},
    }
    return {**raw, **changes}
