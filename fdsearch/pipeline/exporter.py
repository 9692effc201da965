"""The process that exports, as its parent holds it: started ahead, one draft after another, replaced where it dies.

`export_process` is what it runs. `folder` opens one for a run, `exporting` asks it; it works while the parent does.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fdsearch.execution.process import opened
from fdsearch.serving.exports import Export
from fdsearch.serving.formats import KERAS, LITERT, LITERT_FLOAT16, ONNX

NEEDED: dict[str, tuple[str, ...]] = {
    KERAS: (),
    ONNX: ("tf2onnx", "onnx", "onnxruntime"),
    LITERT: ("ai_edge_litert",),
    LITERT_FLOAT16: ("ai_edge_litert",),
}
"""The modules that make a format and run it, beside those that train; in the order in which formats are made."""

_ENVIRONMENT = {
    # The speeds are those of the processor, on which an inspection line runs; and a GPU is the trainer's.
    "CUDA_VISIBLE_DEVICES": "",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
_PROCESS = "fdsearch.pipeline.export_process"
_INSTALL = "pip install 'fdsearch[export]'"
_LIMIT_S = 600.0
_POLL_S = 0.1


class Exporter:
    """Exports drafts in a process that lives for a run and is started when it is first needed.

    Parameters
    ----------
    log : Path, optional
        Where what it prints is appended; default the parent's stderr.
    """

    def __init__(self, log: Path | None = None) -> None:
        self._log = log
        self._thread = ThreadPoolExecutor(1, "exporter")  # the only one that touches process and connection
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        self._closed = False

    def prepare(self) -> None:
        """Start the process, so that it loads what it needs before there is a draft."""
        self._thread.submit(self._start)

    def begin(self, folder: Path) -> Future[dict[str, Export]]:
        """Add every format to a folder, without waiting for it.

        Parameters
        ----------
        folder : Path
            Holds ``model.keras``, ``contract.json`` and the pictures of ``golden.npz``.

        Returns
        -------
        Future of dict of str to Export
            By format, in the order of `NEEDED`.
        """
        return self._thread.submit(lambda: {format: self._export(folder, format) for format in NEEDED})

    def close(self) -> None:
        """End the process; what it is at is lost."""
        self._closed = True
        self._thread.shutdown(cancel_futures=True)
        self._end()

    def _start(self) -> None:
        if self._process is not None:
            return
        environment = {**os.environ, **_ENVIRONMENT}
        self._connection, theirs = Pipe()
        with theirs, opened(self._log) as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", _PROCESS, str(theirs.fileno())],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _export(self, folder: Path, format: str) -> Export:
        absent = [name for name in NEEDED[format] if importlib.util.find_spec(name) is None]
        if absent:
            return Export(passes=False, why=f"not installed: {', '.join(absent)} ({_INSTALL})")
        if self._closed:
            return Export(passes=False, why="the run ended before")
        try:
            self._start()
            return Export.model_validate(self._ask((str(folder.resolve()), format)))
        except (OSError, EOFError, TimeoutError) as error:  # it could not be started, or died, or hangs
            how = self._end()
            where = f"; see {self._log.name} in the run folder" if self._log else ""
            return Export(passes=False, why=f"the process that exports it {how or error}{where}")

    def _ask(self, order: tuple[str, str]) -> Any:
        """The process's answer to an order; raises EOFError or OSError if it dies of it."""
        assert self._connection is not None  # noqa: S101
        give_up = time.monotonic() + _LIMIT_S
        self._connection.send(order)
        while not self._connection.poll(_POLL_S):
            if self._closed:
                raise EOFError
            if time.monotonic() > give_up:
                raise TimeoutError
        return self._connection.recv()

    def _end(self) -> str | None:
        """Kill the process where it lives; returns how it ended, or None if there was none."""
        process, self._process = self._process, None
        if process is None or self._connection is None:
            return None
        self._connection.close()
        process.kill()
        code = process.wait()
        return f"ended ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"
