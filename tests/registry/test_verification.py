"""``registry verify``: every kind of tampering is found, all at once, and debris is not tampering."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fdsearch.errors import ConfigError, IntegrityError
from fdsearch.files import canonical_json, digest_file
from fdsearch.registry.collection import collect
from fdsearch.registry.draft import Draft
from fdsearch.registry.model import Model
from fdsearch.registry.store import Registry

WRITERS = Path(__file__).with_name("writers.py")


def flip(path: Path, position: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def reseal(version: Path) -> None:
    """Make a manifest that agrees with changed files, as an attacker would."""
    manifest = json.loads((version / "manifest.json").read_bytes())
    for name, entry in manifest["files"].items():
        entry.update(sha256=digest_file(version / name), size=(version / name).stat().st_size)
    (version / "manifest.json").write_bytes(canonical_json(manifest))


def change_and_reseal(version: Path) -> None:
    flip(version / "model.keras")
    reseal(version)


def exchange_with_other_version(version: Path) -> None:
    shutil.rmtree(version)
    shutil.copytree(version.parent / "0002", version)


def replace_by_link(version: Path) -> None:
    moved = version.parent.parent.parent.parent / "moved.keras"
    (version / "model.keras").rename(moved)
    (version / "model.keras").symlink_to(moved)


def replace_by_fifo(version: Path) -> None:
    (version / "card.md").unlink()
    os.mkfifo(version / "card.md")


TAMPERING: dict[str, Callable[[Path], object]] = {
    "a flipped byte of the model": lambda version: flip(version / "model.keras"),
    "a flipped byte of the manifest": lambda version: flip(version / "manifest.json", 100),
    "a longer file": lambda version: (version / "card.md").write_text("# Model card\n\n"),
    "an empty file": lambda version: (version / "oof.npz").write_bytes(b""),
    "a missing file": lambda version: (version / "contract.json").unlink(),
    "a missing manifest": lambda version: (version / "manifest.json").unlink(),
    "a missing version": lambda version: shutil.rmtree(version),
    "an additional file": lambda version: (version / "extra.py").write_text("import os"),
    "an additional folder's file": lambda version: (version / "sub").mkdir() or (version / "sub" / "x").touch(),
    "a file beside the versions": lambda version: (version.parent / "notes.txt").touch(),
    "a folder beside the versions": lambda version: (version.parent / "backup").mkdir(),
    "a file beside the log": lambda version: (version.parent.parent / "events.bak").touch(),
    "a file beside the models": lambda version: (version.parent.parent.parent / "README").touch(),
    "a folder that is no model's": lambda version: (version.parent.parent.parent / "Tiles").mkdir(),
    "a changed model under a new manifest": change_and_reseal,
    "another version's files": exchange_with_other_version,
    "a folder whose number is written otherwise": lambda version: shutil.copytree(version, version.parent / "00007"),
    "a folder with digits of another script": lambda version: shutil.copytree(version, version.parent / "٠٠٠٧"),
    "a lost log": lambda version: [(version.parents[1] / name).unlink() for name in ("events.jsonl", "events.head")],
    "an emptied log": lambda version: [
        (version.parents[1] / name).write_bytes(b"") for name in ("events.jsonl", "events.head")
    ],
    "what cannot be a signature": lambda version: (version / "manifest.json.sig").write_bytes(bytes(65)),
    "a link": replace_by_link,
    "a FIFO": replace_by_fifo,
}


def test_a_whole_registry_is_counted(filled: Registry) -> None:
    found = filled.verify()
    assert (found["models"], found["versions"], found["files"], found["unfinished"]) == (1, 2, 12, [])
    assert found["bytes"] > 0
    assert filled.verify("tiles") == found


def test_an_empty_registry_is_whole(registry: Registry) -> None:
    assert registry.verify()["models"] == 0


def test_a_lost_log_does_not_make_a_new_model(filled: Registry, make_draft: Callable[..., Draft]) -> None:
    """Else the next writer would begin a log that knows nothing of the versions that are there."""
    for name in ("events.jsonl", "events.head"):
        (filled.root / "tiles" / name).unlink()
    for change in (
        filled.models,
        lambda: filled.register("tiles", make_draft(b"third"), "test"),
        lambda: filled.promote("tiles", 1, by="kim", reason="again"),
        lambda: collect(Model(filled.root / "tiles"), by="kim", reason="disk"),
    ):
        with pytest.raises(IntegrityError, match="the log of tiles is gone"):
            change()
    assert sorted(path.name for path in (filled.root / "tiles" / "versions").iterdir()) == ["0001", "0002"]


def test_what_writers_do_meanwhile_is_no_damage(filled: Registry, make_draft: Callable[..., Draft]) -> None:
    """Verified without a lock, while versions come and go."""
    make_draft(b"more")
    writer = subprocess.Popen([sys.executable, WRITERS, "churn", filled.root, filled.root.parent / "draft"])
    verified = 0
    while writer.poll() is None:
        verified += filled.verify()["models"]
    assert writer.returncode == 0 and verified > 3
    assert filled.verify()["unfinished"] == []


def test_an_unknown_model_is_no_integrity_question(filled: Registry) -> None:
    with pytest.raises(ConfigError):
        filled.verify("tules")


@pytest.mark.parametrize("tampering", TAMPERING)
def test_tampering_exits_5(filled: Registry, tampering: str) -> None:
    version = filled.root / "tiles" / "versions" / "0001"
    TAMPERING[tampering](version)
    with pytest.raises(IntegrityError) as caught:
        filled.verify()
    assert caught.value.exit_code == 5
    assert caught.value.faults


def test_all_faults_are_listed_at_once(filled: Registry) -> None:
    versions = filled.root / "tiles" / "versions"
    flip(versions / "0001" / "model.keras")
    flip(versions / "0002" / "card.md")
    (versions / "0002" / "extra").touch()
    with pytest.raises(IntegrityError) as caught:
        filled.verify()
    names = {Path(fault.where).relative_to(versions).as_posix() for fault in caught.value.faults}
    assert names == {"0001/model.keras", "0002/card.md", "0002/extra"}


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_of_a_version_is_noticed(filled: Registry, data: st.DataObject) -> None:
    version = filled.root / "tiles" / "versions" / "0001"
    path = data.draw(st.sampled_from(sorted(version.iterdir())))
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    try:
        with pytest.raises(IntegrityError):
            filled.verify()
    finally:
        path.write_bytes(whole)


def test_reading_checks_the_bytes_it_returns(filled: Registry) -> None:
    version = filled.resolve("tiles")
    flip(version.path / "metrics.json")
    with pytest.raises(IntegrityError, match="not as it was registered"):
        version.read_json("metrics.json")
    with pytest.raises(IntegrityError, match="lacks a file"):
        version.read("../../events.jsonl")


def test_what_a_killed_writer_leaves_is_no_fault(filled: Registry) -> None:
    versions = filled.root / "tiles" / "versions"
    (versions / ".incoming-abc").mkdir()
    (versions / "0003").mkdir()
    shutil.copytree(versions / "0002", versions / "0004")
    (filled.root / "tiles" / ".events.jsonl.abc.tmp").touch()
    assert len(filled.verify()["unfinished"]) == 4
    assert filled.models()[0]["versions"] == [1, 2]
    with pytest.raises(ConfigError):
        filled.resolve("tiles:4")
