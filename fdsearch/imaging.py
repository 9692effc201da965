"""From bytes or a path to gray pixels: formats, caps, conversions. NumPy and Pillow only; `resizing` makes squares.

Training (`data.images`) and serving (`serving.predictor`) decode through this module and no other, so that a deployed
model sees the pixels it was trained on. Whatever changes a pixel, here or in `resizing`, changes `DECODER_VERSION`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

# Importing the four plugins registers them: `Image.open` then need not import all the others, which is slow and not
# thread-safe, and no other format can be reached.
from PIL import (  # noqa: F401
    BmpImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
)

from fdsearch.errors import Fault
from fdsearch.resizing import RESIZERS

DECODER_VERSION = "1"
"""Part of every digest of decoded pixels."""

MAX_PIXELS = 64_000_000
"""Largest picture, checked in the header before a pixel is decoded: 64 MB of gray, 256 MB of colour inside Pillow."""

MAX_BYTES = 512_000_000
"""Largest file that is read, in bytes: more than 64 million uncompressed pixels of 16-bit RGB."""

FORMATS: dict[str, tuple[str, ...]] = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
}
"""What is decoded, with the extensions each is known by; the content decides, not the extension."""

SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)

NOTE_COLOUR = "colour reduced to ITU-R 601 luma"
NOTE_ALPHA = "transparency laid over white"
NOTE_DEEP = "16-bit values divided by 257"
NOTE_DARK = "16-bit values that stay below 4096 (a 10- or 12-bit camera?) divided by 257, hence nearly black"
NOTE_TURNED = "turned upright as its EXIF orientation says"
NOTE_FRAMES = "first of several pages or frames"

_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_GRAY_MODES = ("1", "L", "LA")
_COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")

Gray = NDArray[np.uint8]


class PictureError(ValueError):
    """A file that is no picture this module decodes.

    Parameters
    ----------
    got, expected, fix : str
        As in `Fault`; `fault` adds the place.
    """

    def __init__(self, got: str, expected: str, fix: str = "") -> None:
        super().__init__(f"got {got}; expected {expected}")
        self.got, self.expected, self.fix = got, expected, fix

    def fault(self, where: str) -> Fault:
        """The error as a fault found at `where`."""
        return Fault(where, self.got, self.expected, self.fix)


@dataclass(frozen=True)
class Decoded:
    """A picture as the models see it.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (h, w)
        0 is black.
    notes : tuple of str
        The conversions that were made, in words; empty for an upright 8-bit gray picture.
    format : str
        A key of `FORMATS`.
    """

    pixels: Gray
    notes: tuple[str, ...]
    format: str


def decode(source: bytes | Path) -> Decoded:
    """Decode a PNG, JPEG, BMP or TIFF to 8-bit gray.

    Parameters
    ----------
    source : bytes or Path
        The file's bytes, or where they lie; a path that is no regular file is refused.

    Returns
    -------
    Decoded
        Colour becomes luma (ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B), transparent pixels are laid over white, 16-bit
        values are divided by 257 and rounded, the EXIF orientation is applied, of several pages the first is taken.

    Raises
    ------
    PictureError
        If the bytes are empty, truncated, of another format, floating-point or 32-bit, or above `MAX_PIXELS`.

    Examples
    --------
    >>> stream = io.BytesIO()
    >>> Image.new("RGB", (3, 2), "red").save(stream, "PNG")
    >>> decoded = decode(stream.getvalue())
    >>> decoded.pixels.tolist(), decoded.notes
    ([[76, 76, 76], [76, 76, 76]], ('colour reduced to ITU-R 601 luma',))
    """
    image, notes, picture_format = _gray_image(source)
    return Decoded(np.array(image, np.uint8), notes, picture_format)


def squares(source: bytes | Path, sizes: Sequence[tuple[int, str]]) -> list[Gray]:
    """Decode once and resize to each (size, policy): `decode` and `resizing.resize`, nothing copied in between.

    Examples
    --------
    >>> stream = io.BytesIO()
    >>> Image.new("L", (3, 2), 7).save(stream, "PNG")
    >>> [square.shape for square in squares(stream.getvalue(), [(4, "pad"), (8, "crop")])]
    [(4, 4), (8, 8)]
    """
    image, _, _ = _gray_image(source)
    return [np.asarray(RESIZERS[policy](image, size)) for size, policy in sizes]


def load(source: bytes | Path, size: int, policy: str) -> Gray:
    """Decode and resize: the model's input, shape (size, size, 1), uint8; arguments as in `decode` and `resize`."""
    return squares(source, [(size, policy)])[0][:, :, np.newaxis]


