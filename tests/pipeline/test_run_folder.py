"""Half-written files of a run folder: rebuilt, ignored or refused, and never believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fdsearch.errors import StorageError
from fdsearch.pipeline.database import has_study, location
from fdsearch.pipeline.run_status import status
from fdsearch.pipeline.search_stage import _keep_trials_apart

SERVER = "postgresql+psycopg://anna:secret@box/studies"
TORN = ['{"url": "postgre', "", "[]", '{"url', "null", "{}"]


@pytest.mark.parametrize("content", TORN)
def test_a_run_whose_server_is_not_known_any_more_does_not_begin_anew(
    tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FDSEARCH_STORAGE", raising=False)
    (tmp_path / "storage.json").write_text(content)
    assert has_study(tmp_path)
    with pytest.raises(StorageError, match="not known") as caught:
        location(tmp_path)
    assert "--storage" in caught.value.faults[0].fix
    assert location(tmp_path, SERVER) == SERVER


@pytest.mark.parametrize("content", ["", '{"study": "tiles", "sta'])
def test_a_half_written_status_reads_unknown(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "runs" / "tiles"
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(content)
    assert status(tmp_path)["studies"] == [{"study": "tiles", "state": "unknown"}]


def test_trials_of_other_data_lie_apart_and_come_back(tmp_path: Path) -> None:
    for name in ("tiles@a", "tiles@b", "tiles@b", "tiles@a"):
        _keep_trials_apart(tmp_path, name)
        (tmp_path / "trials" / name[-1]).mkdir(exist_ok=True)
    assert sorted(path.name for path in (tmp_path / "trials").iterdir()) == ["a", "study.txt"]
    assert sorted(path.name for path in (tmp_path / "trials@b").iterdir()) == ["b", "study.txt"]


def test_the_owner_of_the_trials_is_written_once(tmp_path: Path) -> None:
    """A start that is killed, or finds a full disk, must not leave half a name: the trials would move aside."""
    _keep_trials_apart(tmp_path, "tiles@a")
    owner = tmp_path / "trials" / "study.txt"
    written = owner.stat()
    _keep_trials_apart(tmp_path, "tiles@a")
    assert owner.read_text() == "tiles@a"
    assert (owner.stat().st_ino, owner.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
