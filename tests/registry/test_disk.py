"""The lock between processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fdsearch.errors import ConflictError
from fdsearch.registry.disk import exclusive

HOLDER = """
import sys
from pathlib import Path
from fdsearch.registry.disk import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_excludes_others_and_dies_with_its_holder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConflictError) as caught, exclusive(lock, seconds=0.05):
            pass
        assert caught.value.exit_code == 6
        holder.kill()
        holder.wait()
        with exclusive(lock, seconds=5):
            pass
