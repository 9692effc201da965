"""CSV files as they come: accepted forms, and a fault with its row for everything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsearch.data.tables import read_table

CELLS = [{"filename": "a.png", "label": "Free"}, {"filename": "b.png", "label": "1"}]


@pytest.mark.parametrize(
    "content",
    [
        b"filename,label\na.png,Free\nb.png,1\n",
        b"filename,label\na.png,Free\nb.png,1",
        b"\xef\xbb\xbffilename,label\r\na.png,Free\r\nb.png,1\r\n",
        b"filename;label\na.png;Free\nb.png;1\n",
        b'"filename";"label"\r\n"a.png";"Free"\r\n"b.png";"1"\r\n',
        b",filename,label\n0,a.png,Free\n1,b.png,1\n",
        b" filename , label \n a.png , Free \n b.png , 1 \n",
        b"filename,label\n\na.png,Free\n,\nb.png,1\n\n",
    ],
)
def test_accepted_forms(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    table = read_table(path, ["filename", "label"])
    assert table.faults == []
    assert table.columns == ("filename", "label")
    assert [dict(row.cells) for row in table.rows] == CELLS


def test_rows_are_counted_as_a_spreadsheet_does(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('filename,label\na.png,"two\nlines"\n\nb.png,1\n')
    table = read_table(path, ["filename", "label"])
    assert [row.number for row in table.rows] == [2, 4]
    assert table.where(4) == f"{path}, row 4"


def test_words_that_look_like_missing_values_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("filename,label\na,NA\nb,None\nc,01\nd,nan\n")
    assert [row.cells["label"] for row in read_table(path, []).rows] == ["NA", "None", "01", "nan"]


@pytest.mark.parametrize(
    ("content", "where", "got"),
    [
        (b"", "", "an empty file"),
        (b"\xef\xbb\xbf\r\n", "", "an empty file"),
        (b"filename,label\n", "", "a header without rows"),
        (b"file,label\na,b\n", ", row 1", "the columns file, label"),
        (b"filename,label,label\na,b,c\n", ", row 1", "the column label twice"),
        (b"filename,label\na,b\nc\n", ", row 3", "1 cells"),
        (b"filename,label\na,b,c\n", ", row 2", "3 cells"),
        (b'filename,label\na,"b\nc,d\n', ", row 2 or below", "unexpected end of data"),
        ("filename,label\na,Boucle plaqu\u00e9e\n".encode("latin-1"), "", "the byte 0xe9 in row 2"),
        ("filename,label\na,b\n".encode("utf-16"), "", "UTF-16"),
    ],
)
def test_faults_name_their_place(tmp_path: Path, content: bytes, where: str, got: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    faults = read_table(path, ["filename", "label"]).faults
    assert faults[0].where == f"{path}{where}"
    assert got in faults[0].got
    assert faults[0].expected and faults[0].fix


def test_a_close_match_is_offered(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("filename,Lable\na,b\n")
    assert read_table(path, ["label"]).faults[0].fix == "did you mean Lable?"


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    assert "No such file" in read_table(tmp_path / "absent.csv", []).faults[0].got


@given(st.binary(max_size=200))
def test_no_bytes_raise(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_bytes(content)
    table = read_table(path, ["filename"])
    assert table.faults or table.rows
