"""Decoding: what is converted and how, what is refused, and what never happens to memory."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from fdsearch import imaging
from fdsearch.imaging import PictureError, decode, extension_note, load, read, squares
from fdsearch.parameters import RESIZE_POLICIES
from fdsearch.resizing import RESIZERS, resize

RAMP = np.arange(0, 240, dtype=np.uint8).reshape(12, 20)


def encode(image: Image.Image, picture_format: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, picture_format, **options)
    return stream.getvalue()


def test_the_resize_policies_are_those_of_a_trial() -> None:
    assert set(RESIZERS) == set(RESIZE_POLICIES)


@pytest.mark.parametrize("picture_format", ["PNG", "BMP", "TIFF"])
def test_lossless_gray_keeps_its_values(picture_format: str) -> None:
    decoded = decode(encode(Image.fromarray(RAMP), picture_format))
    assert decoded.pixels.dtype == np.uint8
    np.testing.assert_array_equal(decoded.pixels, RAMP)
    assert decoded.notes == () and decoded.format == picture_format


def test_jpeg_is_close() -> None:
    decoded = decode(encode(Image.fromarray(RAMP), "JPEG", quality=95))
    assert np.abs(decoded.pixels.astype(int) - RAMP).max() < 12
    assert decoded.format == "JPEG"


@pytest.mark.parametrize(
    ("mode", "colour", "gray", "notes"),
    [
        ("1", 1, 255, ()),
        ("L", 77, 77, ()),
        ("LA", (100, 255), 100, ()),
        ("LA", (100, 0), 255, (imaging.NOTE_ALPHA,)),
        ("RGB", (255, 0, 0), 76, (imaging.NOTE_COLOUR,)),
        ("RGB", (0, 255, 0), 150, (imaging.NOTE_COLOUR,)),
        ("RGB", (0, 0, 255), 29, (imaging.NOTE_COLOUR,)),
        ("RGB", (90, 90, 90), 90, (imaging.NOTE_COLOUR,)),
        ("RGBA", (0, 0, 0, 255), 0, (imaging.NOTE_COLOUR,)),
        ("RGBA", (0, 0, 0, 0), 255, (imaging.NOTE_COLOUR, imaging.NOTE_ALPHA)),
        ("RGBA", (0, 0, 0, 128), 127, (imaging.NOTE_COLOUR, imaging.NOTE_ALPHA)),
    ],
)
def test_every_mode_has_its_conversion(mode: str, colour: Any, gray: int, notes: tuple[str, ...]) -> None:
    decoded = decode(encode(Image.new(mode, (5, 4), colour)))
    assert decoded.pixels.shape == (4, 5)
    assert set(np.unique(decoded.pixels)) == {gray}
    assert decoded.notes == notes


def test_a_palette_stands_for_its_colours_with_and_without_transparency() -> None:
    palette = Image.new("RGB", (4, 4), (255, 0, 0)).quantize(4)
    assert set(np.unique(decode(encode(palette)).pixels)) == {76}
    index = palette.getpixel((0, 0))
    transparent = decode(encode(palette, transparency=index))
    assert set(np.unique(transparent.pixels)) == {255}
    assert imaging.NOTE_ALPHA in transparent.notes
    partly = decode(encode(palette, transparency=bytes([0, 255, 255, 255])))
    assert partly.pixels.shape == (4, 4)


def test_cmyk_becomes_luma() -> None:
    decoded = decode(encode(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "TIFF"))
    assert set(np.unique(decoded.pixels)) == {255}
    assert decoded.notes == (imaging.NOTE_COLOUR,)
    jpeg = decode(encode(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "JPEG"))
    assert jpeg.pixels.max() < 5


@pytest.mark.parametrize(("value", "gray"), [(0, 0), (128, 0), (129, 1), (257, 1), (32768, 128), (65535, 255)])
@pytest.mark.parametrize("picture_format", ["PNG", "TIFF"])
def test_sixteen_bits_are_divided_by_257_and_rounded(value: int, gray: int, picture_format: str) -> None:
    values = np.full((3, 4), value, np.uint16)
    values[0, 0] = 65535
    decoded = decode(encode(Image.fromarray(values), picture_format))
    assert decoded.pixels[1, 1] == gray
    assert decoded.pixels[0, 0] == 255
    assert decoded.notes == (imaging.NOTE_DEEP,)


def test_big_endian_sixteen_bits() -> None:
    values = np.array([[0, 257, 65535]], ">u2")
    image = Image.frombytes("I;16B", (3, 1), values.tobytes())
    np.testing.assert_array_equal(decode(encode(image, "TIFF")).pixels, [[0, 1, 255]])


def test_a_twelve_bit_camera_is_pointed_out() -> None:
    decoded = decode(encode(Image.fromarray(np.full((3, 4), 4000, np.uint16))))
    assert decoded.notes == (imaging.NOTE_DARK,)


@pytest.mark.parametrize("picture_format", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, picture_format: str) -> None:
    upright = np.full((16, 32), 200, np.uint8)
    upright[:8, :8] = 0  # the dark corner is top left when upright
    undo = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.T,
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).T,
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation](upright)))
    decoded = decode(encode(stored, picture_format, exif=exif))
    assert decoded.pixels.shape == upright.shape
    assert decoded.pixels[4, 4] < 50 and decoded.pixels[12, 28] > 150 and decoded.pixels[4, 28] > 150
    assert (imaging.NOTE_TURNED in decoded.notes) == (orientation != 1)


def test_of_several_pages_the_first_is_taken() -> None:
    pages = [Image.new("L", (4, 4), value) for value in (10, 200)]
    decoded = decode(encode(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert set(np.unique(decoded.pixels)) == {10}
    assert decoded.notes == (imaging.NOTE_FRAMES,)


WHOLE = {
    "PNG": encode(Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))),
    "JPEG": encode(Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)), "JPEG"),
    "BMP": encode(Image.fromarray(RAMP), "BMP"),
    "TIFF": encode(Image.fromarray(RAMP), "TIFF"),
}


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "an empty file"),
        (b"\0" * 100, "bytes of no known format"),
        (b"<?xml version='1.0'?><svg/>", "bytes of no known format"),
        (encode(Image.new("L", (4, 4)), "GIF"), "bytes of no known format"),
        (encode(Image.new("F", (4, 4)), "TIFF"), "mode F"),
        (encode(Image.new("I", (4, 4), -5), "TIFF"), "32-bit values"),
        (encode(Image.new("I", (4, 4), 70000), "TIFF"), "32-bit values"),
        *[(content[: len(content) // 2], "damaged bytes") for content in WHOLE.values()],
        (WHOLE["PNG"][:60] + b"\xff" * 20 + WHOLE["PNG"][80:], "damaged bytes"),
    ],
)
@pytest.mark.filterwarnings("ignore:Truncated File Read:UserWarning")
def test_what_is_no_picture_is_refused(content: bytes, got: str) -> None:
    with pytest.raises(PictureError) as caught:
        decode(content)
    assert got in caught.value.got
    fault = caught.value.fault("a.png")
    assert fault.where == "a.png" and fault.expected and fault.fix


@given(st.sampled_from(sorted(WHOLE)), st.data())
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_bytes_decode_or_are_refused_but_nothing_else(picture_format: str, data: st.DataObject) -> None:
    content = bytearray(WHOLE[picture_format])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode(bytes(content))
    except PictureError:
        return
    assert decoded.pixels.dtype == np.uint8 and decoded.pixels.ndim == 2


def bomb(width: int, height: int) -> bytes:
    """A whole, valid 1-bit PNG of zeros: 112 MB unpacked in 110 KB at 30,000 x 30,000."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (width + 7) // 8)
    body = b"".join(packer.compress(row * 100) for _ in range(height // 100)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


# Below Pillow's warning, between its warning and its error, and above its error.
@pytest.mark.parametrize("side", [8100, 11000, 30000])
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    with pytest.raises(PictureError, match="at most 64,000,000 pixels"):
        decode(bomb(side, side))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory peak from Linux's /proc")
def test_a_bomb_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(30000, 30000))
    script = (
        "import sys, re, pathlib\nfrom fdsearch.imaging import decode, PictureError\n"
        "try:\n    decode(pathlib.Path(sys.argv[1]))\nexcept PictureError: pass\nelse: sys.exit('decoded')\n"
        "print(re.search(r'VmHWM:\\s*(\\d+)', pathlib.Path('/proc/self/status').read_text())[1])"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 500_000  # KiB


def test_a_path_is_read_whatever_its_extension(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(WHOLE["JPEG"])
    assert decode(path).format == "JPEG"
    assert extension_note(path.name, "JPEG") == "named .png, is JPEG"
    assert extension_note("a.TIF", "TIFF") is None
    assert extension_note("a", "BMP") == "named without extension, is BMP"


def test_a_path_that_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="no such file"):
        read(tmp_path / "absent.png")
    with pytest.raises(PictureError, match="not a regular file"):
        read(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")  # would block for ever if it were opened
    with pytest.raises(PictureError, match="not a regular file"):
        decode(tmp_path / "pipe.png")


def test_a_file_above_the_cap_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.bmp"
    with path.open("wb") as stream:
        stream.truncate(imaging.MAX_BYTES + 1)  # sparse: takes no disk
    with pytest.raises(PictureError, match="at most 512,000,000 bytes"):
        read(path)


PICTURES = arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@given(PICTURES, st.integers(1, 48), st.sampled_from(RESIZE_POLICIES))
def test_resizing_gives_the_square_and_no_new_extremes(pixels: Any, size: int, policy: str) -> None:
    resized = resize(pixels, size, policy)
    assert resized.shape == (size, size) and resized.dtype == np.uint8
    assert pixels.min() <= resized.min() and resized.max() <= pixels.max()
    np.testing.assert_array_equal(resized, resize(pixels, size, policy))


@given(st.integers(1, 40), st.sampled_from(RESIZE_POLICIES))
def test_a_square_of_the_right_size_is_unchanged(size: int, policy: str) -> None:
    pixels = np.random.default_rng(size).integers(0, 256, (size, size), np.uint8)
    np.testing.assert_array_equal(resize(pixels, size, policy), pixels)


def test_the_policies_differ_as_declared() -> None:
    wide = np.full((10, 40), 50, np.uint8)
    wide[:, 15:25] = 250
    stretched, padded, cropped = (resize(wide, 20, policy) for policy in RESIZE_POLICIES)
    assert (stretched[:, 0] == 50).all() and (stretched[:, 9] == 250).all()
    assert (padded[:7] == 50).all() and (padded[9:11, 10] == 250).all()  # border gray above and below
    assert (cropped[:, 1:-1] == 250).all()  # the middle square, its edges blended with what lies beside it


def test_fine_texture_does_not_alias() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (200, 100))
    assert np.ptp(resize(stripes, 50, "stretch")[5:-5, 5:-5].astype(int)) < 10


def test_an_unknown_policy_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(KeyError):
        resize(RAMP, 4, "squeeze")


def test_load_gives_the_models_input() -> None:
    loaded = load(WHOLE["PNG"], 16, "pad")
    assert loaded.shape == (16, 16, 1) and loaded.dtype == np.uint8


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_one_pass_over_several_sizes_gives_what_decode_and_resize_give(mode: str) -> None:
    values = np.random.default_rng(5).integers(0, 256, (37, 23, 3), np.uint8)
    deep = Image.fromarray(values[:, :, 0].astype(np.uint16) * 257)
    content = encode(deep if mode == "I;16" else Image.fromarray(values).convert(mode))
    sizes = [(size, policy) for size in (1, 16, 37, 64) for policy in RESIZE_POLICIES]
    pixels = decode(content).pixels
    for (size, policy), square in zip(sizes, squares(content, sizes), strict=True):
        assert square.dtype == np.uint8
        np.testing.assert_array_equal(square, resize(pixels, size, policy))
