"""The corrections file by itself; what it changes about a data set is in test_manifest.py and test_worklist.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsearch.data.corrections import (
    Correction,
    corrections_in_force,
    names_in_cells,
    plain_cell,
    read_corrections,
)
from fdsearch.files import csv_cell


def test_every_column_but_the_filename_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("filename,label\na.png,Crack\n")
    assert read_corrections(path, {"a.png"}) == ({"a.png": Correction("Crack", False, "")}, [])


@pytest.mark.parametrize(("word", "excluded"), [("1", True), ("TRUE", True), ("x", True), ("0", False), ("", False)])
def test_words_for_exclusion(tmp_path: Path, word: str, excluded: bool) -> None:
    path = tmp_path / "c.csv"
    path.write_text(f"filename,exclude,group,by,reason\na.png,{word},p1,me,blurred\n")
    corrections, faults = read_corrections(path, {"a.png"})
    assert faults == [] and corrections["a.png"] == Correction("", excluded, "p1", "me", "blurred")


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("filename,exclude\nz.png,1\n", "z.png"),
        ("filename,exclude\na.png,1\na.png,0\n", "a.png again"),
        ("filename,exclude\n=b.png,1\n'=b.png,0\n", "'=b.png again"),
        ("filename,exclude\na.png,maybe\n", "exclude maybe"),
        ("filename,exlude\na.png,1\n", "the column exlude"),
        ("label\nCrack\n", "the columns label"),
    ],
)
def test_faults(tmp_path: Path, text: str, got: str) -> None:
    path = tmp_path / "c.csv"
    path.write_text(text)
    _, faults = read_corrections(path, {"a.png", "=b.png"})
    assert got in faults[0].got and faults[0].where.startswith(f"{path}, row ")


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("'=a.png", "=a.png"),  # as our own tables write it
        ("=a.png", "=a.png"),  # as a spreadsheet gives it back
        ("'t was.png", "'t was.png"),
        ("'+b.png", "'+b.png"),  # that is the file's own name
    ],
)
def test_names_are_read_as_our_tables_write_them(tmp_path: Path, cell: str, name: str) -> None:
    path = tmp_path / "c.csv"
    path.write_text(f"filename,label,group\n{cell},'-1,'=a.png\n")
    corrections, faults = read_corrections(path, ["=a.png", "'t was.png", "'+b.png"])
    assert faults == [] and corrections == {name: Correction("-1", False, "=a.png")}


@given(st.text())
def test_a_cell_is_read_as_what_was_written(text: str) -> None:
    assert plain_cell(csv_cell(text)) in (text, plain_cell(text))
    assert names_in_cells([text])[csv_cell(text).strip()] == text


def test_the_corrections_in_force_are_carried_over_whole(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("filename,label,exclude,by,reason\n'=a.png,Free,,Eva,looked again\n'-gone.png,,1,Eva,\n")
    assert corrections_in_force(path, ["=a.png", "b.png"]) == {
        "=a.png": Correction("Free", False, "", "Eva", "looked again"),
        "-gone.png": Correction("", True, "", "Eva", ""),
    }
    assert corrections_in_force(None, ["b.png"]) == corrections_in_force(tmp_path / "absent.csv", ["b.png"]) == {}
