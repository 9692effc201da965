"""The server that other tests rely on: whether it forgets what it should keep, or outlives its owner."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from postgres_server import PostgresServer

HOLDER = """
import sys, time
from postgres_server import PostgresServer
with PostgresServer() as server:
    print(server._process.pid, server.folder, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_committed_rows_survive_a_restart(postgres: PostgresServer, postgres_url: str, mode: str) -> None:
    from sqlalchemy import create_engine, text

    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept (x int)"))
        connection.execute(text("INSERT INTO kept VALUES (7)"))
    engine.dispose()

    postgres.restart(mode)

    with engine.begin() as connection:
        assert connection.execute(text("SELECT x FROM kept")).scalars().all() == [7]
        assert connection.execute(text("SHOW fsync")).scalar() == "on"
    engine.dispose()


def test_the_server_ends_with_a_killed_owner(postgres: PostgresServer) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, env=environment) as owner:
        assert owner.stdout is not None
        pid, folder = owner.stdout.readline().split()
        server = psutil.Process(int(pid))
        owner.send_signal(signal.SIGKILL)
    ended = _waits_for_end(server)
    shutil.rmtree(folder.decode())
    assert ended


def _waits_for_end(process: psutil.Process, seconds: float = 30.0) -> bool:
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False
