"""Reading a log that grows, begins anew, or does not exist yet."""

from __future__ import annotations

import io
from pathlib import Path

from fdsearch.cli.follow import Tail, follow


def test_a_log_that_begins_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    tail = Tail(path)
    assert tail.lines() == []
    path.write_bytes(b"one\ntw")
    assert tail.lines() == ["one"]
    path.write_bytes(b"one\ntwo\n\xff\n")
    assert tail.lines() == ["two", "\ufffd"]
    path.rename(tmp_path / "moved")
    path.write_bytes(b"a new run with a longer first line\n")
    assert tail.lines() == ["a new run with a longer first line"]
    path.write_bytes(b"cut\n")
    assert tail.lines() == ["cut"]


def test_several_logs_name_their_study(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one\n")
    out = io.StringIO()
    follow({"a": tmp_path / "a", "b": tmp_path / "b"}, lambda: False, out)
    assert out.getvalue() == "a: one\n"
