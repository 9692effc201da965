"""Listing a folder of class folders; as a manifest it is tested in test_manifest.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fdsearch.data.class_folders import read_class_folders


def test_names_are_sorted_whatever_the_disk_says(tmp_path: Path, picture: Any) -> None:
    for name in ("b/2.png", "a/9.png", "b/1.bmp", "a/x/0.tif"):
        picture(tmp_path / name)
    assert read_class_folders(tmp_path).filenames == ("a/9.png", "a/x/0.tif", "b/1.bmp", "b/2.png")


def test_a_name_that_is_not_utf8_is_a_fault(tmp_path: Path, picture: Any) -> None:
    picture(tmp_path / "a" / "good.png")
    os.close(os.open(os.fsencode(tmp_path / "a") + b"/caf\xe9.png", os.O_CREAT))
    found = read_class_folders(tmp_path)
    assert found.filenames == ("a/good.png",)
    (fault,) = found.faults
    assert "not UTF-8" in fault.got
    str(fault).encode()