def _gray_image(source: bytes | Path) -> tuple[Any, tuple[str, ...], str]:
    """What `decode` returns, its pixels still inside Pillow: copying them out and in again takes time."""
    content = read(source) if isinstance(source, Path) else source
    if not content:
        raise PictureError("an empty file", "a picture", "copy the picture again")
    try:
        with Image.open(io.BytesIO(content), formats=list(FORMATS)) as image:
            return _decode_image(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large("more") from error
    except (PictureError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        fix = "convert it to PNG" if content[:5] != b"<?xml" else "save the picture itself, not a web page or drawing"
        raise PictureError("bytes of no known format", "PNG, JPEG, BMP or TIFF", fix) from error
    except Exception as error:
        # On damaged input Pillow's plugins raise OSError, SyntaxError, struct.error, IndexError and more: all alike.
        raise PictureError(f"damaged bytes ({error})", "a whole picture", "copy the picture again") from error


def read(path: Path) -> bytes:
    """Read a regular file's bytes.

    Raises
    ------
    PictureError
        If it is missing, unreadable, no regular file, or above `MAX_BYTES`.
    """
    try:
        # Asked before opening: opening a FIFO would wait for its writer.
        if not path.is_file():
            got = "something that is not a regular file" if path.exists() else "no such file"
            raise PictureError(got, "a picture file", "check the path")
        with path.open("rb") as stream:
            return read_capped(stream)
    except OSError as error:
        fix = "check the path and its permissions"
        raise PictureError(error.strerror or str(error), "a readable file", fix) from error


def read_capped(stream: BinaryIO) -> bytes:
    """Read an open regular file of at most `MAX_BYTES`; a larger one raises `PictureError` and is not read."""
    size = os.fstat(stream.fileno()).st_size
    if size > MAX_BYTES:
        raise PictureError(f"{size:,} bytes", f"at most {MAX_BYTES:,} bytes", "crop it to the part, or compress it")
    return stream.read(size)


def extension_note(filename: str, picture_format: str) -> str | None:
    """Say that a name's extension is not its content's, or return None.

    Examples
    --------
    >>> extension_note("lot7/a.png", "JPEG")
    'named .png, is JPEG'
    >>> extension_note("lot7/a.JPG", "JPEG")
    """
    suffix = Path(filename).suffix.lower()
    known = suffix in FORMATS[picture_format]
    return None if known else f"named {suffix or 'without extension'}, is {picture_format}"


def _decode_image(image: Any) -> tuple[Any, tuple[str, ...], str]:
    """Convert an opened, not yet decoded picture to gray; its notes and format beside it."""
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(f"{image.width} x {image.height}")
    notes = [NOTE_FRAMES] if getattr(image, "n_frames", 1) > 1 else []
    orientation = image.getexif().get(0x0112, 1)
    image.load()
    # Pillow turns a TIFF by itself while it loads and drops the tag; the others are turned here.
    ImageOps.exif_transpose(image, in_place=True)
    if orientation in range(2, 9):
        notes.append(NOTE_TURNED)
    picture_format = image.format if image.format in FORMATS else "JPEG"  # MPO: JPEGs in a row, of stereo cameras
    gray = _deep_to_gray(image, notes) if image.mode in _DEEP_MODES else _to_gray(image, notes)
    return gray, tuple(notes), picture_format


def _to_gray(image: Any, notes: list[str]) -> Any:
    if image.mode not in (*_GRAY_MODES, *_COLOUR_MODES):
        raise PictureError(
            f"pixels of mode {image.mode}", "8- or 16-bit gray or colour", "convert it to 8-bit gray PNG"
        )
    if image.mode in _COLOUR_MODES:
        notes.append(NOTE_COLOUR)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if image.getextrema()[3][0] < 255:
            notes.append(NOTE_ALPHA)
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode in ("P", "CMYK", "YCbCr"):  # Pillow has no luma of CMYK, and a palette needs its colours first
        image = image.convert("RGB")
    return image if image.mode == "L" else image.convert("L")


def _deep_to_gray(image: Any, notes: list[str]) -> Any:
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise PictureError(f"32-bit values from {low} to {high}", "8- or 16-bit gray", "convert it to 8-bit gray PNG")
    notes.append(NOTE_DARK if high < 4096 else NOTE_DEEP)
    values = values.astype(np.uint16, copy=False)
    # Rounded, without a wider intermediate: 64 million pixels would need 256 MB more.
    return Image.fromarray((values // 257 + (values % 257 > 128)).astype(np.uint8))


def _too_large(got: str) -> PictureError:
    return PictureError(f"{got} pixels", f"at most {MAX_PIXELS:,} pixels", "crop it to the part, or reduce it")
