"""A head that was noted elsewhere finds out who wrote the whole log anew; verifying mends nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fdsearch.errors import ConfigError, IntegrityError
from fdsearch.registry.events import EVENTS, HEAD
from fdsearch.registry.holdouts import HoldoutLog, Opening
from fdsearch.registry.store import Registry


def test_heads_are_of_every_log(filled: Registry) -> None:
    [head] = filled.heads("tiles")
    last = filled.events("tiles")[-1]
    assert head == {"log": "tiles", "seq": last.seq, "hash": last.hash}
    assert filled.heads() == [head]
    HoldoutLog(filled.root).open(Opening("tiles", "data", "sealed", "tiles", "tiles", "trial-1"))
    assert [(each["log"], each["seq"]) for each in filled.heads()] == [("tiles", 3), ("holdouts.jsonl", 1)]


def test_a_log_that_only_grew_still_holds_what_was_noted(filled: Registry) -> None:
    HoldoutLog(filled.root).open(Opening("tiles", "data", "sealed", "tiles", "tiles", "trial-1"))
    noted = [each["hash"] for each in filled.heads()]
    filled.promote("tiles", 2, by="kim", reason="later")
    found = filled.verify(noted=noted)["heads"]
    assert [(each["log"], each["later"]) for each in found] == [("tiles", 1), ("holdouts.jsonl", 0)]
    with pytest.raises(IntegrityError, match="no entry with hash"):
        filled.verify("tiles", noted=noted)  # of another log


def test_a_log_put_back_with_its_head_is_noticed_only_by_the_noted_hash(filled: Registry, tmp_path: Path) -> None:
    folder = filled.root / "tiles"
    kept = [shutil.copy(folder / name, tmp_path / name) for name in (EVENTS, HEAD)]
    filled.promote("tiles", 2, by="kim", reason="fewer escapes")
    noted = [each["hash"] for each in filled.heads("tiles")]
    for path in kept:
        shutil.copy(path, folder / Path(path).name)
    assert filled.verify()["versions"] == 2, "an older log is a whole log"
    with pytest.raises(IntegrityError) as caught:
        filled.verify(noted=noted)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("text", ["", "ab", "AB" * 32, "zz" * 32, "ab" * 33])
def test_what_is_no_hash_is_refused(filled: Registry, text: str) -> None:
    with pytest.raises(ConfigError):
        filled.verify(noted=[text])


def test_verifying_mends_nothing_and_the_next_writer_does(filled: Registry) -> None:
    """A writer was killed between its two renames: the head is one behind, in number and hash."""
    head = filled.root / "tiles" / HEAD
    behind = head.read_bytes()
    filled.promote("tiles", 2, by="kim", reason="later")
    head.write_bytes(behind)
    for _ in range(2):
        assert filled.verify()["unfinished"] == [str(head)]
        assert head.read_bytes() == behind
    filled.promote("tiles", 1, by="kim", reason="back")
    assert filled.verify()["unfinished"] == []
    assert head.read_bytes() != behind


@pytest.mark.parametrize("change", [(b'"seq":3', b'"seq":2'), (b'"seq":3', b'"seq":4')])
def test_a_head_with_the_number_alone_behind_is_no_killed_writer(filled: Registry, change: tuple[bytes, bytes]) -> None:
    head = filled.root / "tiles" / HEAD
    head.write_bytes(head.read_bytes().replace(*change))
    with pytest.raises(IntegrityError):
        filled.verify()
    with pytest.raises(IntegrityError):
        filled.promote("tiles", 2, by="kim", reason="over it")
