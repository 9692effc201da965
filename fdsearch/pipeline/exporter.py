"""The process that exports, as its parent holds it: started ahead, one draft after another, replaced where it dies.

`export_process` is what it runs. `folder` opens one for a run, `exporting` asks it for files, `novelty` for what a
model sees; it works while the parent does.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch.execution.process import opened
from fdsearch.serving.exports import Export
from fdsearch.serving.formats import KERAS, LITERT, LITERT_FLOAT16, ONNX
from fdsearch.trial import TrialConfig

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
_EMBED_LIMIT_S = 7200.0
"""The whole development part goes through the frozen layers."""
_POLL_S = 0.1


EMBEDDING = "embedding"
"""Stands in an order where a format may stand."""

_WAIT_S = 0.2


@dataclass(frozen=True)
class Embedded:
    """What a model's frozen layers see in pictures.

    Parameters
    ----------
    cuts : tuple of str
        As `fdsearch.models.embedding.embedding_cuts` finds them; empty where there are none.
    arrays : tuple of ndarray of float32, shape (n, d)
        For each array of pictures that was asked for; empty where `why` says why.
    why : str or None
    """

    cuts: tuple[str, ...] = ()
    arrays: tuple[NDArray[np.float32], ...] = ()
    why: str | None = None


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

    def embed(
        self,
        folder: Path,
        config: TrialConfig,
        pictures: Sequence[tuple[Path, NDArray[np.int64] | None]],
        check: Callable[[], None] = lambda: None,
    ) -> Embedded:
        """What the layers of a draft's model see in pictures that no phase of a configuration trains.

        Parameters
        ----------
        folder : Path
            Holds ``model.keras``.
        config : TrialConfig
        pictures : sequence of (Path, ndarray of int64 or None)
            ``.npy`` of uint8, shape (n, size, size, 1), and which of its rows; None is all of them.
        check : callable
            Called while it takes; what it raises ends the wait.
        """
        wanted = [(str(path), rows) for path, rows in pictures]
        begun = self._thread.submit(lambda: self._embed((str(folder.resolve()), EMBEDDING, config.to_json(), wanted)))
        while True:
            check()
            try:
                return begun.result(_WAIT_S)
            except TimeoutError:
                continue

    def _embed(self, order: tuple[Any, ...]) -> Embedded:
        try:
            self._start()
            return Embedded(**self._ask(order, _EMBED_LIMIT_S))
        except (OSError, EOFError, TimeoutError) as error:
            where = f"; see {self._log.name} in the run folder" if self._log else ""
            return Embedded(why=f"the process that looks into the model {self._end() or error}{where}")

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

    def _ask(self, order: tuple[Any, ...], limit_s: float = _LIMIT_S) -> Any:
        """The process's answer to an order; raises EOFError or OSError if it dies of it."""
        assert self._connection is not None  # noqa: S101
        give_up = time.monotonic() + limit_s
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
