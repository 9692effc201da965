"""Which pictures `predict` takes, which part each belongs to, and CSV that a spreadsheet cannot run."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest

from fdsearch.cli.predict import part_names, part_pattern, picture_files, write_csv
from fdsearch.errors import ConfigError, DataError


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


@pytest.mark.parametrize("text", ["lot", "(a)(b)", "("])
def test_a_pattern_captures_exactly_one_thing(text: str) -> None:
    with pytest.raises(ConfigError):
        part_pattern(text)


def test_csv_has_a_column_for_each_class_and_runs_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "filename": "=cmd|calc.png",
        "label": "@evil",
        "decision": "review",
        "probabilities": {"@evil": 0.75, "0_GOOD, really": 0.25},
        "novelty": None,
    }
    write_csv({"predictions": [row]})
    head, line = csv.reader(io.StringIO(capsys.readouterr().out))
    assert head == ["filename", "label", "decision", "'@evil", "0_GOOD, really", "novelty"]
    assert line == ["'=cmd|calc.png", "'@evil", "review", "0.750000", "0.250000", ""]


def test_no_picture_no_row(capsys: pytest.CaptureFixture[str]) -> None:
    write_csv({"predictions": []})
    assert capsys.readouterr().out == "filename,label,decision,novelty\n"


def test_a_file_name_of_any_bytes_leaves_as_it_is() -> None:
    code = (
        "import os; from fdsearch.cli.predict import write_csv; name = os.fsdecode(b'caf\\xe9.png');"
        "row = {'filename': name, 'label': 'a', 'decision': 'pass', 'probabilities': {'a': 1.0}, 'novelty': None};"
        "write_csv({'predictions': [row]})"
    )
    answer = subprocess.run([sys.executable, "-X", "utf8", "-c", code], capture_output=True, check=True)
    assert answer.stdout.splitlines()[1] == b"caf\xe9.png,a,pass,1.000000,"
