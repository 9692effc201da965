"""The fault catalogue's groups Dataset (1-10) and Images (11-16), met by `load_dataset` with real files.

Each refusal has exit code 3, names file and row, and says how to mend it; all bad rows come at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fdsearch.errors import DataError

ROWS = [(f"{label}{index}.png", label) for label in ("Crack", "Free") for index in range(6)]


def rewrite(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def single(faults: Any) -> Any:
    (fault,) = faults
    assert fault.got and fault.expected and fault.fix
    return fault


def test_01_missing_column(good: Any) -> None:
    rewrite(good.manifest, "filename,label", "filename,lable")
    fault = single(good.faults())
    assert fault.where == f"{good.manifest}, row 1" and fault.fix == "did you mean lable?"


@pytest.mark.parametrize("content", ["", "\n\n", "filename,label\n"])
def test_02_empty_csv(good: Any, content: str) -> None:
    good.manifest.write_text(content)
    assert single(good.faults()).where == str(good.manifest)


def test_03_byte_order_mark_and_crlf_are_read(good: Any) -> None:
    before = good.load().identity
    text = good.manifest.read_text()
    good.manifest.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert good.load().identity == before


def test_03_latin1_is_refused_with_the_way_out(good: Any) -> None:
    good.manifest.write_bytes(good.manifest.read_text().replace("Crack", "F\u00ealure").encode("latin-1"))
    fault = single(good.faults())
    assert "row 2" in fault.got and fault.expected == "UTF-8" and "iconv" in fault.fix


def test_04_duplicate_filename_and_conflicting_labels(good: Any) -> None:
    with good.manifest.open("a") as stream:
        stream.write("Free0.png,Free\nFree1.png,Crack\n")
    faults = good.faults()
    assert [fault.where for fault in faults] == [f"{good.manifest}, row 14", f"{good.manifest}, row 15"]
    assert "duplicate filename" in faults[0].got and "row 8" in faults[0].got
    assert "conflicting labels" in faults[1].got


@pytest.mark.parametrize("pictures", [1, 2])
def test_05_a_class_with_fewer_than_three_groups(good: Any, pictures: int, picture: Any) -> None:
    with good.manifest.open("a") as stream:
        for number in range(pictures):
            picture(good.root / f"Fray{number}.png")
            stream.write(f"Fray{number}.png,Fray\n")
    fault = single(good.faults())
    assert fault.where.endswith("class Fray") and fault.got == f"{pictures} pictures" and fault.expected == "at least 3"


def test_05_three_groups_are_enough(good: Any, picture: Any) -> None:
    with good.manifest.open("a") as stream:
        for number in range(3):
            picture(good.root / f"Fray{number}.png")
            stream.write(f"Fray{number}.png,Fray\n")
    assert good.load().group_counts["Fray"] == 3


def test_06_the_same_picture_in_two_groups_joins_them(folder: Any) -> None:
    folder.write([(name, f"{label},{name[:-4]}") for name, label in ROWS], header="filename,label,part")
    (folder.root / "Free1.png").write_bytes((folder.root / "Free0.png").read_bytes())
    Image.open(folder.root / "Free0.png").save(folder.root / "Free2.png", compress_level=0)  # other bytes, same pixels
    dataset = folder.load(group="part")
    assert len({dataset.groups[dataset.filenames.index(f"Free{number}.png")] for number in range(3)}) == 1
    assert len(dataset.group_names) == 10
    assert any("Free0 + Free1 + Free2" in note for note in dataset.notes)


@pytest.mark.parametrize("name", ["../Free0.png", "/etc/passwd", "x/../../Free0.png", "Fr\0ee.png", "C:\\Free0.png"])
def test_07_names_that_lead_outside(good: Any, name: str) -> None:
    rewrite(good.manifest, "Free0.png", name)
    fault = single(good.faults())
    assert fault.where == f"{good.manifest}, row 8" and repr(name) in fault.got


def test_08_links_pipes_and_folders_are_refused_together(good: Any, tmp_path: Path) -> None:
    for name in ("Free0", "Free1", "Free2", "Free3"):
        (good.root / f"{name}.png").rename(tmp_path / f"{name}.png")
    (good.root / "Free0.png").symlink_to(tmp_path / "Free0.png")
    os.mkfifo(good.root / "Free1.png")
    (good.root / "Free2.png").mkdir()
    faults = good.faults()
    assert [fault.where.rpartition(" ")[2] for fault in faults] == ["8", "9", "10", "11"]
    kinds = ["a symbolic link", "a pipe", "a folder", "no such file"]
    assert all(kind in fault.got for kind, fault in zip(kinds, faults, strict=True))


def test_09_a_changed_picture_gives_a_new_digest(good: Any) -> None:
    for path in good.root.glob("*.png"):
        os.utime(path, (1_700_000_000, 1_700_000_000))  # settled long ago: the index is believed
    digests = [good.load().digest]
    for value in (1, 2):  # the second differs from the first in content only, not in size
        Image.new("L", (9, 12), value).save(good.root / "changed.bmp")
        (good.root / "changed.bmp").rename(good.root / "Free0.png")
        digests.append(good.load().digest)
    assert len(set(digests)) == 3
    assert good.load().digest == digests[-1]


@pytest.mark.parametrize("label", ["<script>alert(1)</script>", "=cmd|'/c calc'!A1", "@x", "{{7*7}}"])
def test_10_hostile_labels_are_only_text(good: Any, label: str) -> None:
    rewrite(good.manifest, ".png,Crack", f".png,{label}")
    assert label in good.load().classes


def truncated(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def test_11_truncated_pictures_are_all_listed(good: Any) -> None:
    for name in ("Crack1.png", "Free0.png", "Free5.png"):
        truncated(good.root / name)
    faults = good.faults()
    assert [fault.where.rpartition(" ")[2] for fault in faults] == ["3", "8", "13"]
    assert all("damaged bytes" in fault.got and fault.fix for fault in faults)
    assert good.faults() == faults  # and again, now that the good ones are known


def test_12_empty_pictures(good: Any) -> None:
    (good.root / "Free0.png").write_bytes(b"")
    assert "an empty file" in single(good.faults()).got


def test_13_a_bomb_is_refused_by_its_header(good: Any) -> None:
    """A BMP header that claims 10 gigapixels; what a whole bomb costs in memory is measured in test_imaging.py."""
    Image.new("L", (4, 4)).save(good.root / "bomb.bmp")
    content = bytearray((good.root / "bomb.bmp").read_bytes())
    content[18:26] = (100_000).to_bytes(4, "little") * 2
    (good.root / "Free0.png").write_bytes(content)
    assert "pixels" in single(good.faults()).got


def test_14_a_wrong_extension_is_noted(good: Any) -> None:
    Image.new("L", (8, 8), 3).save(good.root / "x.jpg")
    (good.root / "x.jpg").rename(good.root / "Free0.png")
    assert any("named .png, is JPEG (first Free0.png)" in note for note in good.load().notes)


def test_15_conversions_are_declared(good: Any) -> None:
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(good.root / "Free0.png")
    Image.new("CMYK", (8, 8)).save(good.root / "x.tif")
    (good.root / "x.tif").rename(good.root / "Free1.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.eye(8, 12, dtype=np.uint8) * 255).save(good.root / "Free2.png", exif=exif)
    notes = " ".join(good.load().notes)
    assert all(word in notes for word in ("16-bit", "luma", "EXIF", "is TIFF"))


def test_16_pictures_deleted_while_training_runs(good: Any) -> None:
    dataset = good.load()
    pixels = dataset.pixels(8, "stretch")
    before = pixels.sum()
    for path in dataset.paths[:3]:
        path.unlink()
    assert pixels.sum() == before and dataset.pixels(8, "stretch").sum() == before  # running trials
    assert [fault.where.rpartition(" ")[2] for fault in good.faults()] == ["2", "3", "4"]  # the next run


def test_everything_at_once(good: Any) -> None:
    """Faults of the table, of pictures and of groups come in one error."""
    truncated(good.root / "Free0.png")
    (good.root / "Free1.png").unlink()
    with good.manifest.open("a") as stream:
        stream.write("../x.png,Free\nFree2.png,Crack\n")
    with pytest.raises(DataError) as caught:
        good.load(group={"filename": r"(\w+[0-4])"}, pass_classes=["Fine"])
    text = str(caught.value)
    for word in ("damaged", "no such file", "..", "conflicting", "does not match", "Fine"):
        assert word in text


@pytest.mark.parametrize("rows", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_one_percent_of_a_large_manifest_is_listed_in_one_pass(
    folder: Any, rows: int, picture: Callable[..., Path]
) -> None:
    names = [f"{number}.png" for number in range(rows)]
    folder.write([(name, f"c{number % 3}") for number, name in enumerate(names)], pictures=False)
    for number, name in enumerate(names):
        path = picture(folder.root / name, number)
        if number % 100 == 0:
            truncated(path)
    faults = folder.faults()
    assert [fault.where for fault in faults] == [
        f"{folder.manifest}, row {number + 2}" for number in range(0, rows, 100)
    ]
