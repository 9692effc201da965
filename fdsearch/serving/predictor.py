"""A version at work: pictures to labels, calibrated probabilities and decisions.

Pictures are decoded by `fdsearch.imaging` and decided by `fdsearch.decide`, the same code that training and selection
use, with the numbers of ``contract.json``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fdsearch import imaging, metrics
from fdsearch.decide import Verdict, decide, probabilities
from fdsearch.errors import ConfigError, DataError, Fault, IntegrityError, ResourceError
from fdsearch.registry.draft import CONTRACT, MODEL
from fdsearch.registry.store import Registry
from fdsearch.registry.version import ModelVersion
from fdsearch.resizing import resize
from fdsearch.serving.contract import Contract
from fdsearch.serving.loading import load_model
from fdsearch.workspace import Workspace

if TYPE_CHECKING:
    import keras

Source = str | Path | bytes | NDArray[np.uint8]
"""A picture: a file, its bytes, or decoded gray pixels of shape (h, w)."""

BATCH = 32
NO_NOVELTY = "this version holds no reference of known pictures"


@dataclass(frozen=True)
class Prediction:
    """What is said about one picture.

    Parameters
    ----------
    filename : str
        The path as given; ``picture N`` (from 1) for bytes and pixels.
    label : str
        The class of the largest logit.
    decision : {"pass", "reject", "review"}
        About the part: the same for all pictures of a group.
    reject_as : str or None
        Of a rejected part: the most probable class, in its worst picture, of those that let no part pass. It follows
        from the calibrated probabilities, `label` from the logits, so the two may differ.
    probabilities : dict of str to float
        Calibrated, by class; they sum to 1.
    novelty : None
        How unlike the known pictures it is; `novelty_why` says why it is not given.
    """

    filename: str
    label: str
    decision: str
    reject_as: str | None
    probabilities: dict[str, float]
    novelty: float | None = None
    novelty_why: str | None = NO_NOVELTY

    def to_json(self) -> dict[str, Any]:
        """The prediction as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Predictor:
    """A loaded version.

    Parameters
    ----------
    version : ModelVersion
    contract : Contract
    model : keras.Model
    """

    version: ModelVersion
    contract: Contract
    model: keras.Model

    @classmethod
    def load(cls, reference: str | Path, root: Path | None = None) -> Predictor:
        """Load a model by reference.

        Parameters
        ----------
        reference : str or Path
            As in `Registry.resolve`: ``NAME``, ``NAME@champion``, ``NAME@challenger``, ``NAME:VERSION``, or a folder.
        root : Path, optional
            The registry's folder, ``ROOT/registry``; default below ``$FDSEARCH_ROOT``, else below ``.fdsearch``.

        Raises
        ------
        ConfigError
            If there is no such model.
        IntegrityError
            If any file it needs is not as it was registered, or is no plain model.
        ResourceError
            If Keras is absent, or this fdsearch decodes pictures otherwise than the one that trained the model.
        """
        default = Workspace(Path(os.environ.get("FDSEARCH_ROOT") or ".fdsearch")).registry
        version = Registry(root or default).resolve(reference)
        contract = Contract.parse(version.read(CONTRACT), str(version.path / CONTRACT))
        _check_decoder(version, contract)
        return cls(version, contract, load_model(version, contract))

    def logits(self, sources: Sequence[Source]) -> NDArray[np.float32]:
        """Run the model.

        Parameters
        ----------
        sources : sequence of str, Path, bytes, or ndarray of uint8 with shape (h, w)

        Returns
        -------
        ndarray of float32, shape (n, n_classes)

        Raises
        ------
        DataError
            Listing every picture that cannot be decoded; none is then predicted.
        IntegrityError
            If the model answers with something that is no number.
        """
        faults: list[Fault] = []
        # After the first fault the rest is only decoded, to list all faults at once.
        size = min(BATCH, len(sources))
        parts = [self._answer(batch, size) for batch in self._batches(sources, faults) if not faults]
        if faults:
            raise DataError("not all the pictures can be read", faults)
        none = np.empty((0, len(self.contract.classes)), np.float32)
        logits: NDArray[np.float32] = np.concatenate([none, *parts], dtype=np.float32)
        if not np.isfinite(logits).all():
            fault = Fault(str(self.version.path / MODEL), "logits that are not finite", "numbers")
            raise IntegrityError("the model's weights are broken", [fault])
        return logits

    def predict(self, sources: Sequence[Source], groups: Sequence[str] | None = None) -> list[Prediction]:
        """Say label, probabilities and decision for each picture.

        Parameters
        ----------
        sources : sequence of str, Path, bytes, or ndarray of uint8 with shape (h, w)
        groups : sequence of str, optional
            The part of each picture, whose worst picture decides; default: each picture is a part of its own.

        Returns
        -------
        list of Prediction
            In the order of `sources`.

        Raises
        ------
        ConfigError
            If `groups` does not name one part for each picture.
        DataError, IntegrityError
            As in `logits`.
        """
        if groups is not None and len(groups) != len(sources):
            fault = Fault("groups", f"{len(groups)} groups", f"one for each of {len(sources)} pictures")
            raise ConfigError("groups and pictures differ in number", [fault])
        contract = self.contract
        logits = self.logits(sources)
        if not len(logits):
            return []
        calibration = contract.calibration
        scores = probabilities(logits, calibration.temperature, calibration.bias)
        rule = contract.decision.model_dump() if contract.decision else None
        verdicts = decide(scores, contract.pass_mask, rule, groups)
        labels = metrics.predict(logits).tolist()
        return [
            self._prediction(_name(source, number), label, verdict, row)
            for number, (source, label, verdict, row) in enumerate(
                zip(sources, labels, verdicts, scores.tolist(), strict=True), start=1
            )
        ]

    def _answer(self, batch: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
        """Logits of a batch that is filled up to `size`: for each new shape the model would be compiled anew."""
        filled = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
        answer: NDArray[np.float32] = self.model.predict_on_batch(filled)[: len(batch)]
        return answer

    def _prediction(self, name: str, label: int, verdict: Verdict, scores: list[float]) -> Prediction:
        classes = self.contract.classes
        return Prediction(
            filename=name,
            label=classes[label],
            decision=verdict.decision,
            reject_as=None if verdict.reject_as is None else classes[verdict.reject_as],
            probabilities=dict(zip(classes, scores, strict=True)),
        )

    def _batches(self, sources: Sequence[Source], faults: list[Fault]) -> Iterator[NDArray[np.uint8]]:
        """Yield decoded batches (m, size, size, 1); what cannot be decoded is left out and added to `faults`."""

        def decoded(item: tuple[int, Source]) -> NDArray[np.uint8] | Fault:
            number, source = item
            try:
                return _load(source, self.contract.input.size, self.contract.input.resize)
            except imaging.PictureError as error:
                return error.fault(_name(source, number))

        numbered = list(enumerate(sources, start=1))
        # Pillow decodes outside the interpreter's lock, so threads are enough.
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for start in range(0, len(numbered), BATCH):
                results = list(pool.map(decoded, numbered[start : start + BATCH]))
                faults += [result for result in results if isinstance(result, Fault)]
                pictures = [result for result in results if not isinstance(result, Fault)]
                if pictures:
                    yield np.stack(pictures)


def _load(source: Source, size: int, policy: str) -> NDArray[np.uint8]:
    if not isinstance(source, np.ndarray):
        return imaging.load(Path(source) if isinstance(source, str) else source, size, policy)
    if source.dtype != np.uint8 or source.ndim != 2 or not source.size:
        got = f"an array of {source.dtype} with shape {source.shape}"
        raise imaging.PictureError(got, "gray pixels: uint8 with shape (h, w)", "convert it, or pass the file's bytes")
    return resize(source, size, policy)[:, :, np.newaxis]


def _name(source: Source, number: int) -> str:
    return str(source) if isinstance(source, (str, Path)) else f"picture {number}"


def _check_decoder(version: ModelVersion, contract: Contract) -> None:
    if contract.input.decoder != imaging.DECODER_VERSION:
        made = version.manifest.packages.get("fdsearch", "that registered it")
        fault = Fault(
            str(version.path / CONTRACT),
            f"decoder {contract.input.decoder}",
            f"decoder {imaging.DECODER_VERSION}, that of this fdsearch",
            f"use fdsearch {made}, or train the model again",
        )
        raise ResourceError("this fdsearch would feed the model other pixels than it was trained on", [fault])
