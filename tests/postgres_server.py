"""A real PostgreSQL server on loopback, for tests and drills: its own data folder, its own port, gone when it is left.

Nothing that an installation of PostgreSQL may already run on this machine is used or touched.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

MISSING = "the server programs of PostgreSQL are not on this machine: run `make system` as root"
START_S = 60.0
STOP_S = 60.0
USER = "fdsearch"
PORTS = range(20_000, 32_000)
"""Below the ports that the kernel hands to clients: one of those could take ours while the server is down."""


def programs() -> Path | None:
    """Folder of ``initdb`` and ``postgres``, the newest version; None where they are not installed.

    Debian keeps them off the PATH.
    """
    found = shutil.which("postgres")
    if found is not None:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


class PostgresServer:
    """A server that can be stopped, killed and started again on the same data; a context manager.

    The server refuses to run as root, so root runs it as an unprivileged user. It ends with the process that started
    it, however that ends. Defaults are left as they are, `fsync` above all: restarts must prove something.
    """

    def __init__(self) -> None:
        folder = programs()
        if folder is None:
            raise FileNotFoundError(MISSING)
        self._programs = folder
        self._user = _unprivileged_user()
        self._process: subprocess.Popen[bytes] | None = None
        self._names = (f"test_{number}" for number in itertools.count(1))
        self.port = _free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="fdsearch-postgres-"))

    def __enter__(self) -> Self:
        try:
            if self._user is not None:
                shutil.chown(self.folder, self._user, -1)
            self._initialize()
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self) -> str:
        """SQLAlchemy's URL of the database that every server has."""
        return self._url("postgres")

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.folder / "log.txt"

    def new_database(self) -> str:
        """Make an empty database and return its URL."""
        import psycopg

        name = next(self._names)
        address = f"host=127.0.0.1 port={self.port} user={USER} dbname=postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self._url(name)

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "max_connections": 100}
        settings = [text for name, value in options.items() for text in ("-c", f"{name}={value}")]
        # The kernel tells the server when its parent is gone; a killed test run must not leave one behind.
        bound = ["setpriv", "--pdeathsig", "QUIT"]
        command = [*bound, str(self._programs / "postgres"), "-D", str(self._data), *settings, "-k", str(self.folder)]
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        self._process = self._popen(command)
        give_up = time.monotonic() + START_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop the server: `fast` ends its clients in order, `immediate` drops everything as a crash would."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT if mode == "fast" else signal.SIGQUIT)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def restart(self, mode: Literal["fast", "immediate"] = "fast", pause: float = 0.0) -> None:
        """Stop the server and start it again after `pause` seconds."""
        self.stop(mode)
        time.sleep(pause)
        self.start()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _url(self, name: str) -> str:
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/{name}"

    def _initialize(self) -> None:
        options = ["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"]
        process = self._popen([str(self._programs / "initdb"), "-D", str(self._data), *options])
        if process.wait() != 0:
            raise RuntimeError(f"initdb failed:\n{self.log.read_text()[-4000:]}")

    def _popen(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                group=None if self._user is None else _group_of(self._user),
                extra_groups=None if self._user is None else [],
            )

    def _is_ready(self) -> bool:
        """The server writes its state into the eighth line of this file."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"


def _unprivileged_user() -> str | None:
    import pwd

    if os.geteuid() != 0:
        return None
    return next(name for name in ("postgres", "nobody") if name in {entry.pw_name for entry in pwd.getpwall()})


def _group_of(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


def _free_port() -> int:
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
