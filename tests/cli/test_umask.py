"""Files of a run are nobody else's, whatever the shell's umask is."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

MAIN = """
import os, sys
from pathlib import Path
os.umask(int(sys.argv[1], 8))
from fdsearch.__main__ import main
code = main(sys.argv[2:])
Path("left").write_text(f"{os.umask(0):03o}")
raise SystemExit(code)
"""


@pytest.mark.parametrize(("before", "after"), [("000", "027"), ("022", "027"), ("077", "077")])
def test_the_umask_becomes_stricter_never_looser(tmp_path: Path, before: str, after: str) -> None:
    subprocess.run([sys.executable, "-c", MAIN, before, "--help"], cwd=tmp_path, stdout=subprocess.DEVNULL, check=True)
    assert (tmp_path / "left").read_text() == after


@pytest.mark.slow
def test_all_that_a_whole_run_writes_is_at_most_0640(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAIN, "000", "demo", "--root", str(tmp_path / "root")]
    subprocess.run(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (tmp_path / "root").rglob("*")}
    assert len(modes) > 20
    loose = {
        str(path): oct(mode) for path, mode in modes.items() if mode & ~(0o750 if path.is_dir() else 0o640) & 0o777
    }
    assert not loose
