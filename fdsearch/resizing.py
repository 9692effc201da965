"""From gray pixels to a square, by policy. `imaging` decodes and calls these.

Bilinear, with a filter that widens when the picture shrinks, so that fine texture does not alias. Whatever changes a
pixel changes `imaging.DECODER_VERSION`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def resize(pixels: NDArray[np.uint8], size: int, policy: str) -> NDArray[np.uint8]:
    """Bring a picture to a square.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (h, w)
    size : int
        Side of the square, pixels.
    policy : {"stretch", "pad", "crop"}
        ``stretch`` changes the aspect ratio; ``pad`` keeps it and fills up with the median gray of the picture's
        border, its background if it has one; ``crop`` keeps it and cuts the longer side at both ends alike.

    Returns
    -------
    ndarray of uint8, shape (size, size)
        Bilinear, with a filter that widens when the picture shrinks, so that fine texture does not alias.

    Raises
    ------
    KeyError
        If the policy is unknown.

    Examples
    --------
    >>> resize(np.full((4, 8), 7, np.uint8), 3, "crop").tolist()
    [[7, 7, 7], [7, 7, 7], [7, 7, 7]]
    """
    return np.asarray(RESIZERS[policy](Image.fromarray(pixels), size))


def field_of_view(width: int, height: int, policy: str) -> tuple[float, float, float, float]:
    """Say which part of a picture the square of a policy shows: left, top, right, bottom, in pixels of the picture.

    What ``pad`` fills up lies outside of the picture.

    Examples
    --------
    >>> field_of_view(80, 40, "stretch"), field_of_view(80, 40, "pad"), field_of_view(80, 40, "crop")
    ((0.0, 0.0, 80.0, 40.0), (0.0, -20.0, 80.0, 60.0), (20.0, 0.0, 60.0, 40.0))
    """
    sides = {"stretch": (width, height), "pad": (max(width, height),) * 2, "crop": (min(width, height),) * 2}
    columns, rows = sides[policy]
    left, top = (width - columns) / 2, (height - rows) / 2
    return left, top, left + columns, top + rows


def _stretch(image: Any, size: int) -> Any:
    return _scaled(image, size, size)


def _pad(image: Any, size: int) -> Any:
    longest = max(image.size)
    columns, rows = (max(1, round(side * size / longest)) for side in image.size)
    pixels = np.asarray(image)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    square = Image.new("L", (size, size), int(np.median(border)))
    square.paste(_scaled(image, columns, rows), ((size - columns) // 2, (size - rows) // 2))
    return square


def _crop(image: Any, size: int) -> Any:
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return _scaled(image, size, size, (left, top, left + side, top + side))


RESIZERS: dict[str, Callable[[Any, int], Any]] = {"stretch": _stretch, "pad": _pad, "crop": _crop}
"""Each policy: a function of a picture of mode ``L`` and the side of the square in pixels."""


def _scaled(image: Any, columns: int, rows: int, box: tuple[float, float, float, float] | None = None) -> Any:
    return image.resize((columns, rows), Image.Resampling.BILINEAR, box=box)
