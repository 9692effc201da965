"""A headless Chromium for tests, driven over its own pipe (DevTools protocol); it needs nothing but the browser."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
MISSING = "no Chromium on this machine (make system)"

_HEADLESS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
_FLAGS = (
    *_HEADLESS,
    *("--hide-scrollbars", "--disable-extensions", "--disable-component-update", "--remote-debugging-pipe"),
)
_LIMIT_S = 120

_HAND_OVER = """
import fcntl, os, sys
heard, told = (fcntl.fcntl(int(each), fcntl.F_DUPFD, 10) for each in sys.argv[1:3])
os.dup2(heard, 3), os.dup2(told, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""The browser hears on descriptor 3 and answers on 4."""


def shown(address: str, folder: Path, *options: str) -> str:
    """The document of a page once its scripts have worked.

    Parameters
    ----------
    address : str
    folder : Path
        For the browser's profile.
    *options : str
        Further ones of the browser.
    """
    command = [str(PROGRAM), *_HEADLESS, f"--user-data-dir={folder}/profile", *options, "--dump-dom", address]
    return subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=True).stdout


class Browser:
    """One page.

    Parameters
    ----------
    folder : Path
        Where the browser may keep its profile.
    width, height : int
        Of the page.

    Attributes
    ----------
    requested : list of str
        Every address the page asked for.
    """

    def __init__(self, folder: Path, width: int = 1200, height: int = 900) -> None:
        self.requested: list[str] = []
        self._number, self._buffer = 0, b""
        heard, self._write = os.pipe()
        self._read, told = os.pipe()
        command = [sys.executable, "-c", _HAND_OVER, str(heard), str(told), str(PROGRAM), *_FLAGS]
        command += [f"--user-data-dir={folder}/profile", "about:blank"]
        quiet: Any = subprocess.DEVNULL
        self._process = subprocess.Popen(command, pass_fds=(heard, told), stdin=quiet, stdout=quiet, stderr=quiet)
        os.close(heard)
        os.close(told)
        self._session: str | None = None
        try:
            self._attach(width, height)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def _attach(self, width: int, height: int) -> None:
        [target] = [each for each in self._ask("Target.getTargets")["targetInfos"] if each["type"] == "page"]
        self._session = self._ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Network", "DOM"):
            self._ask(f"{domain}.enable")
        self.resize(width, height)

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._read)
        os.close(self._write)

    def resize(self, width: int, height: int, *, mobile: bool = False) -> None:
        """Give the page another size."""
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def open(self, url: str) -> None:
        """Go to an address."""
        self._ask("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self._ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 60) -> None:
        """Return when a JavaScript expression is true."""
        until = time.monotonic() + seconds
        while not self.evaluate(f"Boolean({expression})"):
            assert time.monotonic() < until, f"not within {seconds} s: {expression}"
            time.sleep(0.05)

    def drop(self, file: Path, x: float, y: float) -> None:
        """Drag a file over a place of the page and let it go, as a person does."""
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self._ask("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def choose(self, selector: str, file: Path) -> None:
        """Choose a file in a file input."""
        root = self._ask("DOM.getDocument")["root"]["nodeId"]
        node = self._ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self._ask("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def press(self, key: str, code: int) -> None:
        """Press and release a key."""
        for kind in ("rawKeyDown", "keyUp"):
            self._ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def screenshot(self, path: Path) -> None:
        """Write the whole page as PNG."""
        answer = self._ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._hear()
            if answer.get("method") == "Network.requestWillBeSent":
                self.requested.append(answer["params"]["request"]["url"])
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._read, 1 << 20)
            assert part, "the browser is gone"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer
