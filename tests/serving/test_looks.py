"""Many looks spend one rate, and a log that counts them for each version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdsearch.errors import ConfigError, DataError, StorageError
from fdsearch.serving.looks import LAST_LOOK, level, next_look, record


@given(st.floats(1e-4, 0.5), st.integers(1, 2000))
def test_all_looks_together_spend_no_more_than_the_rate(rate: float, looks: int) -> None:
    spent = [level(rate, look) for look in range(1, looks + 1)]
    assert sum(spent) < rate * (1 + 1e-9)
    assert spent == sorted(spent, reverse=True)


def test_looks_are_counted_for_each_version(tmp_path: Path) -> None:
    log = tmp_path / "looks.jsonl"
    assert next_look(log, "a") == 1
    for look, manifest in ((1, "a"), (2, "a"), (1, "b")):
        record(log, {"look": look, "manifest": manifest})
    assert (next_look(log, "a"), next_look(log, "b"), next_look(log, "c")) == (3, 2, 1)


@pytest.mark.parametrize(
    "content", [b"x", b"[]", b"{}", b'{"look": "1", "manifest": "a"}', b'{"look": 0, "manifest": "a"}', b"\xff"]
)
def test_what_is_no_log_is_refused(tmp_path: Path, content: bytes) -> None:
    log = tmp_path / "looks.jsonl"
    log.write_bytes(content + b"\n")
    with pytest.raises(DataError, match="cannot be read"):
        next_look(log, "a")
    with pytest.raises(DataError):
        next_look(tmp_path, "a")


def test_a_log_comes_to_its_end(tmp_path: Path) -> None:
    log = tmp_path / "looks.jsonl"
    log.write_text(json.dumps({"look": LAST_LOOK, "manifest": "a"}) + "\n")
    assert next_look(log, "b") == 1
    with pytest.raises(ConfigError, match="is spent"):
        next_look(log, "a")


def test_a_log_that_cannot_be_written_exits_4(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        record(tmp_path / "file" / "looks.jsonl", {"look": 1, "manifest": "a"})
