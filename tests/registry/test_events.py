"""The log of a model: a chain in which no byte changes and no line vanishes unnoticed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fdsearch.errors import ConfigError, IntegrityError
from fdsearch.registry.chain import Chain
from fdsearch.registry.events import EVENTS, HEAD, EventLog

STORED = Path(__file__).with_name("stored") / "demo"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of four events."""
    folder = tmp_path_factory.mktemp("log") / "tiles"
    log = EventLog(folder)
    log.append("registered", 1, by="test", why="new version", details={"manifest": "0" * 64})
    log.append("registered", 2, by="test", why="new\nversion \u2028 with odd breaks", details={"manifest": "1" * 64})
    log.append("promoted", 2, by="käthe", why="größer", details={"generation": 1})
    log.append("promoted", 1, by="kim", why="back", details={"generation": 2})
    return folder


def rewritten(folder: Path, events: bytes, head: bytes) -> EventLog:
    copy = folder.parent / "copy" / folder.name
    copy.mkdir(parents=True, exist_ok=True)
    (copy / EVENTS).write_bytes(events)
    (copy / HEAD).write_bytes(head)
    return EventLog(copy)


def test_reads_what_was_appended(written: Path) -> None:
    events = EventLog(written).read()
    assert [event.seq for event in events] == [1, 2, 3, 4]
    assert events[2].by == "käthe"
    assert [event.previous for event in events[1:]] == [event.hash for event in events[:-1]]


def test_no_log_has_no_events(tmp_path: Path) -> None:
    assert EventLog(tmp_path / "new").read() == ()


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_any_changed_byte_is_noticed(written: Path, data: st.DataObject) -> None:
    parts = [(written / EVENTS).read_bytes(), (written / HEAD).read_bytes()]
    which = data.draw(st.integers(0, 1))
    position = data.draw(st.integers(0, len(parts[which]) - 1))
    change = data.draw(st.integers(1, 255))
    changed = bytearray(parts[which])
    changed[position] ^= change
    parts[which] = bytes(changed)
    with pytest.raises(IntegrityError):
        rewritten(written, *parts).read()


@given(st.integers(1, 2000))
@settings(max_examples=100, deadline=None)
def test_a_log_cut_anywhere_is_noticed(written: Path, cut: int) -> None:
    events = (written / EVENTS).read_bytes()
    with pytest.raises(IntegrityError):
        rewritten(written, events[: -min(cut, len(events))], (written / HEAD).read_bytes()).read()


@pytest.mark.parametrize("tail", [b"{", b"\n", b'{"seq":5}\n', b"\0"])
def test_a_torn_or_foreign_tail_is_noticed(written: Path, tail: bytes) -> None:
    log = rewritten(written, (written / EVENTS).read_bytes() + tail, (written / HEAD).read_bytes())
    with pytest.raises(IntegrityError, match="line 5"):
        log.read()


def test_a_head_one_behind_is_read_and_mended(written: Path) -> None:
    """A writer was killed between its two renames."""
    lines = (written / EVENTS).read_bytes().splitlines(keepends=True)
    behind = rewritten(written, b"".join(lines[:3]), b"")
    behind.folder.joinpath(HEAD).unlink()
    with pytest.raises(IntegrityError):
        behind.read()

    one = rewritten(written, lines[0], b"")
    one.folder.joinpath(HEAD).unlink()
    assert len(one.read()) == 1
    one.append("promoted", 1, by="kim", why="goes on", details={"generation": 1})
    assert len(one.read()) == 2

    old_head = one.folder.joinpath(HEAD).read_bytes()
    one.append("promoted", 1, by="kim", why="again", details={"generation": 2})
    one.folder.joinpath(HEAD).write_bytes(old_head)
    assert len(one.read()) == 3
    one.append("promoted", 1, by="kim", why="and again", details={"generation": 3})
    one.folder.joinpath(HEAD).write_bytes(old_head)
    with pytest.raises(IntegrityError, match="the log was cut, or the head changed"):
        one.read()


def test_a_log_of_another_model_does_not_fit(written: Path) -> None:
    other = written.parent / "other"
    other.mkdir()
    for name in (EVENTS, HEAD):
        (other / name).write_bytes((written / name).read_bytes())
    with pytest.raises(IntegrityError, match="line 1"):
        EventLog(other).read()


def test_a_lone_head_is_noticed(tmp_path: Path) -> None:
    (tmp_path / HEAD).write_bytes(b'{"hash":"00","seq":1}\n')
    with pytest.raises(IntegrityError, match="no head without"):
        EventLog(tmp_path).read()


def test_a_log_of_an_earlier_fdsearch_is_read_and_goes_on(tmp_path: Path) -> None:
    """Its bytes were written before the chain had a module of its own; they stay as they are."""
    folder = tmp_path / "demo"
    shutil.copytree(STORED, folder)
    before = (folder / EVENTS).read_bytes()
    log = EventLog(folder)
    assert [(event.kind, event.version) for event in log.read()] == [
        ("registered", 1),
        ("evaluated", 1),
        ("promoted", 1),
        ("registered", 2),
    ]
    assert log.read()[-1].hash == "e6e10b9b95c00898746466aff2bbbb559e9500e2e33d6c250575c88ce43e61d0"
    log.append("challenger", 2, by="kim", why="later")
    assert (folder / EVENTS).read_bytes().startswith(before)
    assert [event.seq for event in log.read()] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("change", [{"more": 1}, {"details": [1]}, {"details": 5}])
def test_a_whole_line_that_is_no_event_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    log = EventLog(tmp_path / "tiles")
    event = log.append("registered", 1, by="test", why="new version", details={"manifest": "0" * 64})
    body = {key: value for key, value in event.body().items() if key not in ("seq", "previous")}
    Chain(log.folder / EVENTS, log.folder / HEAD, log.genesis, "tiles").append({**body, **change})
    with pytest.raises(IntegrityError, match="no event"):
        log.read()


def test_empty_texts_are_refused_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        EventLog(tmp_path / "tiles").append("promoted", 1, by="", why="\t")
    assert [fault.where for fault in caught.value.faults] == ["by", "why"]
