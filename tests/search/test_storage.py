"""The study database and its lock under faults."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from fdsearch.errors import ConflictError, StorageError
from fdsearch.search.dashboard_copy import copy_file
from fdsearch.search.leases import this_parent
from fdsearch.search.ownership import holder, own_study
from fdsearch.search.storage import open_storage

HOLD = """
import sys, time
from pathlib import Path
from fdsearch.search.ownership import own_study
with own_study(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_parent_is_refused_and_told_who_holds_the_study(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            assert (held := holder(tmp_path)) is not None
            assert held.pid == process.pid
            with pytest.raises(ConflictError, match=str(process.pid)), own_study(tmp_path):
                pass
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    with own_study(tmp_path):  # free at once: the kernel released it
        assert holder(tmp_path) == this_parent()
    assert holder(tmp_path) is None


def test_who_only_looks_does_not_keep_a_parent_out(tmp_path: Path) -> None:
    """`holder` takes the lock for a moment; what it finds there of a dead parent names nobody that could be reached."""
    with own_study(tmp_path):
        pass
    gone = replace(this_parent(), start="1")
    (tmp_path / "lock").write_text(json.dumps(asdict(gone)))
    with (tmp_path / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert holder(tmp_path) is None
        timer = threading.Timer(0.05, fcntl.flock, (lock, fcntl.LOCK_UN))
        timer.start()
        with own_study(tmp_path):
            assert holder(tmp_path) == this_parent()
        timer.join()


@pytest.mark.parametrize("damage", ["other", "torn", "scribbled"])
def test_a_damaged_database_is_refused_and_not_touched(tmp_path: Path, damage: str) -> None:
    database = tmp_path / "study.db"
    open_storage(database).engine.dispose()
    content = database.read_bytes()
    broken = {
        "other": b"not a database at all" * 9,
        "torn": content[:5000],
        "scribbled": content[:4096] + b"\xff" * 8192 + content[12288:],
    }[damage]
    database.write_bytes(broken)
    with pytest.raises(StorageError) as caught:
        open_storage(database)
    assert "move it aside" in caught.value.faults[0].fix
    assert database.read_bytes() == broken


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError), own_study(tmp_path / "file" / "run"):
        pass


def test_the_copy_of_a_live_database_is_whole(tmp_path: Path) -> None:
    import optuna

    storage = open_storage(tmp_path / "study.db")
    study = optuna.create_study(storage=storage, study_name="tiles")
    study.add_trial(optuna.trial.create_trial(value=1.0))
    copy_file(tmp_path / "study.db", tmp_path / "copy.db")
    copied = optuna.load_study(study_name="tiles", storage=f"sqlite:///{tmp_path / 'copy.db'}")
    assert copied.best_value == 1.0
    optuna.delete_study(study_name="tiles", storage=f"sqlite:///{tmp_path / 'copy.db'}")
    assert len(study.trials) == 1
