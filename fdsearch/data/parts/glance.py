"""One look at every picture: a small gray copy, and what the picture is apart from its content.

The copies are what `comparison` registers; the traits are what an audit holds against the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fdsearch.data.in_order import in_order
from fdsearch.data.picture_files import check_regular, read_regular
from fdsearch.errors import DataError
from fdsearch.imaging import FORMATS, Gray, PictureError, decode
from fdsearch.progress import Progress

SIDE = 160
"""Longest side, pixels, of the median picture's copy: finding 200 keypoints takes 6 ms, at 240 twice as long and no
part more was found. A detail of 1 % of the part is still 1.6 pixels wide."""

MOST_ENLARGED = 2.0
"""Factor by which copies of small pictures are enlarged at most: beyond it only the resizing's own blur is added."""

MOST_LARGER = 2.0
"""A copy is at most this many times as long as the median one: a single panorama must not cost minutes."""

QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Traits:
    """What a picture is apart from its content.

    Parameters
    ----------
    format : str
        A key of `imaging.FORMATS`.
    height, width : int
        Pixels, upright.
    n_bytes : int
        Of the file.
    brightness : tuple of float
        Mean, standard deviation, and the quantiles .05, .5 and .95 of gray, 0 to 255.
    border : tuple of float
        Mean, standard deviation, least and largest gray of the first row, the last row, the first column and the last
        column, then the four corner pixels; 0 to 255.
    """

    format: str
    height: int
    width: int
    n_bytes: int
    brightness: tuple[float, ...]
    border: tuple[float, ...]


def glance(paths: Sequence[Path], progress: Progress, side: int = SIDE) -> tuple[list[Gray], list[Traits]]:
    """Decode each picture once: a small copy at the set's common scale, and its traits.

    One factor serves the whole set, so that a crop of a picture keeps the picture's scale.

    Parameters
    ----------
    paths : sequence of Path, length n
        Files that are known to be readable pictures.
    progress : Progress
    side : int
        Longest side, in pixels, of the copy of the median picture.

    Returns
    -------
    list of ndarray of uint8, shape (h, w), and list of Traits
        Both of length n, in the order of `paths`.

    Raises
    ------
    DataError
        Listing every picture that cannot be read any more.
    """
    longest = [found for found in in_order(_longest_side, paths, "measuring pictures", progress) if found]
    scale = min(side / float(np.median(longest)), MOST_ENLARGED) if longest else 1.0
    seen = list(in_order(lambda path: _glance(path, scale, side), paths, "looking at pictures", progress))
    faults = [
        error.fault(str(path)) for path, error in zip(paths, seen, strict=True) if isinstance(error, PictureError)
    ]
    if faults:
        raise DataError(f"{len(faults)} of {len(paths)} pictures cannot be read", faults)
    whole = [each for each in seen if not isinstance(each, PictureError)]
    return [small for small, _ in whole], [traits for _, traits in whole]


def _longest_side(path: Path) -> int:
    """Pixels, from the file's header; 0 where there is none, which decoding will say better."""
    try:
        check_regular(path)
        with Image.open(path, formats=list(FORMATS)) as image:
            return max(image.size)
    except Exception:  # as in `imaging`: on damaged input Pillow's plugins raise anything
        return 0


def _glance(path: Path, scale: float, side: int) -> tuple[Gray, Traits] | PictureError:
    try:
        data, _ = read_regular(path)
        decoded = decode(data)
    except PictureError as error:
        return error
    return shrunk(decoded.pixels, scale, side), _traits(decoded.pixels, decoded.format, len(data))


def shrunk(gray: Gray, scale: float, side: int) -> Gray:
    """A picture at the set's common scale, its longest side at most `MOST_LARGER` times `side`."""
    height, width = gray.shape
    factor = min(scale, MOST_LARGER * side / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small: Gray = np.asarray(Image.fromarray(gray).resize(size, Image.Resampling.BILINEAR), np.uint8)
    return small


def _traits(gray: Gray, picture_format: str, n_bytes: int) -> Traits:
    height, width = gray.shape
    edges = (gray[0], gray[-1], gray[:, 0], gray[:, -1])
    border = [float(value) for edge in edges for value in (edge.mean(), edge.std(), edge.min(), edge.max())]
    border += [float(gray[row, column]) for row in (0, -1) for column in (0, -1)]
    return Traits(picture_format, height, width, n_bytes, _brightness(gray), tuple(border))


def _brightness(gray: Gray) -> tuple[float, ...]:
    """From the histogram, which Pillow counts without a copy of the pixels."""
    counts = np.array(Image.fromarray(gray).histogram(), np.float64)
    shares, values = counts / counts.sum(), np.arange(256)
    mean = float(shares @ values)
    deviation = float(np.sqrt(shares @ (values - mean) ** 2))
    # Half a pixel less: the sum of shares may miss a quantile by its rounding.
    reached = np.searchsorted(np.cumsum(shares), np.array(QUANTILES) - 0.5 / counts.sum())
    return (mean, deviation, *(float(value) for value in np.minimum(reached, 255)))
