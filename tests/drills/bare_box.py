"""The other box of the drill `airgap`: an interpreter, a folder that was carried to it, and a person who types."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from drills.pages import Page, open_page

_LIMIT_S = 900
_PATIENCE_S = 120


@dataclass
class BareBox:
    """What is done on the box, with nothing of the environment or the repository that the drill itself runs in.

    Parameters
    ----------
    wheelhouse : Path
        What was carried to it.
    folder : Path
        Everything else goes here.
    """

    wheelhouse: Path
    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each step took."""

    @property
    def root(self) -> Path:
        """The root folder of its runs."""
        return self.folder / "root"

    def install(self) -> None:
        """Run install.sh."""
        self._run("install", ["sh", str(self.wheelhouse / "install.sh"), str(self.folder / "environment")])

    def fdsearch(self, step: str, *arguments: str, code: int = 0) -> Any:
        """Run a command, which must end with `code`, and return its JSON document."""
        return json.loads(self._run(step, self._command(*arguments), code))

    @contextmanager
    def serving(self, *arguments: str) -> Iterator[str]:
        """A command that serves pages, while it does; yields the address that it tells."""
        command = self._command(*arguments, "--port", "0")
        with subprocess.Popen(command, **self._surroundings(), stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                url = str(json.loads("".join(iter(server.stdout.readline, "}\n")) + "}")["url"])
                _wait_for(url)
                yield url
            finally:
                server.terminate()
                server.communicate(timeout=_PATIENCE_S)

    def page(self, name: str, address: str) -> Page:
        """Open a page in the box's browser."""
        return open_page(address, self.folder / "pages" / name)

    def _command(self, *arguments: str) -> list[str]:
        program = self.folder / "environment" / "bin" / "fdsearch"
        return [str(program), *arguments, "--root", str(self.root), "--json"]

    def _run(self, step: str, command: list[str], code: int = 0) -> str:
        print(step, file=sys.stderr, flush=True)
        started = time.monotonic()
        done = subprocess.run(
            command, **self._surroundings(), capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
        self.seconds[step] = round(time.monotonic() - started, 1)
        if done.returncode != code:
            said = f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
            raise SystemExit(f"{step} ended with {done.returncode}, not with {code}:\n{said}")
        return done.stdout

    def _surroundings(self) -> dict[str, Any]:
        home = self.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        interpreter = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
        return {
            "env": {"PATH": "/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8", "PYTHON": str(interpreter)},
            "cwd": home,
        }


def _wait_for(url: str) -> None:
    """Wait until somebody listens; the address is told before the pages are ready."""
    parts, deadline = urlsplit(url), time.monotonic() + _PATIENCE_S
    while True:
        try:
            socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
