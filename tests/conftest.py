"""Fixtures shared by all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import MISSING, PostgresServer, programs
from ray_nodes import TwoNodes

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real pictures; tests that need it are skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real pictures (../shared/data) are not on this machine")
    return SHARED_DATA


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server on loopback; tests that need it are skipped where its programs are absent."""
    if programs() is None:
        pytest.skip(MISSING)
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """The URL of an empty PostgreSQL database."""
    return postgres.new_database()


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[TwoNodes]:
    """The two nodes, kept for the whole session, because Ray connects a process once."""
    with TwoNodes() as nodes:
        yield nodes


@pytest.fixture
def two_nodes(ray_cluster: TwoNodes) -> TwoNodes:
    """A Ray cluster whose two nodes live."""
    ray_cluster.complete()
    return ray_cluster


def pytest_configure() -> None:
    """Let Ctrl-C reach the commands that tests start, also where the tests run in the background of a shell.

    A shell without job control lets its background processes ignore it, and processes inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
