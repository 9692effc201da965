"""The corrections file by itself; what it changes about a data set is in test_manifest.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from fdsearch.data.corrections import Correction, read_corrections


def test_every_column_but_the_filename_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("filename,label\na.png,Crack\n")
    assert read_corrections(path, {"a.png"}) == ({"a.png": Correction("Crack", False, "")}, [])


@pytest.mark.parametrize(("word", "excluded"), [("1", True), ("TRUE", True), ("x", True), ("0", False), ("", False)])
def test_words_for_exclusion(tmp_path: Path, word: str, excluded: bool) -> None:
    path = tmp_path / "c.csv"
    path.write_text(f"filename,exclude,group,by,reason\na.png,{word},p1,me,blurred\n")
    corrections, faults = read_corrections(path, {"a.png"})
    assert faults == [] and corrections["a.png"] == Correction("", excluded, "p1")


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("filename,exclude\nz.png,1\n", "z.png"),
        ("filename,exclude\na.png,1\na.png,0\n", "a.png again"),
        ("filename,exclude\na.png,maybe\n", "exclude maybe"),
        ("filename,exlude\na.png,1\n", "the column exlude"),
        ("label\nCrack\n", "the columns label"),
    ],
)
def test_faults(tmp_path: Path, text: str, got: str) -> None:
    path = tmp_path / "c.csv"
    path.write_text(text)
    _, faults = read_corrections(path, {"a.png"})
    assert got in faults[0].got and faults[0].where.startswith(f"{path}, row ")
