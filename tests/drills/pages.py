"""What a page asks for when a browser opens it, read from the browser's own log.

The log also has what frames and workers of the page ask for, which are pages of their own to the DevTools.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from browser import MISSING, PROGRAM, shown

LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Page:
    """A page as a browser showed it."""

    dom: str
    requests: tuple[str, ...]

    @property
    def outside(self) -> tuple[str, ...]:
        """Requests that did not go to this machine, answered or not."""
        return tuple(url for url in self.requests if urlsplit(url).hostname not in LOOPBACK)


def open_page(address: str, folder: Path, patience_ms: int = 15_000) -> Page:
    """Open an address of this machine and let its scripts work.

    Parameters
    ----------
    address : str
    folder : Path
        For the browser's profile and log; made if absent.
    patience_ms : int
        How long the page's clock runs.
    """
    if PROGRAM is None:
        raise RuntimeError(MISSING)
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "requests.json"
    dom = shown(address, folder, f"--log-net-log={log}", f"--virtual-time-budget={patience_ms}")
    return Page(dom, tuple(_asked(log)))


def _asked(log: Path) -> Iterator[str]:
    """The addresses that a page asked for, its own first; the browser also looks for updates, which is not the page."""
    content = json.loads(log.read_text())
    start = content["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    for event in content["events"]:
        asked = event.get("params", {})
        if event["type"] != start or "url" not in asked:
            continue
        # The browser's own requests have no origin, and the one that opens a page has none either.
        if asked["initiator"] != "not an origin" or asked["request_type"] == "main frame":
            yield asked["url"]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on loopback; yields its address, which ends with a slash."""
    with ThreadingHTTPServer((LOOPBACK[0], 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{LOOPBACK[0]}:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass
