"""What a picture is apart from its content, measured before it is resized: light, contrast, focus, size.

`reference` stores these numbers for the development pictures; `drift` holds those of a production batch against them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fdsearch import imaging
from fdsearch.errors import DataError, Fault
from fdsearch.progress import Progress

TRAITS: dict[str, tuple[str, str, str]] = {
    "mean_gray": ("mean gray", "darker", "brighter"),
    "deviation": ("deviation of gray", "of less contrast", "of more contrast"),
    "focus": ("focus", "less sharp", "sharper or noisier"),
    "width": ("width", "narrower", "wider"),
    "height": ("height", "lower", "higher"),
    "black": ("share of black pixels", "with fewer black pixels", "with more black pixels"),
    "white": ("share of white pixels", "with fewer white pixels", "with more white pixels"),
}
"""Each number of `measure`, in its order: what it is, and what a picture with less or more of it is, in words."""

_BLACK, _WHITE = 5, 250
"""Grays up to and from which a pixel counts as black and white: JPEG moves the ends of the range by a few grays."""
_BAND = 256
_GRAYS = np.arange(256, dtype=np.float64)


def measure(gray: imaging.Gray) -> NDArray[np.float64]:
    """Measure a picture.

    Parameters
    ----------
    gray : ndarray of uint8, shape (h, w)
        As it was decoded, not resized.

    Returns
    -------
    ndarray of float64, shape (7,)
        As `TRAITS` names them: gray 0 to 255; focus in nats; pixels; shares 0 to 1.

    Notes
    -----
    Focus is the logarithm of the energy of the Laplacian of 2 x 2 means less that of gray's variance: neither gain nor
    the size of the field of view moves it, and the means halve the noise of the sensor, which no lens can blur.

    References
    ----------
    Pertuz, Puig and Garcia (2013), Analysis of focus measure operators for shape-from-focus, Pattern Recognition 46(5).

    Examples
    --------
    >>> measure(np.full((4, 6), 7, np.uint8)).tolist()
    [7.0, 0.0, 0.0, 6.0, 4.0, 0.0, 0.0]
    """
    height, width = gray.shape
    counts = np.array(Image.fromarray(gray).histogram(), np.float64)  # without a copy of the pixels
    shares = counts / gray.size
    mean = float(shares @ _GRAYS)
    variance = float(shares @ (_GRAYS - mean) ** 2)
    focus = float(np.log1p(_sharpness(gray)) - np.log1p(variance))
    clipped = (shares[: _BLACK + 1].sum(), shares[_WHITE:].sum())
    return np.array([mean, variance**0.5, focus, width, height, *clipped])


def measure_files(paths: Sequence[Path], progress: Progress) -> NDArray[np.float64]:
    """Measure the pictures of some files.

    Returns
    -------
    ndarray of float64, shape (n, 7)

    Raises
    ------
    DataError
        Listing every picture that cannot be decoded.
    """

    def one(path: Path) -> NDArray[np.float64] | Fault:
        try:
            return measure(imaging.decode(path).pixels)
        except imaging.PictureError as error:
            return error.fault(str(path))

    found: list[NDArray[np.float64]] = []
    faults: list[Fault] = []
    # Pillow decodes outside the interpreter's lock, so threads are enough.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for number, each in enumerate(pool.map(one, paths), start=1):
            if isinstance(each, Fault):
                faults.append(each)
            else:
                found.append(each)
            progress.track("measuring pictures", number, len(paths))
    if faults:
        raise DataError("not all the pictures can be read", faults)
    return np.array(found, np.float64).reshape(-1, len(TRAITS))


def _sharpness(gray: imaging.Gray) -> float:
    """Mean square of the Laplacian of 2 x 2 means; band by band, so that a large picture needs no copies of itself."""
    total, count = 0.0, 0
    for top in range(0, gray.shape[0], _BAND):
        rows = gray[top : top + _BAND + 3].astype(np.float32)  # three rows more: bands leave no seam
        means = (rows[:-1, :-1] + rows[1:, :-1] + rows[:-1, 1:] + rows[1:, 1:]) / 4
        if min(means.shape) < 3:
            continue
        bends = means[:-2, 1:-1] + means[2:, 1:-1] + means[1:-1, :-2] + means[1:-1, 2:] - 4 * means[1:-1, 1:-1]
        total += float(np.square(bends).sum(dtype=np.float64))
        count += bends.size
    return total / max(1, count)
