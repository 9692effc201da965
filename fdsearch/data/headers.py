"""How large pictures are, from the headers of some of them: nothing is decoded, and nothing that fails is a fault here.

`inspect` asks; whether the pictures are whole is for `images` to find out.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Sequence
from pathlib import Path

from fdsearch.imaging import FORMATS

MAX_HEADERS = 50
"""Files that are opened."""


def median_size(paths: Sequence[Path]) -> tuple[int, int] | None:
    """Median width and height, pixels, of `MAX_HEADERS` pictures spread over all; None where none can be read."""
    step = max(1, len(paths) // MAX_HEADERS)
    found = [size for path in paths[::step][:MAX_HEADERS] if (size := _size(path)) is not None]
    if not found:
        return None
    return int(statistics.median(width for width, _ in found)), int(statistics.median(height for _, height in found))


def _size(path: Path) -> tuple[int, int] | None:
    from PIL import Image

    try:
        with warnings.catch_warnings(), Image.open(path, formats=list(FORMATS)) as image:
            warnings.simplefilter("ignore")
            width, height = image.size
            return int(width), int(height)
    except Exception:  # on damaged input Pillow raises errors of many kinds; here all mean that nothing is known
        return None
