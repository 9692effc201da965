"""Names of a table stay inside the images folder, and only regular files are opened."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsearch.data.picture_files import PictureFolder, read_regular
from fdsearch.imaging import PictureError


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("", "empty filename"),
        ("/etc/passwd", "absolute"),
        ("C:\\a.png", "absolute"),
        ("C:a.png", "absolute"),
        ("\\\\host\\share\\a.png", "absolute"),
        ("../a.png", "with .."),
        ("sub/../../a.png", "with .."),
        ("sub\\..\\a.png", "with .."),
        ("a\0.png", "NUL"),
        ("absent.png", "no such file"),
        ("sub/absent.png", "no such file"),
        ("a.png/deeper.png", "no such file"),
        ("x" * 300 + ".png", "too long"),
        ("sub", "a folder"),
        (".", "a folder"),
        ("link.png", "a symbolic link"),
        ("dangling.png", "a symbolic link"),
        ("pipe.png", "a pipe"),
        ("socket.png", "a device or socket"),
        ("outside/secret.png", "leads outside"),
    ],
)
def test_unsafe_names_are_refused(tmp_path: Path, picture: Any, name: str, got: str) -> None:
    root = tmp_path / "r"
    picture(root / "a.png")
    picture(tmp_path / "o" / "secret.png")
    (root / "sub").mkdir()
    (root / "link.png").symlink_to(root / "a.png")
    (root / "dangling.png").symlink_to(root / "nowhere.png")
    (root / "outside").symlink_to(tmp_path / "o")
    os.mkfifo(root / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(root / "socket.png"))
    with pytest.raises(PictureError) as caught:
        PictureFolder(root).find(name)
    assert got.lower() in caught.value.got.lower()
    assert caught.value.fix


def test_files_inside_are_found_also_through_links_that_stay_inside(tmp_path: Path, picture: Any) -> None:
    root = tmp_path / "root"
    path = picture(root / "lot" / "a.png")
    (root / "alias").symlink_to(root / "lot")
    (tmp_path / "link-to-root").symlink_to(root)
    assert PictureFolder(root).find("lot/a.png") == path
    assert PictureFolder(root).find("./lot/a.png") == path
    assert PictureFolder(root).find("alias/a.png") == path
    assert PictureFolder(tmp_path / "link-to-root").find("lot/a.png") == path


def test_backslashes_are_explained(tmp_path: Path) -> None:
    with pytest.raises(PictureError) as caught:
        PictureFolder(tmp_path).find("lot\\a.png")
    assert "/" in caught.value.fix


@given(st.text(max_size=40))
def test_no_name_leads_outside(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    root = tmp_path_factory.getbasetemp() / "inside"
    root.mkdir(exist_ok=True)
    try:
        path = PictureFolder(root).find(name)
    except PictureError:
        return
    assert path.is_relative_to(root.resolve())


def test_a_file_swapped_for_a_link_is_not_read(tmp_path: Path, picture: Any) -> None:
    path = picture(tmp_path / "a.png")
    assert read_regular(path)[0] == path.read_bytes()
    path.rename(tmp_path / "b.png")
    path.symlink_to(tmp_path / "b.png")
    with pytest.raises(PictureError, match="symbolic link"):
        read_regular(path)
