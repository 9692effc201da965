"""Chained lines: whatever is changed, cut or exchanged is noticed, and a killed writer leaves nothing to repair."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fdsearch.errors import IntegrityError
from fdsearch.files import canonical_json, digest_json
from fdsearch.registry.chain import Chain

BODIES: list[dict[str, Any]] = [
    {"what": "first", "number": 1.5, "nothing": None},
    {"what": "größer \u2028 odd\nbreaks", "list": [1, [2]]},
    {"what": "", "nested": {"b": True, "a": False}},
]


def chain(folder: Path, genesis: str = "0" * 64) -> Chain:
    return Chain(folder / "log.jsonl", folder / "log.head", genesis, "a test")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """A chain of three entries."""
    made = chain(tmp_path_factory.mktemp("chain"))
    for body in BODIES:
        made.append(body)
    return made


def copied(written: Chain, folder: Path, lines: bytes | None, head: bytes | None) -> Chain:
    folder.mkdir(exist_ok=True)
    copy = chain(folder)
    for path, content in ((copy.lines, lines), (copy.head, head)):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
    return copy


def test_reads_what_was_appended(written: Chain) -> None:
    entries = written.read()
    assert [{key: entry[key] for key in body} for entry, body in zip(entries, BODIES, strict=True)] == BODIES
    assert [entry["seq"] for entry in entries] == [1, 2, 3]
    assert [entry["previous"] for entry in entries] == ["0" * 64, *(digest_json(entry) for entry in entries[:-1])]


def test_a_line_is_canonical_json_that_names_its_hash(written: Chain) -> None:
    for line, entry in zip(written.lines.read_bytes().splitlines(), written.read(), strict=True):
        assert line == canonical_json({**entry, "hash": digest_json(entry)})
    assert json.loads(written.head.read_bytes()) == {"hash": digest_json(written.read()[-1]), "seq": 3}


def test_every_byte_counts(written: Chain, tmp_path: Path) -> None:
    parts = [written.lines.read_bytes(), written.head.read_bytes()]
    for which, whole in enumerate(parts):
        for position in range(len(whole)):
            changed = bytearray(whole)
            changed[position] ^= 1
            altered = [bytes(changed) if index == which else part for index, part in enumerate(parts)]
            with pytest.raises(IntegrityError):
                copied(written, tmp_path, *altered).read()


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_change_of_a_byte_is_noticed(written: Chain, data: st.DataObject) -> None:
    content = bytearray(written.lines.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(IntegrityError):
        copied(written, written.lines.parent / "copy", bytes(content), written.head.read_bytes()).read()


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_missing_line_is_noticed_wherever_it_was(written: Chain, tmp_path: Path, kept: int) -> None:
    lines, head = written.lines.read_bytes().splitlines(keepends=True), written.head.read_bytes()
    for start in range(3 - kept + 1):
        some = b"".join(lines[start : start + kept])
        with pytest.raises(IntegrityError):
            copied(written, tmp_path, some, head).read()


def test_exchanged_lines_are_noticed(written: Chain, tmp_path: Path) -> None:
    first, second, third = written.lines.read_bytes().splitlines(keepends=True)
    with pytest.raises(IntegrityError, match="line 2"):
        copied(written, tmp_path, first + third + second, written.head.read_bytes()).read()


def test_a_missing_head_is_noticed(written: Chain, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="the log was cut, or the head changed"):
        copied(written, tmp_path, written.lines.read_bytes(), None).read()


def test_a_head_without_lines_is_noticed(written: Chain, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"no head without log\.jsonl"):
        copied(written, tmp_path, None, written.head.read_bytes()).read()


@pytest.mark.parametrize(("lines", "head"), [(b"", None), (None, b""), (b"", b"")])
def test_files_that_a_power_loss_emptied_are_not_taken_for_a_new_chain(
    written: Chain, tmp_path: Path, lines: bytes | None, head: bytes | None
) -> None:
    with pytest.raises(IntegrityError, match="not as it was written"):
        copied(written, tmp_path, lines, head).read()


def test_a_chain_that_was_begun_has_a_head_and_no_entry(tmp_path: Path) -> None:
    made = chain(tmp_path)
    assert not made.begun()
    made.begin()
    assert made.begun() and made.read() == () and not made.lags()
    first = made.head.read_bytes()
    made.append(BODIES[0])
    made.begin()
    assert made.head.read_bytes() != first and len(made.read()) == 1
    made.head.write_bytes(first)
    assert made.lags() and len(made.append(BODIES[1])["previous"]) == 64
    made.head.write_bytes(first)
    with pytest.raises(IntegrityError, match="the log was cut"):
        made.read()


@pytest.mark.skipif(sys.platform == "win32", reason="links and FIFOs")
@pytest.mark.parametrize("which", ["lines", "head"])
@pytest.mark.parametrize("kind", ["a link", "a FIFO", "a folder"])
def test_only_regular_files_are_read(written: Chain, tmp_path: Path, which: str, kind: str) -> None:
    """A FIFO would never be read to its end, and behind a link may be anything."""
    copy = copied(written, tmp_path, written.lines.read_bytes(), written.head.read_bytes())
    path: Path = getattr(copy, which)
    path.rename(tmp_path / "moved")
    {"a link": lambda: path.symlink_to("moved"), "a FIFO": lambda: os.mkfifo(path), "a folder": path.mkdir}[kind]()
    with pytest.raises(IntegrityError, match="not a regular file"):
        copy.read()


def test_another_genesis_does_not_fit(written: Chain) -> None:
    with pytest.raises(IntegrityError, match="line 1"):
        chain(written.lines.parent, genesis="1" * 64).read()


@pytest.mark.parametrize("length", [0, 1, 2])
def test_a_head_one_behind_is_read_and_mended(tmp_path: Path, length: int) -> None:
    """A writer was killed between its two renames; the next one must not leave the head two behind."""
    made = chain(tmp_path)
    for body in BODIES[:length]:
        made.append(body)
    behind = made.head.read_bytes() if length else None
    made.append(BODIES[2])
    if behind is None:
        made.head.unlink()
    else:
        made.head.write_bytes(behind)
    assert len(made.read()) == length + 1
    made.append(BODIES[0])
    assert len(made.read()) == length + 2
    if behind is not None:
        made.head.write_bytes(behind)
        with pytest.raises(IntegrityError):
            made.read()


def test_debris_of_killed_writers_is_swept(tmp_path: Path) -> None:
    made = chain(tmp_path)
    for name in (".log.jsonl.abc.tmp", ".log.head.abc.tmp", ".other.tmp"):
        (tmp_path / name).touch()
    made.append(BODIES[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other.tmp", "log.head", "log.jsonl"]


def test_nothing_is_added_to_a_broken_chain(written: Chain, tmp_path: Path) -> None:
    broken = copied(written, tmp_path, written.lines.read_bytes()[:-2], written.head.read_bytes())
    before = broken.lines.read_bytes()
    with pytest.raises(IntegrityError):
        broken.append(BODIES[0])
    assert broken.lines.read_bytes() == before
