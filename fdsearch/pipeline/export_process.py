"""Exports a version's model and compares each export with it, in a process of its own.

``python -m fdsearch.pipeline.export_process FD``, started by `exporter` and imported by nobody: converters need
TensorFlow, gigabytes for a large model, print what they like, and may crash. The parent sends (folder, format) and gets
the fields of an `Export`; the end of the pipe ends the process. It also says what a model's frozen layers see
in pictures: (folder, ``embedding``, configuration, pictures) gets the fields of an `Embedded`.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fdsearch.execution.worker import OOM_SCORE
from fdsearch.files import digest_file, write_atomic
from fdsearch.models.conversion import OPSET, Calibrated, to_litert, to_onnx
from fdsearch.pipeline.embedding import Wanted, embed
from fdsearch.pipeline.exporter import EMBEDDING
from fdsearch.pipeline.parity import Golden, compare, speeds
from fdsearch.quiet import import_keras
from fdsearch.registry.draft import CONTRACT, MODEL
from fdsearch.serving.contract import Contract
from fdsearch.serving.embedding import with_embedding
from fdsearch.serving.exports import GOLDEN, Export
from fdsearch.serving.formats import FILES, KERAS, LITERT, LITERT_FLOAT16, ONNX
from fdsearch.serving.loading import check_fit, load_bytes
from fdsearch.serving.novelty import NOVELTY, parse
from fdsearch.serving.runtimes import KerasRuntime, runtime_from_bytes
from fdsearch.trial import TrialConfig

if TYPE_CHECKING:
    import keras

CONVERTERS: dict[str, Callable[[Calibrated], bytes]] = {
    ONNX: to_onnx,
    LITERT: to_litert,
    LITERT_FLOAT16: functools.partial(to_litert, float16=True),
}


class Draft:
    """A folder that is being exported, with its model, which is loaded once.

    Parameters
    ----------
    folder : Path
        Holds ``model.keras``, ``contract.json``, the pictures of ``golden.npz`` and, where the contract has a threshold
        for it, ``novelty.npz``.
    model : keras.Model
    """

    def __init__(self, folder: Path, model: keras.Model) -> None:
        self.folder, self.model = folder, model
        self.contract = Contract.parse((folder / CONTRACT).read_bytes(), str(folder / CONTRACT))
        check_fit(model, self.contract, str(folder / MODEL))
        calibration, rule = self.contract.calibration, self.contract.novelty
        joined = with_embedding(model, rule.cuts) if rule else model
        self.calibrated = Calibrated(joined, calibration.temperature, calibration.bias)
        known = (folder / NOVELTY).read_bytes() if rule and rule.threshold else None
        self.known = None if known is None else parse(known)

    def reference(self) -> Export:
        """Let the model answer for the golden set, which every export is compared with."""
        runtime = KerasRuntime(self.model, self.contract)
        with np.load(self.folder / GOLDEN, allow_pickle=False) as archive:
            pictures = archive["pictures"]
        Golden(pictures, runtime.run(pictures)).write(self.folder / GOLDEN)
        return Export(file=MODEL, max_difference=0.0, decision_changes=0, passes=True, **speeds(runtime, pictures))

    def export(self, format: str) -> Export:
        """Convert the model, and write the file if what deploys it answers as the model does."""
        name = FILES[format]
        content = CONVERTERS[format](self.calibrated)
        runtime = runtime_from_bytes(format, content, self.contract, name)
        golden = Golden.read(self.folder / GOLDEN)
        compared = compare(format, runtime.run(golden.pictures), golden, self.contract, self.known)
        timed = speeds(runtime, golden.pictures)
        if compared["passes"]:
            write_atomic(self.folder / name, content, durable=False)  # the registry syncs what it takes
        file = name if compared["passes"] else None
        return Export(file=file, opset=OPSET if format == ONNX else None, **compared, **timed)


def main(handle: int) -> None:
    """Serve orders until the parent closes the pipe or dies.

    Parameters
    ----------
    handle : int
        File descriptor of the pipe.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they reach the whole group, and the parent decides
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            # When memory runs out the kernel shall take this process: that costs a format, and no run.
            Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    connection: Connection[Any, Any] = Connection(handle)
    import_keras()
    desk = Desk()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            folder, wanted, *more = connection.recv()
            try:
                if wanted == EMBEDDING:
                    answer = desk.look_into(Path(folder), *more)
                else:
                    answer = desk.export(Path(folder), wanted).model_dump()
            except Exception as error:  # of any converter or runtime: the format is not exported, and that is all
                traceback.print_exc()
                failed = {} if wanted == EMBEDDING else {"passes": False}
                answer = {**failed, "why": _words(error)}
            connection.send(answer)


class Desk:
    """What the process is at: the last model, kept while the same is asked for, and the draft it belongs to."""

    def __init__(self) -> None:
        self._digest = ""
        self._model: keras.Model | None = None
        self._draft: Draft | None = None

    def look_into(self, folder: Path, config: dict[str, Any], pictures: Wanted) -> dict[str, Any]:
        """Run pictures through the frozen layers of a folder's model."""
        return embed(self._load(folder), TrialConfig.from_json(config), pictures)

    def export(self, folder: Path, format: str) -> Export:
        """Make one format of a folder's model."""
        if self._draft is None or self._draft.folder != folder:
            self._draft = None
            self._draft = Draft(folder, self._load(folder))
        return self._draft.reference() if format == KERAS else self._draft.export(format)

    def _load(self, folder: Path) -> keras.Model:
        digest = digest_file(folder / MODEL)
        if self._model is None or self._digest != digest:
            self._model, self._draft = None, None
            _forget()
            self._model, self._digest = load_bytes((folder / MODEL).read_bytes(), str(folder / MODEL)), digest
        return self._model


def _forget() -> None:
    """Give back the memory of the model before."""
    import keras

    keras.backend.clear_session(free_memory=True)
    gc.collect()


def _words(error: Exception) -> str:
    faults = [str(fault) for fault in getattr(error, "faults", ())]
    lines = [*faults, *str(error).strip().splitlines(), "no message"]
    return f"{type(error).__name__}: {lines[0]}"[:300]


if __name__ == "__main__":
    main(int(sys.argv[1]))
