"""Which pictures `predict` takes, which part each belongs to, and CSV that a spreadsheet cannot run."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from fdsearch.cli.predict import named_table, part_names, part_pattern, picture_files, show, table_pictures, write
from fdsearch.errors import ConfigError, DataError, StorageError


def test_folders_are_searched_and_named_files_taken_as_they_are(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "deep/c.tiff", "notes.txt", "raw.dat"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = picture_files([tmp_path / "raw.dat", tmp_path])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["raw.dat", "a.jpg", "b.PNG", "deep/c.tiff"]


def test_every_missing_path_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as caught:
        picture_files([tmp_path / "x.png", tmp_path / "empty", tmp_path / "y.png"])
    assert [Path(fault.where).name for fault in caught.value.faults] == ["x.png", "empty", "y.png"]


def test_parts_are_what_the_pattern_captures() -> None:
    files = [Path("lot7_a.png"), Path("lot7_b.png"), Path("old/lot12_a.png")]
    assert part_names(files, part_pattern(r"(lot\d+)_")) == ["lot7", "lot7", "lot12"]
    with pytest.raises(DataError) as caught:
        part_names([*files, Path("z.png"), Path("q.png")], part_pattern(r"(lot\d+)_"))
    assert [fault.where for fault in caught.value.faults] == ["z.png", "q.png"]


@pytest.mark.parametrize("text", [r"(lot\d+)?", r"(\d*)x"])
def test_pictures_of_which_nothing_is_captured_are_not_one_part(text: str) -> None:
    """The worst of them would decide about them all."""
    with pytest.raises(DataError) as caught:
        part_names([Path("x.png"), Path("lotx.png")], part_pattern(text))
    assert [fault.got for fault in caught.value.faults] == ["a match that captures nothing"] * 2


@pytest.mark.parametrize("text", ["lot", "(a)(b)", "("])
def test_a_pattern_captures_exactly_one_thing(text: str) -> None:
    with pytest.raises(ConfigError):
        part_pattern(text)


def table(folder: Path, text: str, *pictures: str) -> Path:
    for name in pictures:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "lot.csv").write_text(text, encoding="utf-8")
    return folder / "lot.csv"


def test_a_csv_alone_is_a_table() -> None:
    assert named_table([Path("a/lot.CSV")]) == Path("a/lot.CSV")
    assert named_table([Path("a.png"), Path("b")]) is None
    with pytest.raises(ConfigError, match="cannot be mixed"):
        named_table([Path("a.png"), Path("lot.csv")])


@pytest.mark.parametrize(
    ("text", "column", "parts"),
    [
        ("filename,tile\nb.png,7\na/1.png,7\n", "tile", ["7", "7"]),
        ("filename,tile\nb.png,7\na/1.png,\n", None, None),
        ("id;image;tile\n1;b.png;7\n2;a/1.png;8\n", "tile", ["7", "8"]),  # no column of that name: what names pictures
    ],
)
def test_a_table_names_pictures_beside_it_and_their_parts(
    tmp_path: Path, text: str, column: str | None, parts: list[str] | None
) -> None:
    path = table(tmp_path, text, "b.png", "a/1.png")
    assert table_pictures(path, column) == ([tmp_path / "b.png", tmp_path / "a/1.png"], parts)


def test_a_table_may_hold_cells_as_our_own_tables_do(tmp_path: Path) -> None:
    path = table(tmp_path, "filename,group\n'=a.png,'=1\n'b.png,2\n", "=a.png", "'b.png")
    assert table_pictures(path, "group") == ([tmp_path / "=a.png", tmp_path / "'b.png"], ["=1", "2"])


@pytest.mark.parametrize(
    ("text", "column", "where"),
    [
        ("filename,tile\nb.png,7\nno.png,\n", "tile", ["row 3", "row 3"]),
        ("filename,tile\nb.png,7\n", "tille", ["row 1"]),
        ("id,tile\n1,7\n", "tile", ["row 1"]),
        ("filename,tile\n", "tile", ["lot.csv"]),
    ],
)
def test_every_fault_of_a_table_is_named(tmp_path: Path, text: str, column: str, where: list[str]) -> None:
    path = table(tmp_path, text, "b.png")
    with pytest.raises(DataError) as caught:
        table_pictures(path, column)
    found = [fault.where for fault in caught.value.faults]
    assert len(found) == len(where)
    assert all(place.endswith(end) for place, end in zip(found, where, strict=True))


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        table_pictures(tmp_path / "none.csv", None)
    assert [Path(fault.where).name for fault in caught.value.faults] == ["none.csv"]


def document(*rows: dict[str, Any], output: str | None = None) -> dict[str, Any]:
    return {"model": "tiles:0001", "format": "onnx", "predictions": list(rows), "output": output}


def test_csv_has_a_column_for_each_class_and_runs_nowhere(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    row = {
        "filename": "=cmd|calc.png",
        "label": "@evil",
        "decision": "reject",
        "reject_as": "@evil",
        "probabilities": {"@evil": 0.75, "0_GOOD, really": 0.25},
        "novelty": None,
    }
    show(document(row))
    shown = capsys.readouterr().out
    head, line = csv.reader(io.StringIO(shown))
    assert head == ["filename", "label", "decision", "reject_as", "'@evil", "0_GOOD, really", "novelty"]
    assert line == ["'=cmd|calc.png", "'@evil", "reject", "'@evil", "0.750000", "0.250000", ""]
    write(document(row), tmp_path / "told.csv")
    assert (tmp_path / "told.csv").read_text(encoding="utf-8") == shown
    write(document(row), tmp_path / "told.JSON")
    assert json.loads((tmp_path / "told.JSON").read_text(encoding="utf-8"))["predictions"] == [row]


@pytest.mark.skipif(sys.platform == "win32", reason="links to devices")
def test_a_device_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    read: list[str] = []
    reader.start()
    write(document(), tmp_path / "pipe")
    reader.join()
    assert (tmp_path / "pipe").is_fifo() and read[0].startswith("filename,label,decision")


def test_what_is_in_a_file_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    show(document(output="/tmp/told.csv"))
    assert capsys.readouterr().out == ""


def test_a_place_that_cannot_be_written_exits_4(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        write(document(), tmp_path / "file" / "told.csv")


def test_no_picture_no_row(capsys: pytest.CaptureFixture[str]) -> None:
    show(document())
    assert capsys.readouterr().out == "filename,label,decision,reject_as,novelty\n"


def test_a_file_name_of_any_bytes_leaves_as_it_is(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys; from fdsearch.cli.predict import show, write; name = os.fsdecode(b'caf\\xe9.png');"
        "row = {'filename': name, 'label': 'a', 'decision': 'pass', 'reject_as': None, 'probabilities': {'a': 1.0},"
        "'novelty': None};"
        "show({'predictions': [row], 'output': None});"
        "write({'predictions': [row]}, pathlib.Path(sys.argv[1]))"
    )
    place = tmp_path / "told.csv"
    answer = subprocess.run([sys.executable, "-X", "utf8", "-c", code, place], capture_output=True, check=True)
    assert answer.stdout.splitlines()[1] == b"caf\xe9.png,a,pass,,1.000000,"
    assert place.read_bytes() == answer.stdout
