"""Which version answers: the one a reference means, also after somebody promoted another or rolled back.

`service` asks for the current predictor once per request and keeps it until the answer, so a switch drops and mixes
nothing. A version that cannot be loaded never replaces one that can.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from pathlib import Path

import numpy as np

from fdsearch.errors import ConfigError
from fdsearch.progress import Progress
from fdsearch.registry.events import EVENTS
from fdsearch.registry.references import parse_reference
from fdsearch.registry.store import Registry
from fdsearch.serving.batching import BATCH
from fdsearch.serving.formats import KERAS
from fdsearch.serving.predictor import Predictor

INTERVAL_S = 1.0
"""How often it is asked whether the registry's log has changed."""


class Follower:
    """Keeps the predictor that a reference means.

    Parameters
    ----------
    reference : str
        As in `Predictor.load`. A bare name or an alias is followed; a version or a folder stays what it is.
    registry_root : Path
    format : str or None
        As in `Predictor.load`, of every version.
    progress : Progress
        Is told of switches and of what stands in their way.

    Raises
    ------
    ConfigError, IntegrityError, ResourceError
        As in `Predictor.load`: what is served first must be whole.
    """

    def __init__(self, reference: str, registry_root: Path, format: str | None, progress: Progress) -> None:
        self.reference = reference
        self.current = Predictor.load(reference, registry_root, format=format)
        self.switches = 0
        self.problem: str | None = None
        """Why the version that the reference means now does not answer; None where it does."""
        self._root, self._format, self._progress = registry_root, format, progress
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        _warm(self.current)

    @property
    def follows(self) -> bool:
        """Whether the reference may come to mean another version."""
        try:
            wanted = parse_reference(self.reference)
        except ConfigError:  # a folder
            return False
        return wanted.version is None and wanted.name == self.current.version.name

    def start(self) -> None:
        """Look every second from now on, in a thread of its own."""
        if self.follows and self._thread is None:
            self._thread = threading.Thread(target=self._follow, name="following", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> bool:
        """Load the version that the reference means now, if it is another one; return whether it was replaced.

        What goes wrong is said once and kept in `problem`; the version before goes on answering.
        """
        try:
            meant = Registry(self._root).resolve(self.reference)
            if meant.path == self.current.version.path:
                self.problem = None
                return False
            fresh = Predictor.load(self.reference, self._root, format=self._format)
            _warm(fresh)
        except Exception as error:  # also what runtimes raise: whatever it is, the thread must not end unnoticed
            self._complain(str(error) or type(error).__name__)
            return False
        self.current, self.problem = fresh, None
        self.switches += 1
        _give_back()
        self._progress.say(f"{fresh.version.reference} ({fresh.runtime.format}) answers from now on")
        return True

    def _follow(self) -> None:
        read: tuple[int, ...] | None = None
        while not self._ended.wait(INTERVAL_S):
            log = self._stamp()
            # Reading a log of hundreds of events takes milliseconds that answers wait for; mostly nothing is new.
            if log is None or log != read or self.problem is not None:
                self.look()
            read = log

    def _stamp(self) -> tuple[int, ...] | None:
        """What changes with every event: each replaces the log's file."""
        try:
            found = (self._root / self.current.version.name / EVENTS).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _complain(self, problem: str) -> None:
        if problem != self.problem:
            self._progress.say(f"{self.current.version.reference} goes on answering: {problem}")
        self.problem = problem


def _give_back() -> None:
    """Hand freed memory back to the system: glibc keeps what a loaded model's pieces lie between.

    With 40 models of ONNX one after the other a process held 220 MB, and 105 MB with this.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
        if trim is not None:
            trim(0)


def _warm(predictor: Predictor) -> None:
    """Run the model once before anybody waits for it; Keras compiles it anew for each size of a batch."""
    side = predictor.contract.input.size
    sizes = [1 << power for power in range(BATCH.bit_length())] if predictor.runtime.format == KERAS else [1]
    for size in sizes:
        predictor.run(np.zeros((size, side, side, 1), np.uint8))
