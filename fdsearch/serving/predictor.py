"""A version at work: pictures to labels, calibrated probabilities and decisions.

Pictures are decoded by `fdsearch.imaging` and decided by `fdsearch.decide`, the same code that training and selection
use, with the numbers of ``contract.json``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdsearch import imaging, metrics
from fdsearch.decide import Verdict, decide
from fdsearch.errors import ConfigError, DataError, Fault, IntegrityError, ResourceError
from fdsearch.novelty.measure import Novelty
from fdsearch.progress import Progress, Silent
from fdsearch.registry.draft import CONTRACT
from fdsearch.registry.manifest import RESTORE
from fdsearch.registry.signature import check_signature
from fdsearch.registry.store import Registry
from fdsearch.registry.version import ModelVersion
from fdsearch.serving.contract import MAX_BYTES, Contract
from fdsearch.serving.novelty import known_of, withheld
from fdsearch.serving.pictures import Source, batches, decode, name_of
from fdsearch.serving.runtimes import Answer, Runtime, open_runtime
from fdsearch.workspace import Workspace

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
        About the part: the same for all pictures of a group. A part with a novel picture never passes.
    reject_as : str or None
        Of a rejected part: the most probable class, in its worst picture, of those that let no part pass. It follows
        from the calibrated probabilities, `label` from the logits, so the two may differ.
    probabilities : dict of str to float
        Calibrated, by class; they sum to 1.
    novelty : float or None
        How unlike the known pictures it is; above 1 it is novel. Where it is None `novelty_why` says why.
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
    runtime : Runtime
    known : Novelty or None
        The known pictures, as the version remembers them; None of versions that cannot tell a novel one.
    """

    version: ModelVersion
    contract: Contract
    runtime: Runtime
    known: Novelty | None = None

    @classmethod
    def load(cls, reference: str | Path, registry_root: Path | None = None, *, format: str | None = None) -> Predictor:
        """Load a model by reference.

        Parameters
        ----------
        reference : str or Path
            As in `Registry.resolve`: ``NAME``, ``NAME@champion``, ``NAME@challenger``, ``NAME:VERSION``, or a folder.
        registry_root : Path, optional
            The registry's folder, ``ROOT/registry``; default below ``$FDSEARCH_ROOT``, else below ``.fdsearch``.
        format : str, optional
            What runs the model, as in `open_runtime`; default: the fastest that was found to agree with it.

        Raises
        ------
        ConfigError
            If there is no such model, or it does not have the format.
        IntegrityError
            If any file it needs is not as it was registered, or is no plain model; or if a public key is configured
            and the version is not signed (`fdsearch.registry.signature`).
        ResourceError
            If the format's package is absent, or this fdsearch decodes pictures otherwise than the one that trained the
            model.
        """
        default = Workspace(Path(os.environ.get("FDSEARCH_ROOT") or ".fdsearch")).registry
        version = Registry(registry_root or default).resolve(reference)
        check_signature(version)
        return cls.of(version, format=format)

    @classmethod
    def of(cls, version: ModelVersion, *, format: str | None = None) -> Predictor:
        """Load a version that was found already, signed or not; errors as in `load`."""
        contract = Contract.parse(version.read(CONTRACT, MAX_BYTES), str(version.path / CONTRACT))
        _check_decoder(version, contract)
        return cls(version, contract, open_runtime(version, contract, format), known_of(version, contract))

    def decode(self, source: Source) -> NDArray[np.uint8]:
        """Decode and resize one picture to what the model is fed: uint8 (size, size, 1).

        Raises
        ------
        PictureError
            If it cannot be decoded.
        """
        return decode(source, self.contract.input)

    def run(self, batch: NDArray[np.uint8]) -> Answer:
        """Run the model.

        Parameters
        ----------
        batch : ndarray of uint8, shape (n, size, size, 1)
            As `decode` returns them; n is at least 1.

        Raises
        ------
        IntegrityError
            If the model answers with something that is no number.
        """
        answer = self.runtime.run(batch)
        rule, width = self.contract.novelty, len(self.contract.classes)
        told = [(answer.logits, width), (answer.probabilities, width)]
        if rule is not None and answer.embedding is not None:
            told.append((answer.embedding, rule.dimensions))
        for numbers, expected in told:
            if numbers.shape != (len(batch), expected) or not np.isfinite(numbers).all():
                got = f"answers of shape {numbers.shape}, or that are not finite"
                fault = Fault(str(self.version.path), got, f"{expected} numbers for each picture", RESTORE)
                raise IntegrityError("the model's weights are broken", [fault])
        return answer

    def tell(self, names: Sequence[str], answer: Answer, groups: Sequence[str] | None = None) -> list[Prediction]:
        """Say label, probabilities and decision for each picture that was run.

        Parameters
        ----------
        names : sequence of str, length n
            What each picture is called.
        answer : Answer
            About the n pictures.
        groups : sequence of str, length n, optional
            As in `predict`.

        Returns
        -------
        list of Prediction
        """
        if not names:
            return []
        contract = self.contract
        rule = contract.decision.model_dump() if contract.decision else None
        verdicts = decide(answer.probabilities, contract.pass_mask, rule, groups)
        novelty = self.novelty(answer)
        if novelty is not None:
            by_part = contract.novelty is not None and contract.novelty.unit == "group"
            verdicts = withheld(verdicts, novelty, groups if by_part else None)
        values = [None] * len(names) if novelty is None else novelty.tolist()
        labels, scores = metrics.predict(answer.logits).tolist(), answer.probabilities.tolist()
        return [self._prediction(*each) for each in zip(names, labels, verdicts, scores, values, strict=True)]

    def novelty(self, answer: Answer) -> NDArray[np.float64] | None:
        """How unlike the known pictures those are that were run, shape (n,): above 1 one is novel.

        None where the version cannot say; `Prediction.novelty_why` then tells why.
        """
        rule = self.contract.novelty
        if self.known is None or rule is None or rule.threshold is None or answer.embedding is None:
            return None
        return self.known.score(answer.embedding, answer.logits) / rule.threshold

    def predict(
        self, sources: Sequence[Source], groups: Sequence[str] | None = None, *, progress: Progress | None = None
    ) -> list[Prediction]:
        """Say label, probabilities and decision for each picture.

        Parameters
        ----------
        sources : sequence of str, Path, bytes, or ndarray of uint8 with shape (h, w)
        groups : sequence of str, optional
            The part of each picture, whose worst picture decides; default: each picture is a part of its own.
        progress : Progress, optional
            Hears how many pictures are done.

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
        names = [name_of(source, number) for number, source in enumerate(sources, start=1)]
        return self.tell(names, self._answer(sources, progress or Silent()), groups)

    def logits(self, sources: Sequence[Source]) -> NDArray[np.float32]:
        """Run the model on pictures.

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
            As in `run`.
        """
        return self._answer(sources, Silent()).logits

    def _answer(self, sources: Sequence[Source], progress: Progress) -> Answer:
        faults: list[Fault] = []
        parts: list[Answer] = []
        for batch in batches(sources, self.contract.input, faults):
            if not faults:  # after the first fault the rest is only decoded, to list all faults at once
                parts.append(self.run(batch))
                progress.track("predicting", sum(len(part.logits) for part in parts), len(sources))
        if faults:
            raise DataError("not all the pictures can be read", faults)
        none = np.empty((0, len(self.contract.classes)), np.float32)
        return Answer.joined(parts) if parts else Answer(none, none)

    def _prediction(
        self, name: str, label: int, verdict: Verdict, scores: list[float], novelty: float | None
    ) -> Prediction:
        classes, rule = self.contract.classes, self.contract.novelty
        why = (rule.why if rule else self.contract.novelty_why) or NO_NOVELTY
        return Prediction(
            filename=name,
            label=classes[label],
            decision=verdict.decision,
            reject_as=None if verdict.reject_as is None else classes[verdict.reject_as],
            probabilities=dict(zip(classes, scores, strict=True)),
            novelty=novelty,
            novelty_why=why if novelty is None else None,
        )


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
