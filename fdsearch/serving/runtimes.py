"""What runs a version's model: Keras, onnxruntime or LiteRT, behind one call; the fastest that was found to agree.

`predictor` and the service ask through `Runtime`; `pipeline` measures the exports through the very same objects. The
files are searched before a runtime sees them: `archive` (Keras), `onnx_file` and `litert_file`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fdsearch.decide import probabilities
from fdsearch.errors import Fault, IntegrityError, ResourceError
from fdsearch.layers import EMBEDDING, LOGITS, PICTURES, PROBABILITIES
from fdsearch.quiet import no_stderr
from fdsearch.registry.manifest import RESTORE
from fdsearch.registry.version import ModelVersion
from fdsearch.serving.contract import Contract
from fdsearch.serving.embedding import with_embedding
from fdsearch.serving.formats import FILES, KERAS, LITERT, LITERT_FLOAT16, ONNX, absence, choose, installed
from fdsearch.serving.litert_file import check_litert
from fdsearch.serving.loading import load_checked, memory_fault
from fdsearch.serving.onnx_file import check_onnx

if TYPE_CHECKING:
    import keras

_MAX_THREADS = 8


@dataclass(frozen=True)
class Answer:
    """What a model says about n pictures.

    Parameters
    ----------
    logits : ndarray of float32, shape (n, n_classes)
        Uncalibrated; the label is the class of the largest.
    probabilities : ndarray of float32, shape (n, n_classes)
        Calibrated as the contract says; rows sum to 1.
    embedding : ndarray of float32, shape (n, d), or None
        What the layers see that no phase trained; None where the contract knows nothing of novelty.
    """

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    embedding: NDArray[np.float32] | None = None

    def of(self, rows: slice) -> Answer:
        """What is said about some of the pictures."""
        embedding = None if self.embedding is None else self.embedding[rows]
        return Answer(self.logits[rows], self.probabilities[rows], embedding)

    @classmethod
    def joined(cls, parts: Sequence[Answer]) -> Answer:
        """One answer out of those for pictures that follow each other; at least one."""
        embeddings = [part.embedding for part in parts if part.embedding is not None]
        return cls(
            np.concatenate([part.logits for part in parts]),
            np.concatenate([part.probabilities for part in parts]),
            np.concatenate(embeddings) if len(embeddings) == len(parts) else None,
        )


class Runtime(Protocol):
    """A loaded model; may be called from several threads."""

    @property
    def format(self) -> str:
        """A key of `formats.FILES`."""

    def run(self, pictures: NDArray[np.uint8]) -> Answer:
        """Answer for pictures (n, size, size, 1), 0 black to 255 white; n is at least 1."""


def open_runtime(version: ModelVersion, contract: Contract, format: str | None = None) -> Runtime:
    """Load a version's model in one of its formats.

    Parameters
    ----------
    version : ModelVersion
    contract : Contract
    format : str, optional
        A key of `formats.FILES`; default: what `formats.choose` takes.

    Raises
    ------
    ConfigError
        If the version does not have the format, or its answers differ from the model's.
    IntegrityError
        If the file is not as registered, could do more than compute, or does not fit the contract.
    ResourceError
        If the package that runs it is not installed, or the model does not fit into memory.
    """
    chosen = choose(version, format)
    name = FILES[chosen]
    return runtime_from_bytes(chosen, version.read(name), contract, str(version.path / name))


def runtime_from_bytes(format: str, content: bytes, contract: Contract, where: str) -> Runtime:
    """Load a model from the bytes of its file, after a look at what they hold.

    Parameters
    ----------
    format : str
        A key of `formats.FILES`.
    content : bytes
    contract : Contract
        What the model must take and answer.
    where : str
        Names the file in faults.

    Raises
    ------
    IntegrityError, ResourceError
        As in `open_runtime`.
    """
    if not installed(format):
        raise ResourceError(f"{format} cannot be run here", [absence(format, where)])
    makers: dict[str, Callable[[], Runtime]] = {
        KERAS: lambda: KerasRuntime(load_checked(content, contract, where), contract),
        ONNX: lambda: OnnxRuntime(content, contract, where),
        LITERT: lambda: LiteRtRuntime(LITERT, content, contract, where),
        LITERT_FLOAT16: lambda: LiteRtRuntime(LITERT_FLOAT16, content, contract, where),
    }
    return makers[format]()


class KerasRuntime:
    """The sealed ``model.keras`` itself; calibration is done here, as the model answers with logits alone.

    Parameters
    ----------
    model : keras.Model
    contract : Contract
    """

    format = KERAS

    def __init__(self, model: keras.Model, contract: Contract) -> None:
        cuts = contract.novelty.cuts if contract.novelty else None
        self._model, self._calibration = with_embedding(model, cuts) if cuts else model, contract.calibration
        self._lock = Lock()

    def run(self, pictures: NDArray[np.uint8]) -> Answer:
        # For each new shape the model would be compiled anew: batches are filled up to a power of two.
        missing = (1 << (len(pictures) - 1).bit_length()) - len(pictures)
        filled = np.concatenate([pictures, np.repeat(pictures[-1:], missing, axis=0)])
        with self._lock:
            answered = self._model.predict_on_batch(filled)
        logits, embedding = answered if isinstance(answered, list) else (answered, None)
        scores = probabilities(logits, self._calibration.temperature, self._calibration.bias)
        return Answer(logits, scores.astype(np.float32), embedding).of(slice(len(pictures)))


class OnnxRuntime:
    """An ONNX file under onnxruntime, on the processor.

    Parameters
    ----------
    content : bytes
    contract : Contract
    where : str
        Names the file in faults.
    """

    format = ONNX

    def __init__(self, content: bytes, contract: Contract, where: str) -> None:
        check_onnx(content, where)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        # Else content that begins like onnxruntime's own format would be read as that, past `check_onnx`.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        with _reading(where):
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        nodes = (*self._session.get_inputs(), *self._session.get_outputs())
        size, self._outputs = contract.input.size, _outputs(contract)
        expected = {PICTURES: ("tensor(uint8)", [size, size, 1])}
        expected |= {name: ("tensor(float)", [width]) for name, width in self._outputs.items()}
        _check_fit({node.name: (node.type, list(node.shape[1:])) for node in nodes}, expected, where)
        with _reading(where):
            self.run(np.zeros((1, size, size, 1), np.uint8))

    def run(self, pictures: NDArray[np.uint8]) -> Answer:
        return Answer(*self._session.run(list(self._outputs), {PICTURES: pictures}))


class LiteRtRuntime:
    """A LiteRT file under its interpreter, on the processor, picture by picture.

    Its kernels are no faster for a batch (a picture of EfficientNet-Lite0 took 11 ms alone and 19 ms among 32), and for
    every new batch size the whole model would be laid out and packed anew.

    Parameters
    ----------
    format : {"litert", "litert_float16"}
    content : bytes
    contract : Contract
    where : str
        Names the file in faults.
    """

    def __init__(self, format: str, content: bytes, contract: Contract, where: str) -> None:
        check_litert(content, where)
        from ai_edge_litert.interpreter import Interpreter

        self.format = format
        self._lock = Lock()
        with _reading(where), no_stderr():
            self._interpreter = Interpreter(model_content=content, num_threads=min(_MAX_THREADS, os.cpu_count() or 1))
            inputs, outputs = _signature(self._interpreter)
        found = {
            name: (np.dtype(each["dtype"]).name, each["shape"].tolist()) for name, each in {**inputs, **outputs}.items()
        }
        size, told = contract.input.size, _outputs(contract)
        expected = {PICTURES: ("uint8", [1, size, size, 1])}
        expected |= {name: ("float32", [1, width]) for name, width in told.items()}
        _check_fit(found, expected, where)
        self._pictures = inputs[PICTURES]["index"]
        self._outputs = [outputs[name]["index"] for name in told]
        with _reading(where), no_stderr():
            self._interpreter.allocate_tensors()
            self.run(np.zeros((1, size, size, 1), np.uint8))

    def run(self, pictures: NDArray[np.uint8]) -> Answer:
        answers = []
        with self._lock:
            for picture in pictures:
                self._interpreter.set_tensor(self._pictures, picture[np.newaxis])
                self._interpreter.invoke()
                answers.append([self._interpreter.get_tensor(index) for index in self._outputs])
        return Answer(*(np.concatenate(each) for each in zip(*answers, strict=True)))


def _outputs(contract: Contract) -> dict[str, int]:
    """What a graph answers for a picture: how many numbers, by name, in the order of `Answer`'s fields."""
    n_classes = len(contract.classes)
    embedding = {EMBEDDING: contract.novelty.dimensions} if contract.novelty else {}
    return {LOGITS: n_classes, PROBABILITIES: n_classes, **embedding}


def _signature(interpreter: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What the graph takes and answers, by the names of its signature; nothing may hold the runner when it runs."""
    runner = interpreter.get_signature_runner()
    return runner.get_input_details(), runner.get_output_details()


@contextmanager
def _reading(where: str) -> Iterator[None]:
    """Turn whatever a runtime's C++ says about content that it cannot run into `IntegrityError`."""
    try:
        yield
    except MemoryError as error:
        raise memory_fault(where) from error
    except Exception as error:
        words = f"{type(error).__name__}: {error}"[:300]
        fault = Fault(where, words, "a model that the runtime can read", RESTORE)
        raise IntegrityError("the exported model cannot be read", [fault]) from error


def _check_fit(found: Mapping[str, Any], expected: Mapping[str, Any], where: str) -> None:
    if any(found.get(name) != each for name, each in expected.items()):
        fault = Fault(where, f"input and outputs {dict(found)}", f"{dict(expected)}", RESTORE)
        raise IntegrityError("the exported model does not fit its contract", [fault])
